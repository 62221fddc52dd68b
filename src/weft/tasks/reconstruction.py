"""Images through the vector of an autoencoder, with noise on them and without.

N images, C channels, H rows and W columns of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from weft.data.batch import Pixels
from weft.data.chance import Chance
from weft.data.noise import speckled
from weft.errors import WeftError
from weft.models.autoencoder import Autoencoder
from weft.tasks.source import ImageSource
from weft.tasks.text import Model

BATCH = 256  # images
Images = NDArray[np.float32]  # (N,C,H,W) of 0 to 1


def reconstructed(model: Model, names: Sequence[str]) -> tuple[Images, Images]:
    """The images as they went in, and as they came back."""
    images = pixels(model, names)
    return values(images.data), through(model, images)


def denoised(model: Model, names: Sequence[str]) -> tuple[Images, Images, Images]:
    """The images as they were, with the noise that the recipe trains with, and as they came back from there.

    The noise depends on the recipe's seed and on an image's place among `names`. WeftError where there is none.
    """
    noise = model.recipe.data.noise
    if not noise.of_images:
        raise WeftError("this model was trained without noise: data.noise.pixel_drop and pixel_noise are 0")
    chance = Chance(model.recipe.training.seed, 0, np.arange(len(names)))
    images = speckled(pixels(model, names), noise, chance)
    return values(images.clean), values(images.data), through(model, images)


def squared_error(images: Images, others: Images) -> float:
    """The mean over all values of all images, which are 0 to 1."""
    return float(((images - others) ** 2).mean(dtype=np.float64))


def network_of(model: Model) -> Autoencoder:
    """WeftError where the model is no autoencoder of images."""
    if not isinstance(model.network, Autoencoder):
        raise WeftError(f"model.decoder.kind is {model.recipe.model.decoder.kind}; only pixels gives images back")
    return model.network


def pixels(model: Model, names: Sequence[str]) -> Pixels:
    """The images of these names as the model sees them; WeftError where it is no autoencoder of images."""
    network_of(model)
    assert isinstance(model.reads, ImageSource)
    found = np.stack([model.reads.reader.read(name) for name in names])
    return Pixels(torch.from_numpy(found), torch.full((len(names),), model.reads.settings.positions))


@torch.inference_mode()
def through(model: Model, images: Pixels) -> Images:
    """What comes back of images."""
    network = network_of(model).eval()
    rows = torch.arange(len(images)).split(BATCH)
    return decoded(model, torch.cat([network.encode(images.part(part).to(model.device)).context for part in rows]))


@torch.inference_mode()
def decoded(model: Model, vectors: torch.Tensor) -> Images:
    """(N,D) -> (N,C,H,W)"""
    network = network_of(model)
    return np.concatenate([network.decode(part).float().cpu().numpy() for part in vectors.split(BATCH)])


def values(bytes_of: torch.Tensor) -> Images:
    return (bytes_of.numpy() / 255).astype(np.float32)
