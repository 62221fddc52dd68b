import json
import os
import random
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from shapes import INPUT, picture, write_idx, write_pictures

import weft.data.preparation
import weft.recipe
from weft.data.captions import named_at, read_captioned
from weft.data.corpus import prepare
from weft.data.examples import Examples, read_batch
from weft.data.first_line import first_lines
from weft.data.images import ImageReader
from weft.errors import WeftError
from weft.recipe import Columns, Parallel


def recipe(**data):
    settings = {
        "data": {"dev_fraction": 0.2, **data},
        "vocabulary": {"target": {"kind": "word", "size": 20}},
        "model": {"input": INPUT},
        "training": {"batch_tokens": 40},
    }
    return weft.recipe.checked(settings, "test")


def test_names_start_from_the_folder_of_the_file_that_has_them(tmp_path):
    captions = write_pictures(tmp_path, 2)
    pairs = list(read_captioned(str(captions), Columns(), None))
    assert [name for name, _ in pairs] == [str(tmp_path / f"images/0{number}.png") for number in (0, 1)]
    moved = tmp_path / "lists" / "captions.csv"
    moved.parent.mkdir()
    moved.write_text('00.png,"one, two"\n\n01.png,three\n')
    there = str(tmp_path / "images")
    assert list(read_captioned(str(moved), Columns(), there)) == [
        (f"{there}/00.png", "one, two"), ("", ""), (f"{there}/01.png", "three"),
    ]  # fmt: skip


def test_idx_files_of_images_and_labels_or_lines(tmp_path):
    images = write_idx(tmp_path / "images.gz", np.zeros((3, 4, 12), np.uint8))
    labels = write_idx(tmp_path / "labels.idx", np.array([7, 0, 12], np.uint8))
    lines = tmp_path / "lines.txt"
    lines.write_text("a\nb\nc\n")
    names = [f"{images}#{number}" for number in (1, 2, 3)]
    for target, expected in ((labels, ["7", "0", "12"]), (lines, ["a", "b", "c"])):
        files = Parallel(source=str(images), target=str(target))
        assert list(read_captioned(files, Columns(), None)) == list(zip(names, expected, strict=True))
    lines.write_text("a\nb\n")
    with pytest.raises(WeftError, match=r"lines.txt has 2 lines, .*images.gz has 3 lines: line 3"):
        list(read_captioned(Parallel(source=str(images), target=str(lines)), Columns(), None))


def test_parquet_with_bytes_or_with_names(tmp_path):
    path = str(tmp_path / "rows.parquet")
    columns = Columns(source="image", target="text")
    pyarrow.parquet.write_table(pa.table({"image": [b"1", b"2"], "text": ["a", "b"]}), path)
    assert list(read_captioned(path, columns, None)) == [(f"{path}#1", "a"), (f"{path}#2", "b")]
    pyarrow.parquet.write_table(pa.table({"image": ["x.png"], "text": ["a"]}), path)
    assert list(read_captioned(path, columns, "images")) == [("images/x.png", "a")]
    names = pa.array(["x.png"]).dictionary_encode()
    pyarrow.parquet.write_table(pa.table({"image": names, "text": ["a"]}), path)
    assert list(read_captioned(path, columns, "images")) == [("images/x.png", "a")]
    assert named_at(path, "images/x.png", "images") == f"{path}: row 1: "


def test_captions_are_read_where_an_autoencoder_was_prepared_before(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    captioner = recipe(train=str(write_pictures(tmp_path, 10)))
    settings = captioner.model_dump()
    settings["model"]["decoder"] = {"kind": "pixels"}
    assert prepare(weft.recipe.checked(settings, "test")).train.target_text(0) == "image"
    assert prepare(captioner).train.target_text(0) != "image"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_captions_from_a_pipe_come_whole_and_are_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("".join(f"{n}.png\tcaption\n" for n in range(5)),))
    writer.start()
    assert len(list(read_captioned(str(pipe), Columns(), None))) == 5
    assert first_lines([str(pipe)], Columns()) == []
    writer.join()


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl"])
def test_the_line_that_names_an_image_is_found(tmp_path, suffix):
    rows = [("1.png", "a"), ("11.png", "b"), ("b.png", "1.png")]
    form = {
        "tsv": lambda row: "\t".join(row),
        "csv": lambda row: ",".join(f'"{cell}"' for cell in row),
        "jsonl": lambda row: json.dumps({"source": row[0], "target": row[1]}),
    }[suffix]
    path = tmp_path / f"captions.{suffix}"
    path.write_text("".join(form(row) + "\n" for row in rows))
    assert named_at(str(path), str(tmp_path / "11.png"), None) == f"{path}:2: "
    assert named_at(str(path), str(tmp_path / "2.png"), None) == ""


