"""Images as an encoder sees them that others trained on many (Dosovitskiy et al. 2021, Radford et al. 2021).

B images, C channels, H rows and W columns of pixels, S positions of the grid, D width of the states.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.errors import WeftError
from weft.files import write_text
from weft.models.base import Memory
from weft.models.pretrained import Pretrained, pretrained
from weft.recipe import ImageInput
from weft.recipe import PretrainedEncoder as Settings

KEY = "model.encoder.folder"
PROCESSOR = "preprocessor_config.json"  # how pixels become numbers, where an image stands alone
BESIDE_TEXT = "processor_config.json"  # the same in newer folders of models of images and text
WHOLE = 8  # states of the whole image before those of its patches, at most: a class token, registers


class VisionEncoder(Pretrained):
    """h_1..h_S = ViT(x), or another encoder of images: a state for each patch of the grid, row by row.

    The context is the state of the class token, where there is one, else the mean of all.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: nn.Module, config: Any, settings: Settings, image: ImageInput, pixels: dict[str, Any]
    ) -> None:
        """`pixels` is what `read_pixels` gives. WeftError where the network cannot see the recipe's images so."""
        super().__init__(network, config, settings)
        self.name = settings.folder
        self.pixels = pixels
        self.grid = image.grid
        for name, values in (("mean", pixels["image_mean"]), ("deviation", pixels["image_std"])):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None], persistent=False)
        self.scale = float(pixels["rescale_factor"])
        self.width = self.tried(image)

    def tried(self, image: ImageInput) -> int:
        """D, of the states of a black image."""
        size = " x ".join(map(str, image.shape[1:]))
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                states = self.states(torch.zeros(1, *image.shape, dtype=torch.uint8))
        except (ValueError, RuntimeError, TypeError) as error:
            told = " ".join(str(error).split())
            raise WeftError(f"{KEY}: {self.name} does not take images of {size} pixels: {told}") from None
        found = states.size(1)
        if not prod(self.grid) <= found <= prod(self.grid) + WHOLE:
            grid = " x ".join(map(str, self.grid))
            patch = " x ".join(map(str, image.patch))
            raise WeftError(
                f"{KEY}: {self.name} gives {found} states of an image of {size} pixels, where model.input.patch "
                f"{patch} makes a grid of {grid}; expected the patch that the encoder sees"
            )
        return states.size(2)

    def states(self, pixels: Tensor) -> Tensor:
        """(B,C,H,W) bytes -> (B,K+S,D): K of the whole image, then those of the grid."""
        values = (pixels.to(self.mean.dtype) * self.scale - self.mean) / self.deviation
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            seen: Tensor = self.network(pixel_values=values).last_hidden_state
        return seen.flatten(2).transpose(1, 2) if seen.dim() == 4 else seen

    def forward(self, x: Padded) -> Memory:
        """x.data (B,C,H,W) -> Memory of the grid, row by row."""
        states = self.dropout(self.states(x.data))
        whole, values = states.split([states.size(1) - prod(self.grid), prod(self.grid)], 1)
        return Memory(values, x.mask(), whole[:, 0] if whole.size(1) else values.mean(1))

    def save_config(self, folder: Path) -> None:
        super().save_config(folder)
        write_text(folder / PROCESSOR, json.dumps(self.pixels, indent=2))


def vision(settings: Settings, image: ImageInput) -> VisionEncoder:
    """The encoder of a folder with its weights; WeftError where there is none, or one of text."""
    folder = Path(settings.folder)
    if not folder.is_dir():
        raise WeftError(f"{KEY}: {folder}: no such folder; an encoder of images is read from one, never from a network")
    network, config = pretrained(str(folder))
    return VisionEncoder(checked(network, folder), config, settings, image, read_pixels(folder))


def checked(network: Any, folder: Path) -> nn.Module:
    if network.main_input_name != "pixel_values":
        raise WeftError(
            f"{KEY}: {folder} is a {network.config.model_type}, which takes {network.main_input_name}; "
            f"model.input.kind is image: expected an encoder of images, such as ViT"
        )
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules()):
        raise WeftError(
            f"{KEY}: {folder} is a {network.config.model_type}, which normalises over batches, and a run does not keep "
            f"the means of those; expected an encoder such as ViT, DeiT, Swin, CLIP or ConvNeXt"
        )
    return network  # type: ignore[no-any-return]


def read_pixels(folder: Path) -> dict[str, Any]:
    """How the encoder's numbers are made of pixels: image_mean and image_std of the channels, and rescale_factor."""
    for name in (PROCESSOR, BESIDE_TEXT):
        if not (folder / name).is_file():
            continue
        try:
            given = json.loads((folder / name).read_text("utf-8"))
            given = given.get("image_processor", given)
            scaled, centred = given.get("do_rescale", True), given.get("do_normalize", True)
            return {
                "rescale_factor": float(given.get("rescale_factor", 1 / 255)) if scaled else 1.0,
                "image_mean": [float(value) for value in given["image_mean"]] if centred else [0.0],
                "image_std": [float(value) for value in given["image_std"]] if centred else [1.0],
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WeftError(f"{folder / name}: damaged: {type(error).__name__}: {error}") from None
    raise WeftError(f"{folder / PROCESSOR}: no such file; it says how an encoder's numbers are made of pixels")
