"""Tags read off an encoder, alone and in a chain."""

from __future__ import annotations

import itertools

import pytest
import torch
from families import ENCODERS, random_ids

from weft.data.batch import Padded
from weft.models.seq2seq import Seq2Seq
from weft.models.tags import Places
from weft.recipe import Context, Embedding, Model, TagDecoder
from weft.search.choosers import Beam
from weft.search.hypothesis import Limits
from weft.search.rules import Exactly
from weft.search.run import search

TAGS = 7  # ids 0..3 are special
every = pytest.mark.parametrize(
    ("encoder", "of", "chain"),
    [("gru", "words", True), ("lstm2", "both", True), ("pre", "words", False), ("conv", "line", False),
     ("gru", "line", True), ("post", "both", False)],
)  # fmt: skip


def tagger(encoder: str, of: str, chain: bool, starts: list[bool] | None = None, summary: str = "weighted") -> Seq2Seq:
    settings = Model(
        width=12,
        encoder=ENCODERS[encoder],
        decoder=TagDecoder(of=of, chain=chain, dropout=0.0),
        context=Context(of=summary),
        embedding=Embedding(dropout=0.0),
    )
    torch.manual_seed(3)
    model = Seq2Seq(settings, 11, TAGS, None if starts is None else torch.tensor(starts)).double().eval()
    if chain:
        torch.nn.init.normal_(model.decoder.transitions)
    return model


def places(model: Seq2Seq, source: Padded) -> list[int]:
    """How many tags, with the end, each sentence has; here every token is a word, and the last is the end."""
    words = {"words": 0, "both": 1}
    of = model.decoder.of
    return [2 if of == "line" else length + words[of] for length in source.lengths.tolist()]


@every
def test_forward_is_the_loop_over_step(encoder: str, of: str, chain: bool) -> None:
    model = tagger(encoder, of, chain)
    source = random_ids([5, 3, 7], 11)
    steps = max(places(model, source))
    fed = random_ids([steps] * 3, TAGS)
    together, weights = model(source, fed)
    fixed, state = model.start(source)
    for time in range(steps):
        step, looked, state = model.step(fed.data[:, time], state, fixed)
        torch.testing.assert_close(step, together[:, time], atol=1e-10, rtol=0)
        torch.testing.assert_close(looked, weights[:, :, time], atol=1e-10, rtol=0)


@every
def test_padding_changes_nothing(encoder: str, of: str, chain: bool) -> None:
    model = tagger(encoder, of, chain)
    source = random_ids([2, 9, 5], 11)
    lengths = places(model, source)
    fed = random_ids(lengths, TAGS)
    together, looked = model(source, fed)
    for row, (length, count) in enumerate(zip(source.lengths.tolist(), lengths, strict=True)):
        alone, weights = model(
            Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1]),
            Padded(fed.data[row : row + 1, :count], fed.lengths[row : row + 1]),
        )
        torch.testing.assert_close(alone[0], together[row, :count], atol=1e-10, rtol=0)
        torch.testing.assert_close(weights[0], looked[row, :, :count, :length], atol=1e-10, rtol=0)


@every
def test_weights_are_shares_of_the_source(encoder: str, of: str, chain: bool) -> None:
    model = tagger(encoder, of, chain)
    source = random_ids([4, 6], 11)
    _, weights = model(source, random_ids(places(model, source), TAGS))
    for row, count in enumerate(places(model, source)):
        torch.testing.assert_close(weights[row, 0, :count].sum(-1), torch.ones(count).double())


@pytest.mark.parametrize("summary", ["last", "mean", "max", "weighted"])
def test_a_label_looks_where_the_context_comes_from(summary: str) -> None:
    model = tagger("gru", "line", False, summary=summary)
    source = random_ids([4, 6], 11)
    _, weights = model(source, random_ids([2, 2], TAGS))
    looked = weights[0, 0, 0]
    torch.testing.assert_close(looked.sum(), torch.tensor(1.0).double())
    assert not looked[4:].any()
    if summary == "last":
        assert looked[3] == 1
    if summary == "mean":
        torch.testing.assert_close(looked[:4], torch.full((4,), 0.25).double())


def test_a_word_is_the_mean_of_its_pieces() -> None:
    starts = [False] * 11
    starts[5] = starts[7] = True
    of_words = Places(TagDecoder(of="words"), torch.tensor(starts))
    source = Padded(torch.tensor([[5, 9, 9, 7, 3], [9, 7, 3, 0, 0]]), torch.tensor([5, 3]))
    found = of_words(source, torch.ones(2, 5))
    third = 1 / 3
    expected = [
        [[third, third, third, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]],
        [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def chain_scores(model: Seq2Seq, source: Padded, length: int) -> dict[tuple[int, ...], float]:
    """log p of every sequence of tags by the field's definition: its score over the sum of all scores."""
    decoder = model.decoder
    memory = model.encode(source)
    emissions = decoder.emit(decoder.word(memory.places @ memory.values))[0]
    scores = {}
    for tags in itertools.product(range(TAGS), repeat=length):
        before = (2, *tags)
        scores[tags] = float(
            sum(emissions[t, tag] + decoder.transitions[before[t], tag] for t, tag in enumerate(tags)).detach()
        )
    total = torch.tensor(list(scores.values()), dtype=torch.float64).logsumexp(0).item()
    return {tags: score - total for tags, score in scores.items()}


def test_a_chain_is_the_conditional_random_field() -> None:
    model = tagger("gru", "words", True)
    source = random_ids([4], 11)
    expected = chain_scores(model, source, 4)
    for tags in list(expected)[:: len(expected) // 40]:
        fed = Padded(torch.tensor([[2, *tags[:-1]]]), torch.tensor([4]))
        said, _ = model(source, fed)
        found = said[0].gather(1, torch.tensor(tags)[:, None]).sum().detach()
        assert float(found) == pytest.approx(expected[tags], abs=1e-9)


def test_a_wide_beam_finds_the_best_sequence() -> None:
    model = tagger("gru", "words", True)
    source = random_ids([4], 11)
    ending = {tags: score for tags, score in chain_scores(model, source, 4).items() if tags[3] == 3}
    ending = {tags: score for tags, score in ending.items() if 3 not in tags[:3]}
    limits = Limits(begin=2, end=3, max_lengths=[3])
    found = search(model, source, Beam(TAGS**2), limits, [Exactly([3], 3, torch.device("cpu"))])[0][0]
    assert tuple(found.tokens) == max(ending, key=ending.__getitem__)[:3]
    assert sum(found.token_scores) == pytest.approx(max(ending.values()), abs=1e-9)


def test_tags_without_a_chain_do_not_depend_on_each_other() -> None:
    model = tagger("pre", "words", False)
    source = random_ids([5], 11)
    one, _ = model(source, random_ids([5], TAGS))
    other, _ = model(source, random_ids([5], TAGS))
    torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_every_parameter_gets_a_gradient() -> None:
    model = tagger("gru", "both", True)
    source = random_ids([5, 3], 11)
    gold = random_ids([6, 4], TAGS)
    features, _ = model(source, gold)
    loss, count = model.output.loss(features, gold, smoothing=0.1)
    assert int(count) == 10
    (loss / count).backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not {name for name, parameter in trained.items() if not parameter.grad.abs().sum() > 0}
