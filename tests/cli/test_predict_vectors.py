"""weft predict --vector, and weft look --nearest."""

import numpy as np
import pyarrow.parquet
import pytest
import torch

import weft
from weft.errors import WeftError


@pytest.fixture
def lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text("cat\n\nphone\ntomato\na\n")
    return ["cat", "", "phone", "tomato", "a"]


def test_vectors_are_the_contexts_of_the_lines(run_weft, model, lines):
    code, out, err = run_weft("predict", model, "lines.txt", "--vector", "vectors.npy", "--batch-tokens", 12)
    assert (code, out, err) == (0, "", "weft: 5 vectors of width 16 in vectors.npy\n")
    found = np.load("vectors.npy")
    loaded = weft.load(model)
    assert found.shape == (5, 16)
    assert np.isnan(found[1]).all()
    for row in (0, 2, 3, 4):
        source = loaded.padded([(loaded.source.encode(lines[row]),)])
        with torch.no_grad():
            alone = loaded.network.encode(source).context[0].numpy()
        assert found[row] == pytest.approx(alone, abs=1e-6)


def test_parquet_has_the_lines_beside_the_vectors(run_weft, model, lines):
    assert run_weft("predict", model, "lines.txt", "--vector", "vectors.parquet")[0] == 0
    table = pyarrow.parquet.read_table("vectors.parquet")
    assert table["line"].to_pylist() == lines
    vectors = weft.load(model).vectors(lines)
    for found, vector in zip(table["vector"].to_pylist(), vectors, strict=True):
        assert found is None if np.isnan(vector).any() else found == vector.tolist()


def test_no_lines_have_no_vectors(run_weft, model, lines, tmp_path):
    (tmp_path / "none.txt").write_text("")
    for name in ("none.npy", "none.parquet"):
        assert run_weft("predict", model, "none.txt", "--vector", name)[0] == 0
    assert np.load("none.npy").shape == (0, 16)
    assert pyarrow.parquet.read_table("none.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--vector", "vectors.txt"), "vectors go into a file whose name ends in .npy or .parquet"),
        (("--vector", "none/vectors.npy"), "none/vectors.npy: cannot be written: No such file or directory"),
        (("--vector", "vectors.npy", "--beam", 3), "--vector searches for nothing; --beam has no part in it"),
        (("--vector", "vectors.npy", "--n-best", 2), "--n-best has no part in it, leave it out"),
        (("--vector", "vectors.npy", "--workers", 2), "--workers has no part in it, leave it out"),
        (("--vector", "vectors.npy", "--fill"), "--fill has no part in it, leave it out"),
        (("--vector", "vectors.npy", "--jsonl"), "--jsonl has no part in it, leave it out"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(run_weft, model, lines, options, message):
    code, _, err = run_weft("predict", model, "lines.txt", *options)
    assert (code, err) == (2, f"weft: {message}\n") or message in err
    assert code == 2


def test_an_ensemble_has_none(model):
    with pytest.raises(WeftError, match="an ensemble has no vector of a line"):
        weft.load([model, model]).vectors(["cat"])


def test_nearest_lines_by_vector(run_weft, model, lines):
    loaded = weft.load(model)
    there = [line for line in lines if line]
    vectors = loaded.vectors([*there, "cats"])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors[:-1] @ vectors[-1]
    best = np.argsort(-alike)[:2]
    code, out, _ = run_weft("look", model, "--nearest", "cats", "--among", "lines.txt", "--count", 2)
    assert code == 0
    assert out.splitlines() == ["cats", *(f"  {alike[place]:.3f}  {there[place]}" for place in best)]
    assert "--nearest needs --among FILE" in run_weft("look", model, "--nearest", "cats")[2]