def test_images_are_kept_whole_and_come_in_batches_by_positions(tmp_path):
    captions = write_pictures(tmp_path, 40)
    data = prepare(recipe(train=str(captions)))
    assert data.counts.kept + data.counts.dev == 40
    assert data.counts.source_size == 0
    reader = ImageReader(recipe(train="x").model.input, Columns())
    for part in (data.train, data.dev):
        for i in range(len(part)):
            assert (part.store.image(i) == reader.read(part.source_text(i))).all()
    assert set(data.train.source_lengths) == {3}
    examples = Examples(recipe(train=str(captions)), data)
    batches = [examples.batch(rows, 0) for rows in examples.order.epoch(0)]
    assert max(len(batch.source) for batch in batches) <= 40 // 4
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(data.train)))
    batch = batches[0]
    assert batch.source.data.shape[1:] == (1, 4, 12)
    assert batch.source.data.dtype == torch.uint8
    assert batch.source.mask().shape == (len(batch.rows), 3)
    assert batch.source.mask().all()
    part = batch.part(np.array([1, 0]))
    assert (part.source.data == batch.source.data[[1, 0]]).all()
    assert (read_batch(data.train, batch.rows).source.data == batch.source.data).all()


def test_images_are_read_in_blocks_of_so_many_pixels(tmp_path, monkeypatch):
    captions = write_pictures(tmp_path, 30)
    with open(captions, "a") as file:
        file.write("images/00.png\t \n\tdark\nimages/01.png\t" + "dark " * 20 + "\n")
    whole = prepare(recipe(train=str(captions), max_length=9))
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(weft.data.preparation, "BLOCK_OF_PIXELS", 4 * 48)  # bytes of four images
    parts = prepare(recipe(train=str(captions), max_length=9))
    assert parts.train.store.shape == (1, 4, 12)
    assert (parts.counts.empty_source, parts.counts.empty_target, parts.counts.too_long) == (1, 1, 1)
    for one, other in ((whole.train, parts.train), (whole.dev, parts.dev)):
        assert len(one) == len(other) > 0
        for i in range(len(one)):
            assert (one.store.image(i) == other.store.image(i)).all()
            assert (one.target(i) == other.target(i)).all()


def test_the_cache_goes_by_the_pixels_and_the_size(tmp_path):
    captions = write_pictures(tmp_path, 20)
    first = prepare(recipe(train=str(captions)))
    again = []
    assert prepare(recipe(train=str(captions)), report=again.append).fingerprint == first.fingerprint
    assert again == []
    other = weft.recipe.checked(
        {**recipe(train=str(captions)).model_dump(), "model": {"input": {**INPUT, "width": 24}}}, "test"
    )
    assert prepare(other).fingerprint != first.fingerprint
    from PIL import Image

    Image.fromarray(picture([1, 1, 1], random.Random(9))).save(tmp_path / "images/03.png")
    assert prepare(recipe(train=str(captions))).fingerprint != first.fingerprint


def test_images_that_were_moved_are_the_same_data_split_alike(tmp_path):
    captions = write_pictures(tmp_path / "here", 30)
    first = prepare(recipe(train=str(captions)))
    (tmp_path / "here").rename(tmp_path / "there")
    second = prepare(recipe(train=str(tmp_path / "there" / "captions.tsv")))
    assert second.fingerprint == first.fingerprint
    for i in range(len(first.dev)):
        assert second.dev.source_text(i) == first.dev.source_text(i).replace("here", "there")


def test_a_missing_or_damaged_image_is_named_with_its_line(tmp_path):
    captions = write_pictures(tmp_path, 6)
    (tmp_path / "images/04.png").write_bytes(b"no image")
    with pytest.raises(WeftError, match=r"captions.tsv:5: .*images/04.png: not an image"):
        prepare(recipe(train=str(captions)))
    (tmp_path / "images/04.png").unlink()
    with pytest.raises(WeftError, match=r"captions.tsv:5: .*images/04.png: no such file"):
        prepare(recipe(train=str(captions)))
