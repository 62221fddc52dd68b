"""A model made ready for search says what the model says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import COMBINATIONS, random_ids, small_model
from torch import Tensor

from weft.models.base import reorder
from weft.models.folded import OneSource
from weft.models.key_values import KeyValues
from weft.models.packed import Packed
from weft.models.product import Product
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Attention, Context, Model, TransformerDecoder, TransformerEncoder
from weft.search.choosers import Beam, Chooser, Greedy
from weft.search.hypothesis import Hypothesis, Limits
from weft.search.run import search
from weft.search.sampling import Draw, Sample

LENGTHS, CAPS = [3, 6, 1, 5, 5, 2, 7], [12, 9, 13, 5, 7, 9, 45]
STACK: dict[str, Any] = {"heads": 2, "layers": 2, "feed_forward": 24, "dropout": 0.0}


def found(model: Any, chooser: Chooser, lengths: list[int] = LENGTHS) -> list[list[Hypothesis]]:
    """Sentences leave at different times, and one goes on for longer than a block has places at first."""
    return search(model, source(lengths), chooser, Limits(2, 3, CAPS, n_best=2, attention=True))


def source(lengths: list[int]) -> Any:
    torch.manual_seed(7)
    return random_ids(lengths, 11)


def check(network: Seq2Seq, lengths: list[int] = LENGTHS) -> None:
    packed = Packed(network, "float32")
    line_numbers, device = range(len(LENGTHS)), torch.device("cpu")
    draws = (Sample(Draw(), 3, 1, line_numbers, max(CAPS), device) for _ in range(2))
    for chooser, same in zip((Greedy(), Beam(4), next(draws)), (Greedy(), Beam(4), next(draws)), strict=True):
        for ours, theirs in zip(found(network, chooser, lengths), found(packed, same, lengths), strict=True):
            assert [one.tokens for one in ours] == [one.tokens for one in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert one.token_scores == pytest.approx(other.token_scores, abs=1e-5)
                if one.attention is not None:
                    torch.testing.assert_close(other.attention, one.attention, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("encoder", "decoder"), [pair for pair in COMBINATIONS if pair[0] in ("gru", "pre", "modern")])
def test_it_finds_what_the_model_finds(encoder: str, decoder: str) -> None:
    torch.manual_seed(1)
    network = small_model(encoder, decoder).float()
    with torch.no_grad():
        network.output.projection.bias[3] = -1.0  # long outputs
    check(network)


@pytest.mark.parametrize("decoder", ["pre", "post", "modern", "ssru"])
@pytest.mark.parametrize(("length", "folded"), [(1, True), (4, True), (40, False)])
def test_one_sentence_is_looked_at_as_among_others(decoder: str, length: int, folded: bool) -> None:
    torch.manual_seed(1)
    network = small_model("pre", decoder).float()
    check(network, [length])
    (fixed, _), _ = Packed(network, "float32").start(source([length]))
    assert isinstance(fixed.source, OneSource) == folded


@pytest.mark.parametrize("given", ["none", "first", "every", "both"])
@pytest.mark.parametrize("kind", ["multi_head", "additive", None])
@pytest.mark.parametrize("position", ["learned", "relative", "rotary"])
def test_whatever_the_context_attention_and_positions(given: str, kind: str | None, position: str) -> None:
    if kind is None and given == "none":
        return
    torch.manual_seed(2)
    stack = STACK | {"position": position, "positions": 60}
    settings = Model(
        width=12,
        encoder=TransformerEncoder(**stack),
        context=Context(given=given),
        decoder=TransformerDecoder(**stack, attention=None if kind is None else Attention(kind=kind)),
        copy_source=kind == "additive",
    )
    check(Seq2Seq(settings, 11, 11).eval())


@pytest.mark.parametrize("given", ["none", "first"])
@pytest.mark.parametrize("key_value_heads", [None, 1])
@pytest.mark.parametrize("distance", [1, 5, 60])
def test_distances_are_those_of_the_model(distance: int, key_value_heads: int | None, given: str) -> None:
    torch.manual_seed(3)
    stack = STACK | {"position": "relative", "distance": distance, "key_value_heads": key_value_heads}
    settings = Model(
        width=12,
        encoder=TransformerEncoder(**stack, norm="post"),
        context=Context(given=given),
        decoder=TransformerDecoder(**stack),
    )
    network = Seq2Seq(settings, 11, 11).eval()
    for name, parameter in network.named_parameters():
        if ".relative." in name:
            torch.nn.init.normal_(parameter)
    packed = Packed(network, "float32")
    assert packed.encoder is not None and packed.decoder is not None
    check(network)
    check(network, [40])


def test_search_steps_a_state_once() -> None:
    class Watched:
        def __init__(self, model: Any) -> None:
            self.model, self.seen = model, list[Any]()

        def start(self, source: Any) -> tuple[Any, Any]:
            return self.model.start(source)

        def step(self, tokens: Tensor, state: Any, fixed: Any) -> Any:
            assert not any(state is one for one in self.seen)
            self.seen.append(state)
            return self.model.step(tokens, state, fixed)

    for chooser in (Greedy(), Beam(3)):
        found(Watched(small_model("pre", "pre")), chooser)


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize(("rows", "out"), [(1, 8), (40, 8), (1, 4096 * 8), (5, 4096 * 8)])
def test_a_product_is_that_of_its_matrices(weights: Any, rows: int, out: int) -> None:
    one, other, bias, x = torch.randn(out, 64), torch.randn(5, 64), torch.randn(5), torch.randn(rows, 64)
    exact = torch.cat([x @ one.t(), x @ other.t() + bias], 1)
    product = Product([(one, None), (other, bias)], weights)(x)
    torch.testing.assert_close(product, exact, atol=1e-4 if weights == "float32" else 1.5, rtol=0)


def test_rows_of_keys_and_values_move_into_gaps_and_anywhere() -> None:
    whole = torch.arange(2 * 2 * 5 * 1 * 3 * 2.0).view(2, 2, 5, 1, 3, 2)
    for rows in ([0, 4, 2], [0, 1], [3, 3, 1], [4, 3, 2, 1, 0], [0, 0, 1, 1, 2, 2, 3]):
        kept = reorder(KeyValues(whole.clone(), 3), torch.tensor(rows))
        for layer in range(2):
            assert torch.equal(kept.keys[layer].transpose(1, 2), whole[layer, 0, rows, 0])
            assert torch.equal(kept.values[layer], whole[layer, 1, rows, 0])


def test_places_of_nobody_go() -> None:
    said = KeyValues(torch.arange(4.0).view(1, 1, 1, 1, 4, 1).repeat(1, 2, 1, 1, 1, 1), 4)
    never = -torch.inf
    seen = said.make_room(40, torch.tensor([[0.0, never, never, 0.0], [0.0, never, 0.0, never]]))
    assert said.values[0][0, : said.taken, 0].tolist() == [0.0, 2.0, 3.0]
    assert seen is not None and seen.tolist() == [[0.0, never, 0.0], [0.0, 0.0, never]]
    assert said.has_room(40)


def test_positions_of_places_move_with_them() -> None:
    said = KeyValues(torch.zeros(1, 2, 3, 1, 8, 1), 0)
    for position in range(4):
        when = said.dated(2, position)
        said.taken += 2
    assert when.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]] * 3
    seen = torch.full((6, 8), -torch.inf)
    for row, places in enumerate(([0, 2, 4, 6], [0, 2, 4, 7], [1, 3, 5, 6], [1, 3, 5, 7], [0, 3, 5, 6], [0, 2, 4, 7])):
        seen[row, places] = 0.0
    said.make_room(2, seen)
    kept = reorder(said, torch.tensor([2, 1])).dated(2, 4)
    assert kept[0].tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert kept[1, :5].tolist() == [0, 1, 2, 3, 3] and kept[1, 7:].tolist() == [4, 4]
