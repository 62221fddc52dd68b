import io
import pickle
import struct
import sys
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from shapes import write_idx

from weft.data import images
from weft.data.images import ImageError, ImageReader, idx_sizes
from weft.errors import WeftError
from weft.recipe import Columns, ImageInput

GREY = ImageInput(height=4, width=6, colour=False, channels=[4], pool=[(2, 2)])
COLOUR = GREY.model_copy(update={"colour": True})


def reader(settings=GREY, **columns):
    return ImageReader(settings, Columns(**columns))


def noise(*shape):
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def png_of_size(side):
    """What a grey PNG of so many rows and columns begins with."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_an_image_of_the_right_size_comes_as_it_is(tmp_path):
    grey, colour = noise(4, 6), noise(4, 6, 3)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(colour).save(tmp_path / "colour.png")
    assert (reader().read(str(tmp_path / "grey.png")) == grey[None]).all()
    assert (reader(COLOUR).read(str(tmp_path / "colour.png")) == colour.transpose(2, 0, 1)).all()
    assert (reader(COLOUR).read(str(tmp_path / "grey.png")) == grey).all()


def test_padding_keeps_the_proportions_and_stretching_does_not(tmp_path):
    path = tmp_path / "square.png"
    Image.new("L", (8, 8), 255).save(path)
    padded = reader().read(str(path))[0]
    assert (padded[:, 1:5] == 255).all()
    assert (padded[:, [0, 5]] == 0).all()
    stretched = ImageReader(GREY.model_copy(update={"fit": "stretch"}), Columns()).read(str(path))
    assert (stretched == 255).all()


def test_what_is_transparent_is_white_and_sixteen_bits_are_scaled(tmp_path):
    Image.new("RGBA", (6, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (reader(COLOUR).read(str(tmp_path / "clear.png")) == 255).all()
    Image.fromarray(np.full((4, 6), 128 * 256, np.uint16)).save(tmp_path / "deep.png")
    assert (reader().read(str(tmp_path / "deep.png")) == 128).all()
    header = b"P5 6 4 65535\n"
    (tmp_path / "deep.pgm").write_bytes(header + np.full((4, 6), 128 * 256, ">u2").tobytes())
    assert (reader().read(str(tmp_path / "deep.pgm")) == 128).all()
    for kind in (np.int32, np.float32):
        Image.fromarray(np.ones((4, 6), kind)).save(tmp_path / "deep.tiff")
        with pytest.raises(WeftError, match=r"deep\.tiff: its pixels are numbers of 32 bits; expected 8 or 16"):
            reader().read(str(tmp_path / "deep.tiff"))


def test_of_a_very_thin_image_something_is_left(tmp_path):
    for size in ((500, 1), (1, 500)):
        Image.new("L", size, 200).save(tmp_path / "thin.png")
        found = reader().read(str(tmp_path / "thin.png"))
        assert set(np.unique(found)) == {0, 200}


def test_a_turned_photograph_stands_upright(tmp_path):
    pixels = noise(6, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert (reader().read(str(tmp_path / "turned.png"))[0] == np.rot90(pixels, -1)).all()


@pytest.mark.parametrize("suffix", [".idx", ".gz"])
def test_images_of_an_idx_file_have_numbers_from_one(tmp_path, suffix):
    items = noise(3, 4, 6)
    path = write_idx(tmp_path / f"images{suffix}", items)
    read = reader().read
    assert (read(f"{path}#1") == items[:1]).all()
    assert (read(f"{path}#3") == items[2:]).all()
    assert idx_sizes(str(path)) == (3, 4, 6)
    for number in (0, 4):
        with pytest.raises(WeftError, match=f"there is no image {number}; it has 3 images, from 1"):
            read(f"{path}#{number}")


def test_images_of_another_size_in_an_idx_file_are_brought_to_it(tmp_path):
    path = write_idx(tmp_path / "images.idx", np.full((1, 8, 12), 7, np.uint8))
    assert (reader(COLOUR).read(f"{path}#1") == np.full((3, 4, 6), 7)).all()


def test_images_in_parquet(tmp_path):
    pixels = [noise(4, 6), 255 - noise(4, 6), np.zeros((4, 6), np.uint8)]
    content = []
    for one in pixels:
        file = io.BytesIO()
        Image.fromarray(one).save(file, "PNG")
        content.append(file.getvalue())
    tables = {
        "plain": pa.table({"text": ["a", "b", "c"], "image": content}),
        "nested": pa.table({"image": [{"bytes": one, "path": "x.png"} for one in content]}),
    }
    for name, table in tables.items():
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(table, path, row_group_size=2)
        read = reader(source="image").read
        for number in (3, 1, 2):
            assert (read(f"{path}#{number}") == pixels[number - 1][None]).all()
    with pytest.raises(WeftError, match=r"plain.parquet#2: 'text' is 'b'; expected the bytes of an image"):
        reader(source="text").read(f"{tmp_path / 'plain.parquet'}#2")


def test_what_is_no_image_is_said(tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    file = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(file, "PNG")
    (tmp_path / "cut.png").write_bytes(file.getvalue()[:2000])
    (tmp_path / "whole.png").write_bytes(file.getvalue())
    for name, why in {
        "text.png": "not an image, or of no format that Pillow reads",
        "empty.png": "not an image, or of no format that Pillow reads",
        "cut.png": "damaged or cut off: ",
        "none.png": "no such file",
        ".": "is a folder",
    }.items():
        with pytest.raises(WeftError, match=why) as error:
            reader().read(str(tmp_path / name))
        assert str(error.value).startswith(str(tmp_path / name))
    monkeypatch.setattr(images, "MOST_PIXELS", 4095)
    with pytest.raises(WeftError, match="64 x 64 pixels; at most 4,095 pixels are read"):
        reader().read(str(tmp_path / "whole.png"))


def test_what_is_wrong_with_an_image_arrives_from_a_worker_as_it_was(tmp_path):
    with pytest.raises(ImageError) as error:
        reader().read(str(tmp_path / "none.png"))
    arrived = pickle.loads(pickle.dumps(error.value))
    assert (str(arrived), arrived.image) == (str(error.value), str(tmp_path / "none.png"))


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    for side in (9000, 60_000):
        (tmp_path / "bomb.png").write_bytes(png_of_size(side))
        with pytest.raises(WeftError, match="64,000,000 pixels"):
            reader().read(str(tmp_path / "bomb.png"))


def test_without_pillow_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    items = noise(1, 4, 6)
    path = write_idx(tmp_path / "images.idx", items)
    Image.fromarray(items[0]).save(tmp_path / "one.png")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(WeftError, match=r"images need Pillow, which is not installed: pip install 'weft\[image\]'"):
        reader().read(str(tmp_path / "one.png"))
    assert (reader().read(f"{path}#1") == items).all()


def test_damaged_idx_files(tmp_path):
    path = write_idx(tmp_path / "images.idx", noise(2, 4, 6))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(WeftError, match="47 bytes after the header, which speaks of 2 x 4 x 6"):
        reader().read(f"{path}#1")
    path.write_bytes(b"\0\0\x0d" + content[3:])
    with pytest.raises(WeftError, match="kind 13; expected unsigned bytes"):
        reader().read(f"{path}#1")
    path.write_bytes(b"text\n")
    with pytest.raises(WeftError, match="not an IDX file"):
        reader().read(f"{path}#1")
    write_idx(path, noise(9))
    with pytest.raises(WeftError, match="an IDX file of size 9; expected 3 sizes, of images: how many, rows, columns"):
        reader().read(f"{path}#1")
