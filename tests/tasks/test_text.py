"""Lines in, lines out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import DECODERS, ENCODERS
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import recipe
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.models.seq2seq import Seq2Seq
from weft.tasks import text
from weft.tasks.text import Model


@pytest.fixture(scope="module", params=[("gru", "gru"), ("pre", "post")], ids=["rnn", "transformer"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("vocabulary")
    torch.manual_seed(4)
    kind = recipe.Vocabulary(kind="character", size=30)
    vocabulary = Vocabulary.learn(["abcdef gh"] * 5, kind, "identity", folder / "source.model")
    encoder, decoder = request.param
    made = recipe.checked({"data": {"train": "x"}, "search": {"beam": 3, "max_ratio": 1.0, "max_extra": 4}}, "here")
    settings = recipe.Model(width=12, encoder=ENCODERS[encoder], decoder=DECODERS[decoder])
    network = Seq2Seq(settings, vocabulary.size, vocabulary.size).double().eval()
    return Model(made, network, vocabulary, vocabulary)


line = st.text("abcdefgh ", max_size=9)


@settings(max_examples=15, deadline=None)
@given(lines=st.lists(line, max_size=8))
def test_one_output_a_line_in_order_whatever_the_batch(model: Model, lines: list[str]) -> None:
    together = model.predict(lines)
    assert len(together) == len(lines)
    for each, prediction in zip(lines, together, strict=True):
        (alone,) = model.predict([each])
        assert (alone.text, alone.tokens, alone.finish_reason) == (
            prediction.text,
            prediction.tokens,
            prediction.finish_reason,
        )
        assert alone.score == pytest.approx(prediction.score)


def test_batches_of_any_size_give_the_same(model: Model) -> None:
    lines = ["abc", "h", "fed cba", "", "gg gg", "a"] * 3
    one, many = (model.predict(lines, batch_tokens=tokens) for tokens in (1, 10_000))
    assert [p.text for p in one] == [p.text for p in many]


def test_blocks_do_not_matter(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["abc", "h", "fed", "cc", "gg gg"]
    whole = [p.text for p in model.predict(lines)]
    monkeypatch.setattr(text, "BLOCK", 2)
    assert [p.text for p in model.stream(iter(lines))] == whole


def test_an_empty_line_is_answered_with_one(model: Model) -> None:
    first, second = model.predict(["", "ab"])
    assert (first.text, first.finish_reason, first.tokens) == ("", "empty", [])
    assert second.finish_reason in ("end", "length")


def test_n_best_are_different_and_ordered(model: Model) -> None:
    (best,) = model.predict(["abc"], n_best=4)
    everything = [best, *best.alternatives]
    assert len({tuple(p.tokens) for p in everything}) == len(everything) == 4
    order = [(p.finish_reason == "length", -p.score) for p in everything]
    assert order == sorted(order)
    assert str(best) == best.text


def test_attention_fits_its_line(model: Model) -> None:
    for prediction in model.predict(["abc", "fedcbaa"], attention=True):
        rows, columns = prediction.attention.shape
        assert rows == len(prediction.token_scores)
        assert columns == len(prediction.source_tokens) + 1
        torch.testing.assert_close(prediction.attention.sum(1), torch.ones(rows).double())


def test_what_the_model_has_never_seen_is_counted(model: Model) -> None:
    seen, unseen = model.predict(["abc", "aXc"])
    assert seen.unknown == 0 and unseen.unknown == 1
    assert "unknown_source_tokens" in unseen.record() and "unknown_source_tokens" not in seen.record()


def test_training_goes_on_in_the_mode_it_was_in(model: Model) -> None:
    model.network.train()
    model.predict(["ab"])
    assert model.network.training
    model.network.eval()
    model.predict(["ab"])
    assert not model.network.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 3}, "search has no setting 'beams'; did you mean 'beam'?"),
        ({"beam": 0}, "search.beam is 0"),
        ({"length_penalty": "x"}, "search.length_penalty is 'x'"),
        ({"n_best": 0}, "n_best is 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(model: Model, options: dict[str, object], message: str) -> None:
    with pytest.raises(WeftError) as caught:
        model.predict(["ab"], **options)
    assert message in str(caught.value)


def test_one_string_is_not_a_list(model: Model) -> None:
    with pytest.raises(WeftError, match="list of one"):
        model.predict("abc")


def test_a_missing_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match="no such model directory"):
        text.load(tmp_path / "none")
