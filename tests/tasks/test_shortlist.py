"""Models that say only what goes with their sources."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from families import DECODERS, ENCODERS

import weft.recipe
from weft.data.shortlist import FILE, Shortlist
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.models import directory
from weft.models.seq2seq import Seq2Seq
from weft.tasks.narrowed import check, learn
from weft.tasks.text import Model, load

LINES = ["abc", "h", "fed cba", "", "gg gg", "a"]
TEXTS = ["ab c", "fed", "gh a", "b", "hhc", "def g", "fa", "eb", "dc", "hf", "ge"]
WAYS = [{"beam": 1}, {"beam": 3}, {"kind": "diverse", "beam": 4, "groups": 2}, {"beam": 2, "no_repeat_ngram": 2}]


def made(folder: Path, encoder: str = "gru", decoder: str = "gru", **model: object) -> Path:
    """A model's folder, with pairs of letters and their capitals."""
    folder.mkdir()
    pairs = folder / "pairs.tsv"
    pairs.write_text("".join(f"{text}\t{text.upper()}\n" for text in TEXTS * 4))
    vocabulary = {"source": {"kind": "character", "size": 60}, "shared": True}
    settings = {"data": {"train": str(pairs)}, "vocabulary": vocabulary, "search": {"max_ratio": 1.0, "max_extra": 4}}
    recipe = weft.recipe.checked(settings, "here")
    shape = weft.recipe.Model(width=12, encoder=ENCODERS[encoder], decoder=DECODERS[decoder], **model)  # type: ignore[arg-type]
    recipe = recipe.model_copy(update={"model": shape})
    pieces = Vocabulary.learn(["abcdefgh ABCDEFGH"], recipe.vocabulary.source, "identity", folder / directory.SOURCE)
    torch.manual_seed(4)
    network = Seq2Seq(shape, pieces.size, pieces.size)
    torch.nn.init.normal_(network.output.projection.bias, std=0.5)
    directory.save_weights(network, folder / directory.WEIGHTS)
    (folder / directory.RECIPE).write_text(weft.recipe.dump(recipe))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("models") / "one")


def everything(model: Model) -> Shortlist:
    size = model.target.size
    return Shortlist(np.full((model.source.size, 1), 3, np.int32), np.arange(size, dtype=np.int32), size, False)


@pytest.mark.parametrize("for_search", ["packed", "network"])
def test_a_list_of_everything_changes_nothing(tmp_path: Path, for_search: str) -> None:
    model = load(made(tmp_path / "model", "pre", "post"))
    packed = model.packed if for_search == "packed" else None
    listed = Model(model.recipe, model.network, model.source, model.target, packed=packed, shortlist=everything(model))
    for way in WAYS:
        held = {"prefix": ["A"] * 6, "never": [["B"]] * 6} | ({"must": [["DE"]] * 6} if way == {"beam": 3} else {})
        for options in ({}, held):
            found = (each.predict(LINES, **options, **way) for each in (model, listed))
            for one, other in zip(*found, strict=True):
                assert (one.text, one.tokens, one.finish_reason) == (other.text, other.tokens, other.finish_reason)
                assert one.token_scores == pytest.approx(other.token_scores, abs=1e-6)


def test_what_is_learnt_is_said_and_nothing_else(folder: Path) -> None:
    learn(folder, best=2, frequent=1, say=lambda line: None).save(folder)
    model = load(folder, shortlist=True)
    capitals = {letter: {letter.upper(), letter} for letter in "abcdefgh"}
    frequent = model.target.pieces(model.shortlist.frequent.tolist())
    for letter in "abcdefgh":
        best = model.target.pieces(model.shortlist.best[model.source.encode(letter)[0]].tolist())
        assert letter.upper() in best
        allowed = capitals[letter] | set(best) | set(frequent)
        assert set(model.predict([letter], min_length=2)[0].tokens) <= allowed


def test_what_a_line_is_told_to_hold_is_said_though_it_is_not_in_the_list(folder: Path) -> None:
    nothing = np.zeros((load(folder).source.size, 1), np.int32)
    model = load(folder)
    model.shortlist = Shortlist(nothing, nothing[:0, 0], model.target.size, False)
    outputs = model.predict(["abc", "fed"], prefix=["GH", ""], must=[[], ["CC"]], never=[["D"], []], beam=4)
    assert outputs[0].text.startswith("GH") and set(outputs[0].text) <= set("GHC")
    assert outputs[1].text.strip(" ").find("CC") >= 0
    assert "D" not in outputs[0].text


def test_an_ensemble_goes_by_the_first_list_and_integers_leave_the_output_as_it_is(
    folder: Path, tmp_path: Path
) -> None:
    learn(folder, best=2, frequent=1, say=lambda line: None).save(folder)
    without = shutil.copytree(folder, tmp_path / "without")
    (without / FILE).unlink()
    alone, both = (load(each, shortlist=True) for each in (folder, [folder, without]))
    assert [p.text for p in both.predict(LINES)] == [p.text for p in alone.predict(LINES)]
    copying = load(made(tmp_path / "copying", copy_source=True))
    with pytest.raises(WeftError, match=r"model 2 of the ensemble: a shortlist has no place in this model: it copies"):
        Model.ensemble([alone, copying])
    whole = load(without, weights="int8")
    with pytest.raises(WeftError, match=r"^model 2 of the ensemble has an output layer in integers"):
        Model.ensemble([load(folder, weights="int8", shortlist=True), whole])
    rounded = load(folder, weights="int8", shortlist=True)
    assert isinstance(rounded.network.output.projection, torch.nn.Linear)
    assert len(rounded.predict(LINES)) == len(LINES)
    with pytest.raises(WeftError, match=r"search.language_model says words of all the vocabulary"):
        alone.predict(["a"], language_model=str(folder))


def test_lists_that_have_no_place(folder: Path, tmp_path: Path) -> None:
    copying = made(tmp_path / "copying", copy_source=True)
    for failing in (lambda: load(copying, shortlist=True), lambda: learn(copying, 1, 1, print)):
        with pytest.raises(WeftError, match=r"a shortlist has no place in this model: it copies from the source"):
            failing()
    recipe = load(folder).recipe
    lines = recipe.model_copy(update={"data": recipe.data.model_copy(update={"gaps": weft.recipe.Gaps()})})
    with pytest.raises(WeftError, match=r"no place in this model: it learns from lines alone \(data.gaps\)"):
        check(lines, folder)
    size = load(folder).target.size
    Shortlist(np.zeros((7, 1), np.int32), np.zeros(1, np.int32), size, True).save(folder)
    with pytest.raises(WeftError, match=rf"{FILE}: of vocabularies with 7 and {size} pieces; the model's have {size}"):
        load(folder, shortlist=True)
