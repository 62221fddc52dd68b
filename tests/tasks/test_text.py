"""Lines in, lines out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from families import DECODERS, ENCODERS
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from weft import recipe
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.models import directory
from weft.models.seq2seq import Seq2Seq
from weft.tasks import text
from weft.tasks.text import Model, Prediction


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
    monkeypatch.setattr(model.reads, "block", 2)
    assert [p.text for p in model.stream(iter(lines))] == whole


def test_an_empty_line_is_answered_with_one(model: Model) -> None:
    *empty, second = model.predict(["", " ", "\u3000\t", "ab"])
    for one in empty:
        assert (one.text, one.finish_reason, one.tokens) == ("", "empty", [])
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
        ({"kind": "sampel"}, "search.kind is 'sampel': Input should be 'beam', 'diverse', 'sample' or 'gumbel'"),
        ({"kind": "diverse", "beam": 5, "groups": 2}, "search.groups is 2, which does not divide search.beam 5"),
        ({"temperature": 0}, "search.temperature is 0"),
        ({"temperature": 0.5}, "search.temperature is 0.5, which has no part in search.kind 'beam'"),
        ({"kind": "gumbel", "top_k": 3}, "expected search.kind sample, or no search.top_k"),
        ({"minimum_bayes_risk": 4, "groups": 4}, "search.groups is 4, which has no part in search.minimum_bayes_risk"),
        ({"minimum_bayes_risk": 4, "beam": 4}, "expected search.minimum_bayes_risk 0, or no search.beam"),
        ({"kind": "sample", "beam": 4}, "search.beam is 4, which has no part in search.kind 'sample'"),
        ({"language_model_weight": 0.5}, "there is no search.language_model"),
        ({"top_p": 1.5}, "search.top_p is 1.5"),
        ({"min_p": 1.0}, "search.min_p is 1.0"),
        ({"kind": "gumbel", "minimum_bayes_risk": 4}, "minimum_bayes_risk draws samples by itself"),
        ({"kind": "sample", "must": [["ab"]]}, "must needs search.kind beam"),
        ({"minimum_bayes_risk": 4, "must": [["ab"]]}, "must needs search.kind beam"),
        ({"prefix": ["aXb"]}, "prefix of line 1 is 'aXb', but the model's vocabulary cannot say 'aXb'"),
        ({"must": [["ab"], []]}, "the input ends after 1 line, must goes on"),
        ({"language_model": "nowhere"}, "nowhere: no such model directory"),
        ({"direction": "backward"}, "this model goes one way"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(model: Model, options: dict[str, object], message: str) -> None:
    with pytest.raises(WeftError) as caught:
        model.predict(["ab"], **options)
    assert message in str(caught.value)


def test_one_string_is_not_a_list(model: Model) -> None:
    with pytest.raises(WeftError, match="list of one"):
        model.predict("abc")


@pytest.mark.parametrize("options", [{"kind": "sample"}, {"kind": "gumbel"}, {"kind": "diverse", "groups": 3}], ids=str)
def test_every_kind_gives_the_same_in_batches_of_any_size(model: Model, options: dict[str, Any]) -> None:
    lines = ["abc", "h", "fed cba", "", "gg gg", "a"]
    one, many = (model.predict(lines, n_best=3, batch_tokens=tokens, **options) for tokens in (1, 10_000))
    assert [texts(p) for p in one] == [texts(p) for p in many]
    assert any(len(set(texts(p))) > 1 for p in one)


def texts(prediction: Prediction) -> list[str]:
    return [p.text for p in (prediction, *prediction.alternatives)]


def test_samples_go_by_seed_and_line(model: Model) -> None:
    lines = ["abc", "h", "fed"]
    drawn = [[p.text for p in model.predict(lines, kind="sample", temperature=1.5, seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    (first,) = model.predict(lines[:1], kind="sample", temperature=1.5)
    assert first.text == drawn[0][0]
    assert len(set(texts(model.predict(["abc"], n_best=8, kind="sample", temperature=2.0)[0]))) > 1


def test_more_outputs_than_the_beam_has_widen_it(model: Model) -> None:
    for options in ({"kind": "beam"}, {"kind": "gumbel"}, {"kind": "diverse", "groups": 3}):
        (best,) = model.predict(["abc"], n_best=7, beam=3, **options)
        assert 3 < len(set(texts(best))) <= 7


def test_minimum_bayes_risk_takes_the_sample_most_like_the_others(model: Model) -> None:
    options = {"temperature": 1.3, "seed": 4}
    (best,) = model.predict(["abc"], n_best=3, minimum_bayes_risk=12, **options)
    (drawn,) = model.predict(["abc"], n_best=12, kind="sample", **options)
    samples, metric = texts(drawn), CHRF()
    utilities = {text: sum(metric.sentence_score(text, [other]).score for other in samples) / 12 for text in samples}
    assert texts(best) == sorted(utilities, key=lambda text: (-utilities[text], samples.index(text)))[:3]
    assert best.utility == best.record()["utility"] == pytest.approx(max(utilities.values()))
    assert drawn.utility is None and "utility" not in drawn.record()


def test_each_line_holds_what_it_is_asked_to(model: Model) -> None:
    lines = ["abc", "h", "", "fed cba"]
    found = model.predict(
        lines,
        beam=8,
        max_extra=12,
        prefix=["ga", "", "h", ""],
        must=[["bb"], ["ed", "h h"], ["a"], []],
        never=[["c"], [], [], ["a", "e"]],
    )
    assert found[0].text.startswith("ga") and " bb" in found[0].text and " c" not in found[0].text
    assert " h h" in f" {found[1].text}" and " ed" in f" {found[1].text}"
    assert found[2].finish_reason == "empty"
    assert not found[3].text.startswith(("a", "e")) and " a" not in found[3].text and " e" not in found[3].text
    (alone,) = model.predict(["h"], beam=8, max_extra=12, must=[["ed", "h h"]])
    assert alone.text == found[1].text


def test_a_prefix_longer_than_the_cap_is_kept(model: Model) -> None:
    (found,) = model.predict(["a"], max_extra=0, prefix=["abcdefgh abc"])
    assert found.text == "abcdefgh abc"


@pytest.fixture
def other(model: Model) -> Model:
    """A model of another architecture with the same vocabularies."""
    torch.manual_seed(9)
    settings = recipe.Model(width=12, encoder=ENCODERS["lstm2"], decoder=DECODERS["post"])
    network = Seq2Seq(settings, model.source.size, model.target.size).double().eval()
    return Model(model.recipe, network, model.source, model.target)


def test_an_ensemble_of_one_is_the_model(model: Model) -> None:
    lines = ["abc", "h", "fed cba"]
    assert Model.ensemble([model]).predict(lines) == model.predict(lines)


def test_an_ensemble_averages_probabilities(model: Model, other: Model) -> None:
    both = Model.ensemble([model, other])
    pairs = [("abc", "fed"), ("h", "gg a"), ("dd", "")]
    for one, another, together in zip(model.score(pairs), other.score(pairs), both.score(pairs), strict=True):
        mean = torch.tensor([one.token_scores, another.token_scores]).exp().mean(0).log()
        assert together.token_scores == pytest.approx(mean.tolist(), rel=1e-5)
    (found,) = both.predict(["abc"], beam=3, attention=True)
    assert found.attention is not None
    (scored,) = both.score([("abc", found.text)])
    assert found.token_scores == pytest.approx(scored.token_scores[: len(found.token_scores)])


def test_members_of_an_ensemble_may_read_other_pieces(model: Model, tmp_path: Path) -> None:
    words = Vocabulary.learn(
        ["abc h fed"] * 5, recipe.Vocabulary(kind="word", size=30), "identity", tmp_path / "source.model"
    )
    settings = recipe.Model(width=12, encoder=ENCODERS["gru"], decoder=DECODERS["gru"])
    reader = Model(model.recipe, Seq2Seq(settings, words.size, model.target.size).double().eval(), words, model.target)
    both = Model.ensemble([model, reader])
    lines = ["abc h", "fed", "h h h"]
    together = both.predict(lines, attention=True)
    assert [both.predict([line])[0].text for line in lines] == [p.text for p in together]
    assert all(p.attention is None for p in together)
    assert together[0].source_tokens == model.predict(["abc h"])[0].source_tokens


def test_an_ensemble_speaks_in_the_same_pieces(model: Model, tmp_path: Path) -> None:
    settings = recipe.Vocabulary(kind="character", size=30)
    for learnt, message in (("abcdex gh", "piece "), ("abc", "pieces, where the model has")):
        vocabulary = Vocabulary.learn([learnt] * 5, settings, "identity", tmp_path / "target.model")
        strange = Model(model.recipe, model.network, model.source, vocabulary)
        with pytest.raises(WeftError, match=rf"^model 2 of the ensemble has another target vocabulary: .*{message}"):
            Model.ensemble([model, strange])
    with pytest.raises(WeftError, match="at least one"):
        Model.ensemble([])


@pytest.fixture
def saved_language_model(model: Model, tmp_path: Path) -> Path:
    """The folder of a language model with the same target vocabulary."""
    folder = tmp_path / "language"
    folder.mkdir()
    nothing = {"encoder": {"kind": "none"}, "context": {"given": "none"}}
    settings = {"width": 12, **nothing, "decoder": {"kind": "rnn", "width": 12, "attention": None}}
    shared = {"shared": True, "source": {"kind": "character", "size": 30}}
    made = recipe.checked({"data": {"train": "x"}, "model": settings, "vocabulary": shared}, "here")
    torch.manual_seed(2)
    directory.save_weights(Seq2Seq(made.model, model.target.size, model.target.size), folder / directory.WEIGHTS)
    directory.save_vocabularies(folder, model.target, model.target, made)
    (folder / directory.RECIPE).write_text(recipe.dump(made))
    return folder


def test_shallow_fusion_adds_the_language_models_score(model: Model, saved_language_model: Path) -> None:
    (found,) = model.predict(["abc"], beam=4, language_model=str(saved_language_model), language_model_weight=0.7)
    pair = [("abc", found.text)]
    (alone,), (beside,) = model.score(pair), text.load(saved_language_model).score(pair)
    expected = [p + 0.7 * q for p, q in zip(alone.token_scores, beside.token_scores, strict=True)]
    assert found.token_scores == pytest.approx(expected[: len(found.token_scores)], rel=1e-4)


def test_a_language_model_goes_on_with_its_lines(saved_language_model: Path) -> None:
    model = text.load(saved_language_model)
    lines = ["ab", "", "gg h"]
    found = model.predict(lines, kind="sample", n_best=2)
    assert all(
        p.text.startswith(line) and p.finish_reason in ("end", "length") for p, line in zip(found, lines, strict=True)
    )
    assert texts(model.predict(["", "ab"], kind="sample", n_best=2)[1]) != texts(
        found[0]
    )  # another line, another sample
    with pytest.raises(WeftError, match="prefixes already"):
        model.predict(["ab"], prefix=["a"])


def test_only_a_language_model_stands_beside(model: Model, saved_language_model: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    made = model.recipe.model_copy(
        update={"model": recipe.Model(width=12, encoder=ENCODERS["gru"], decoder=DECODERS["gru"])}
    )
    directory.save_weights(Seq2Seq(made.model, model.source.size, model.target.size), plain / directory.WEIGHTS)
    directory.save_vocabularies(plain, model.source, model.target, made)
    (plain / directory.RECIPE).write_text(recipe.dump(made))
    with pytest.raises(WeftError, match=r"plain: not a language model: its model.encoder.kind is rnn; expected none"):
        model.predict(["abc"], language_model=str(plain))
    words = Vocabulary.learn(["ab"] * 5, recipe.Vocabulary(kind="character"), "identity", tmp_path / "x.model")
    strange = Model(model.recipe, model.network, model.source, words)
    with pytest.raises(WeftError, match=r"^the language model .* vocabulary: .*; train it with start\.target_voc"):
        strange.predict(["abc"], language_model=str(saved_language_model))


def test_the_score_of_an_output_is_what_the_search_gave_it(model: Model) -> None:
    lines = ["abc", "h", "fed cba", "gg gg"]
    found = model.predict(lines, beam=4)
    scored = model.score([(line, p.text) for line, p in zip(lines, found, strict=True)])
    for one, prediction in zip(scored, found, strict=True):
        assert one.tokens == prediction.tokens
        assert one.token_scores[: len(prediction.token_scores)] == pytest.approx(prediction.token_scores)
        if prediction.finish_reason == "end":
            assert one.log_probability == pytest.approx(sum(prediction.token_scores))


def test_scores_are_in_order_whatever_the_batch(model: Model) -> None:
    pairs = [("abc", "fed"), ("", "a"), ("h", ""), ("fed cba", "aXa"), ("", "")] * 2
    one, many = (model.score(pairs, batch_tokens=tokens) for tokens in (1, 10_000))
    assert [x.token_scores for x in one] == [pytest.approx(x.token_scores) for x in many]
    assert [len(x.token_scores) for x in one] == [len(target) + 1 for _, target in pairs]
    assert one[3].unknown == 1 and one[3].record()["unknown_target_tokens"] == 1
    assert one[0].perplexity == pytest.approx(math.exp(-one[0].log_probability / 4))
    assert model.score([]) == []


def test_a_missing_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match="no such model directory"):
        text.load(tmp_path / "none")
