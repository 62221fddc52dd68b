"""An autoencoder of images beside principal components of the same number: python recipes/digits/pca.py RUN

Prints the squared error of both on the run's data.test, and draws some test images, what the autoencoder gives back,
what the components give back, and what lies between two images. The components are those of the images to train on.
Of a model that was trained with noise it also prints the error of images with noise, and of what comes back of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import weft
from weft.data.captions import pairs_for
from weft.look.grid import draw_rows
from weft.recipe import Files
from weft.tasks.reconstruction import decoded, denoised, reconstructed, squared_error
from weft.tasks.source import ImageSource
from weft.tasks.text import Model
from weft.tasks.vectors import between

SHOWN = 10
STEP = 13  # between test images that are shown


def images_of(model: Model, files: Files) -> list[str]:
    return [name for name, _ in pairs_for(model.recipe, files, model.recipe.data.columns)]


def components(images: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of images (N,P): their mean (P,), and the directions (count,P) in which they differ most."""
    mean = images.mean(0)
    _, _, directions = np.linalg.svd(images - mean, full_matrices=False)
    return mean, directions[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("autoencoder.png"))
    options = parser.parse_args()
    model = weft.load(options.run)
    data, width = model.recipe.data, model.network.vector_width
    assert data.test is not None and isinstance(model.reads, ImageSource)
    known = np.stack([model.reads.reader.read(name) for name in images_of(model, data.train)])
    names = images_of(model, data.test)
    images, back = reconstructed(model, names)
    mean, directions = components(known.reshape(len(known), -1) / 255, width)
    flat = images.reshape(len(images), -1)
    projected = (mean + (flat - mean) @ directions.T @ directions).reshape(images.shape)
    print(f"{len(names):,} test images, {width} numbers each; squared error of values from 0 to 1:")
    print(f"autoencoder            {squared_error(images, back):.5f}")
    print(f"principal components   {squared_error(images, projected):.5f}")
    print(f"the mean image         {squared_error(flat, np.broadcast_to(mean, flat.shape)):.5f}")
    if data.noise.of_images:
        clean, noisy, cleared = denoised(model, names)
        print(f"with the recipe's noise  {squared_error(clean, noisy):.5f}")
        print(f"what comes back of it    {squared_error(clean, cleared):.5f}")
    shown = [STEP * number for number in range(SHOWN)]
    rows = {
        "in": images[shown],
        f"autoencoder, {width} numbers": back[shown],
        f"principal components, {width} numbers": projected[shown],
        "from the first to the second, on a line between their vectors": decoded(
            model, between(model, names[shown[0]], names[shown[1]], SHOWN)
        ),
    }
    draw_rows(rows, options.out)


if __name__ == "__main__":
    main()
