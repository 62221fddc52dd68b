"""Every setting there is, typed and checked: whole.py is the recipe, each other file one part of it."""

from weft.recipe.data import Columns, Data, Files, Mixed, Noise, Parallel, Vocabularies, Vocabulary
from weft.recipe.ends import ImageInput, TokenInput, TokenOutput, ValuesInput, ValuesOutput
from weft.recipe.file import apply_override, checked, dump, json_schema, load
from weft.recipe.model import Model
from weft.recipe.parts import (
    Attention,
    Context,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DirectDecoder,
    Embedding,
    IdentityEncoder,
    NoEncoder,
    PixelDecoder,
    PretrainedEncoder,
    RecurrentDecoder,
    RecurrentEncoder,
    TagDecoder,
    TransformerDecoder,
    TransformerEncoder,
    TransformerStack,
    Variational,
)
from weft.recipe.search import Search
from weft.recipe.section import Section
from weft.recipe.series import Series
from weft.recipe.training import Feeding, Optimizer, Schedule, Start, Training, Validation, Vectors
from weft.recipe.whole import Recipe

__all__ = [
    "Attention",
    "Columns",
    "Context",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "Data",
    "DirectDecoder",
    "Embedding",
    "Feeding",
    "Files",
    "IdentityEncoder",
    "ImageInput",
    "Mixed",
    "Model",
    "NoEncoder",
    "Noise",
    "Optimizer",
    "Parallel",
    "PixelDecoder",
    "PretrainedEncoder",
    "Recipe",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "Schedule",
    "Search",
    "Section",
    "Series",
    "Start",
    "TagDecoder",
    "TokenInput",
    "TokenOutput",
    "Training",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerStack",
    "Validation",
    "ValuesInput",
    "ValuesOutput",
    "Variational",
    "Vectors",
    "Vocabularies",
    "Vocabulary",
    "apply_override",
    "checked",
    "dump",
    "json_schema",
    "load",
]
