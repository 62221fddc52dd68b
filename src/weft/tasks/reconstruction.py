"""Images through the vector of an autoencoder, and what lies between two of them.

N images, C channels, H rows and W columns of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from weft.errors import WeftError
from weft.models.autoencoder import Autoencoder
from weft.tasks.source import ImageSource
from weft.tasks.text import Model

BATCH = 256  # images
Images = NDArray[np.float32]  # (N,C,H,W) of 0 to 1


def reconstructed(model: Model, names: Sequence[str]) -> tuple[Images, Images]:
    """The images as they went in, and as they came back."""
    network, reads = parts(model)
    seen = np.stack([reads.reader.read(name) for name in names])
    vectors = torch.from_numpy(model.vectors(names)).to(model.device)
    return (seen / 255).astype(np.float32), decoded(network, vectors)


def between(model: Model, one: str, other: str, count: int) -> Images:
    """What `count` vectors on the straight line from one image's to the other's are decoded to, both ends included."""
    network, _ = parts(model)
    first, last = torch.from_numpy(model.vectors([one, other])).to(model.device)
    shares = torch.linspace(0, 1, count, device=model.device)[:, None]
    return decoded(network, first * (1 - shares) + last * shares)


def squared_error(images: Images, others: Images) -> float:
    """The mean over all values of all images, which are 0 to 1."""
    return float(((images - others) ** 2).mean(dtype=np.float64))


def parts(model: Model) -> tuple[Autoencoder, ImageSource]:
    """WeftError where the model is no autoencoder of images."""
    if not isinstance(model.network, Autoencoder) or not isinstance(model.reads, ImageSource):
        raise WeftError(f"model.decoder.kind is {model.recipe.model.decoder.kind}; only pixels gives images back")
    return model.network, model.reads


@torch.inference_mode()
def decoded(network: Autoencoder, vectors: torch.Tensor) -> Images:
    """(N,D) -> (N,C,H,W)"""
    found = [network.decode(part).float().cpu().numpy() for part in vectors.split(BATCH)]
    return np.concatenate(found)
