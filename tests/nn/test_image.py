import numpy as np
import pytest
import torch
from pydantic import ValidationError

from weft.data.batch import Pixels
from weft.nn.image import ImageInput
from weft.recipe import ImageInput as Settings

GRIDS = {
    "convolutions": Settings(height=8, width=12, channels=[4, 6], pool=[(2, 2), (4, 1)], dropout=0.0),
    "patches": Settings(height=8, width=12, colour=False, by="patches", patch=(4, 3), dropout=0.0),
}


def images(settings, count=3):
    data = torch.randint(0, 256, (count, *settings.shape), dtype=torch.uint8)
    return Pixels(data, torch.full((count,), settings.positions))


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_becomes_a_sequence_row_by_row(name):
    settings = GRIDS[name]
    end = ImageInput(10, settings).double().eval()
    source = images(settings)
    sequence = end.sequence(source)
    rows, columns = settings.grid
    assert sequence.data.shape == (3, rows * columns, 10)
    assert sequence.mask().all()
    with torch.no_grad():
        end.row.copy_(torch.zeros_like(end.row))
        before = end(source.data)
        end.row[:, -1] += 1.0
        moved = (end(source.data) - before).abs().sum(-1) > 0.5
    assert moved.tolist() == [[False] * (columns * (rows - 1)) + [True] * columns] * 3


@pytest.mark.parametrize("name", GRIDS)
def test_an_image_is_the_same_in_every_batch(name):
    settings = GRIDS[name]
    end = ImageInput(10, settings).double().train()
    source = images(settings)
    assert torch.allclose(end(source.data)[1:2], end(source.data[1:2]), atol=1e-12)


def test_patches_are_their_pixels_through_one_matrix():
    settings = GRIDS["patches"]
    end = ImageInput(10, settings).double()
    source = images(settings, 1)
    pixels = source.data.numpy()[0, 0] / 127.5 - 1
    patch = pixels[4:8, 6:9]  # second row, third column
    matrix, bias = (part.detach().numpy() for part in (end.features.weight, end.features.bias))
    told = (end.row[:, 1] + end.column[:, :, 2])[:, 0].detach().numpy()
    expected = np.einsum("ehw,hw->e", matrix[:, 0], patch) + bias + told
    assert np.allclose(end(source.data)[0, 1 * 4 + 2].detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"channels": [4]}, "lists 1 layers and model.input.pool 3"),
        ({"height": 4}, "pool leaves no position of an image of 4 x 64"),
        ({"by": "patches", "patch": (5, 8)}, "patch is 5 x 8, which does not divide images of 64 x 64"),
        ({"channels": [4, 0, 4]}, "numbers of 1 or more"),
    ],
)
def test_impossible_grids(wrong, why):
    with pytest.raises(ValidationError, match=why):
        Settings(**wrong)
