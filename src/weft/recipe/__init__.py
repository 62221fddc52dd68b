"""Every setting there is, typed and checked: whole.py is the recipe, each other file one part of it."""

from weft.recipe.data import Columns, Data, Files, Mixed, Noise, Parallel, Vocabularies, Vocabulary
from weft.recipe.ends import ImageInput, TokenInput
from weft.recipe.file import apply_override, checked, dump, json_schema, load
from weft.recipe.model import (
    Attention,
    Context,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    Embedding,
    IdentityEncoder,
    Model,
    NoEncoder,
    PixelDecoder,
    PretrainedEncoder,
    RecurrentDecoder,
    RecurrentEncoder,
    TagDecoder,
    TransformerDecoder,
    TransformerEncoder,
    TransformerStack,
)
from weft.recipe.search import Search
from weft.recipe.section import Section
from weft.recipe.training import Feeding, Optimizer, Schedule, Start, Training, Validation, Vectors
from weft.recipe.whole import Recipe

__all__ = [
    "Attention",
    "Columns",
    "Context",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "Data",
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
    "Start",
    "TagDecoder",
    "TokenInput",
    "Training",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerStack",
    "Validation",
    "Vectors",
    "Vocabularies",
    "Vocabulary",
    "apply_override",
    "checked",
    "dump",
    "json_schema",
    "load",
]
