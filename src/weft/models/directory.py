"""A model directory: all that anyone needs to use a model, and nothing pickled.

recipe.yaml  model.safetensors  source.model  target.model  card.md; of a series, scaler.json for the vocabularies
source.factors.json                             where words of the source have features beside them
encoder/  config.json  model.safetensors        of a pretrained encoder; its weights only where they are not trained;
          preprocessor_config.json               where it sees images
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import weft.recipe
from weft.data.tokenizer import Tokenizer, load_source
from weft.data.vocabulary import FACTORS, Vocabulary
from weft.errors import WeftError, nearest
from weft.files import new_folder, replaced
from weft.models import autoencoder
from weft.models.pretrained import Pretrained, PretrainedEncoder, pretrained, unweighted
from weft.models.seq2seq import Seq2Seq
from weft.models.vision import VisionEncoder, read_pixels, vision
from weft.recipe import PretrainedEncoder as Settings
from weft.recipe import Recipe

RECIPE = "recipe.yaml"
WEIGHTS = "model.safetensors"
SOURCE = "source.model"
SOURCE_FACTORS = f"source{FACTORS}"
TARGET = "target.model"
SCALER = "scaler.json"
CARD = "card.md"
ENCODER = "encoder"
SHOWN = 10  # models in a message


@dataclass(frozen=True)
class Loaded:
    recipe: Recipe
    network: Seq2Seq
    source: Vocabulary
    target: Vocabulary


def load(folder: Path, device: torch.device) -> Loaded:
    """The model in a directory; WeftError names the file that is missing or damaged."""
    if not folder.is_dir():
        others = [other.parent.name for other in folder.parent.glob(f"*/{RECIPE}")]
        raise WeftError(f"{folder}: no such model directory{nearest(folder.name, others)}")
    if not (folder / RECIPE).is_file():
        raise WeftError(f"{folder}: not a model directory: it has no {RECIPE}{models_in(folder)}")
    recipe = weft.recipe.load(folder / RECIPE)
    if recipe.data.series is not None:
        raise WeftError(f"{folder} is a model of series, which has nothing to do with text; expected a model of text")
    check_weights(folder)
    source, target = load_vocabularies(folder, recipe)
    network = network_of(recipe, source, target, load_encoder(folder, recipe, source))
    read_weights(network, folder / WEIGHTS)
    return Loaded(recipe, network.to(device).eval(), source, target)


def models_in(folder: Path) -> str:
    """`; the models in it are runs/a, runs/b` of a folder that holds some, or nothing."""
    found = sorted(str(path.parent) for path in folder.glob(f"*/{RECIPE}"))
    if not found:
        return ""
    more = len(found) - SHOWN
    verb = "model in it is" if len(found) == 1 else "models in it are"
    return f"; the {verb} {', '.join(found[:SHOWN])}" + f" and {more:,} more" * (more > 0)


def network_of(recipe: Recipe, source: Vocabulary, target: Vocabulary, encoder: Pretrained | None = None) -> Seq2Seq:
    """What the recipe describes, with fresh weights but for those of a pretrained encoder."""
    starts = None if encoder else torch.tensor(source.word_starts)
    factors = source.factors.sizes if source.factors else ()
    return autoencoder.network(recipe.model, source.size, target.size, starts, encoder, factors)


def check_weights(folder: Path) -> None:
    if not (folder / WEIGHTS).is_file():
        raise WeftError(f"{folder / WEIGHTS} is missing; a run has it after its first validation")


def load_vocabularies(folder: Path, recipe: Recipe) -> tuple[Vocabulary, Vocabulary]:
    source = load_source(folder / SOURCE, recipe)
    return source, source if recipe.vocabulary.shared else Vocabulary.load(folder / TARGET)


def save_vocabularies(folder: Path, source: Vocabulary, target: Vocabulary, recipe: Recipe) -> None:
    source.save(folder / SOURCE)
    if not recipe.vocabulary.shared:
        target.save(folder / TARGET)


def new_encoder(recipe: Recipe, source: Vocabulary) -> Pretrained | None:
    """The pretrained encoder that a recipe names, for pieces of the source or for images; None where it has another."""
    settings = recipe.model.encoder
    if not isinstance(settings, Settings):
        return None
    if recipe.model.input.kind == "image":
        return vision(settings, recipe.model.input)
    assert isinstance(source, Tokenizer)
    return PretrainedEncoder(*pretrained(settings.folder), settings, source)


def load_encoder(folder: Path, recipe: Recipe, source: Vocabulary) -> Pretrained | None:
    """That of a model, with its weights where they are not trained."""
    settings = recipe.model.encoder
    if not isinstance(settings, Settings):
        return None
    network, config = unweighted(folder / ENCODER)
    if not settings.trained:
        read_weights(network, folder / ENCODER / WEIGHTS)
    if recipe.model.input.kind == "image":
        return VisionEncoder(network, config, settings, recipe.model.input, read_pixels(folder / ENCODER))
    assert isinstance(source, Tokenizer)
    return PretrainedEncoder(network, config, settings, source)


def save_encoder(folder: Path, encoder: Pretrained) -> None:
    """Keep what `load_encoder` needs, in the place of what was there."""
    shutil.rmtree(folder / ENCODER, ignore_errors=True)
    with new_folder(folder / ENCODER) as beside:
        encoder.save_config(beside)
        if not encoder.trained:
            save_weights(encoder.network, beside / WEIGHTS)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Tensors by name, in one step in the place of what was there."""
    with replaced(path) as beside:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, beside)


def read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeftError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise WeftError(f"{path}: damaged: {error}") from None


def parameters(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter once, by its first name, so that a shared matrix is written once."""
    return dict(network.named_parameters())


def save_weights(network: nn.Module, path: Path) -> None:
    save_tensors(parameters(network), path)


def read_weights(network: nn.Module, path: Path) -> None:
    put_weights(network, read_tensors(path), path)


@torch.no_grad()
def put_weights(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy tensors into the parameters of the same name; all must be there, and none be left over."""
    wanted = parameters(network)
    for name, parameter in wanted.items():
        if name not in tensors:
            raise WeftError(f"{path}: damaged or of another recipe: '{name}' is missing")
        if tensors[name].shape != parameter.shape:
            raise WeftError(
                f"{path}: of another recipe: '{name}' is {tuple(tensors[name].shape)}, "
                f"the recipe makes it {tuple(parameter.shape)}"
            )
    extra = sorted(tensors.keys() - wanted.keys())
    if extra:
        raise WeftError(f"{path}: of another recipe: '{extra[0]}' has no place in the model")
    for name, parameter in wanted.items():
        parameter.copy_(tensors[name])
