"""Each parameter that has a counterpart is the same afterwards, and each other one is as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import weft.recipe
from weft.data.counterparts import Counterparts
from weft.data.vocabulary import Vocabulary
from weft.models import directory
from weft.models.directory import Loaded, parameters
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe
from weft.training.transfer import Transfer, columns

SOURCES = ["hund", "hase", "katze", "maus", "vogel", "pferd", "schaf", "ziege", "esel", "fuchs"]
TARGETS = ["dog", "hare", "cat", "mouse", "bird", "horse", "sheep", "goat", "donkey", "fox"]
STACKS: dict[str, dict[str, Any]] = {
    "rnn": {"kind": "rnn", "cell": "lstm", "layers": 2, "width": 12, "dropout": 0.0},
    "conv": {"kind": "conv", "layers": 2, "width": 12, "dropout": 0.0},
    "transformer": {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 20, "dropout": 0.0},
}
FRESH = {  # parameters of a decoder that a language model has none of
    "rnn": {"decoder.attention", "decoder.first"},
    "conv": {"decoder.layers.0.attention", "decoder.layers.1.attention"},
    "transformer": {
        *(f"decoder.layers.{layer}.{part}" for layer in (0, 1) for part in ("attention", "around_attention")),
    },
}
IN_PART = {"rnn": ["decoder.layers.0.rnn.weight_ih_l0", "decoder.readout.weight"], "conv": [], "transformer": []}

Words = Callable[..., Vocabulary]


def recipe_of(kind: str, *, language_model: bool = False, **settings: Any) -> Recipe:
    stack = STACKS[kind]
    model: dict[str, Any] = {"width": 8, "encoder": stack, "decoder": stack}
    data: dict[str, Any] = {"train": "pairs.tsv"}
    if language_model:
        model |= {"encoder": {"kind": "none"}, "context": {"given": "none"}, "decoder": {**stack, "attention": None}}
        data = {"train": {"source": None, "target": "text.txt"}}
    own = settings.pop("model", {})
    recipe = {"data": data, "model": {**model, **own}, **settings}
    return weft.recipe.checked(recipe, "test")


@pytest.fixture
def words(tmp_path: Path) -> Words:
    """Learns a vocabulary of whole words, or of pieces."""

    def learn(*given: str, kind: str = "word", size: int = 100, name: str = "words") -> Vocabulary:
        settings = weft.recipe.Vocabulary(kind=kind, size=size, byte_fallback=False)
        return Vocabulary.learn(given, settings, "identity", tmp_path / f"{name}.model")

    return learn


def run_of(recipe: Recipe, source: Vocabulary, target: Vocabulary, folder: Path) -> Loaded:
    """A run with random weights, all of them, biases too."""
    folder.mkdir()
    network = Seq2Seq(recipe.model, source.size, target.size)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    directory.save_vocabularies(folder, source, target, recipe)
    directory.save_weights(network, folder / directory.WEIGHTS)
    (folder / directory.RECIPE).write_text(weft.recipe.dump(recipe))
    return directory.load(folder, torch.device("cpu"))


def all_names(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters(remove_duplicate=False))


@pytest.mark.parametrize("share", ["none", "target"])
@pytest.mark.parametrize("kind", STACKS)
def test_a_decoder_from_a_language_model(words: Words, tmp_path: Path, kind: str, share: str) -> None:
    target, source = words(*TARGETS, name="target"), words(*SOURCES, name="source")
    old = run_of(recipe_of(kind, language_model=True), target, target, tmp_path / "lm")
    recipe = recipe_of(kind, model={"embedding": {"share": share}})
    network = Seq2Seq(recipe.model, source.size, target.size)
    fresh = {name: tensor.detach().clone() for name, tensor in all_names(network).items()}
    taken = Transfer(old, network, source, target).put("decoder")
    theirs = all_names(old.network)
    for name, tensor in all_names(network).items():
        if name in IN_PART[kind]:
            assert tensor.shape != theirs[name].shape
        elif name.startswith(("decoder.", "target_input.", "output.")) and not name.startswith(tuple(FRESH[kind])):
            assert torch.equal(tensor, theirs[name]), name
        else:
            assert torch.equal(tensor, fresh[name]), name
    assert taken.in_part == IN_PART[kind]
    assert {name for name in taken.fresh if not name.startswith(tuple(FRESH[kind]))} == set()
    number = len(taken.whole) + len(taken.in_part)
    assert str(taken).startswith(f"{number} of {number + len(taken.fresh)} tensors; 14 of 14 target pieces")


def test_columns_of_a_recurrent_decoder_go_to_what_they_take_in(words: Words, tmp_path: Path) -> None:
    target, source = words(*TARGETS, name="target"), words(*SOURCES, name="source")
    old = run_of(recipe_of("rnn", language_model=True), target, target, tmp_path / "lm")
    decoder = {**STACKS["rnn"], "readout": "tanh", "input_feeding": True}
    for given, settings in {"every": STACKS["rnn"], "both": decoder}.items():
        recipe = recipe_of("rnn", model={"context": {"given": given}, "decoder": settings})
        network = Seq2Seq(recipe.model, source.size, target.size)
        before = {name: tensor.detach().clone() for name, tensor in all_names(network).items()}
        taken = Transfer(old, network, source, target).put("decoder")
        name = "decoder.layers.0.rnn.weight_ih_l0"
        first, theirs = all_names(network)[name], all_names(old.network)[name]
        assert theirs.shape[1] == 8 and torch.equal(first[:, :8], theirs)
        assert torch.equal(first[:, 8:], before[name][:, 8:])
        if settings is decoder:
            assert "decoder.readout.weight" in taken.fresh
            continue
        name = "decoder.readout.weight"
        readout, theirs = all_names(network)[name], all_names(old.network)[name]
        assert torch.equal(readout[:, :12], theirs[:, :12]) and torch.equal(readout[:, -8:], theirs[:, -8:])
        assert torch.equal(readout[:, 12:-8], before[name][:, 12:-8])


def test_the_columns_are_those_of_the_decoder() -> None:
    for changes in ({}, {"query": "current"}, {"readout": "tanh", "input_feeding": True}, {"attention": None}):
        recipe = recipe_of("rnn", model={"context": {"given": "both"}, "decoder": {**STACKS["rnn"], **changes}})
        network = Seq2Seq(recipe.model, 9, 9)
        for name in IN_PART["rnn"]:
            ends = [part.stop for part in columns(name, network).values()]
            assert max(ends) == all_names(network)[name].shape[1]


def test_equally_wide_columns_of_another_meaning_stay_fresh(words: Words, tmp_path: Path) -> None:
    """What the attention read (24 wide) in the one, the context of every step in the other."""
    vocabulary = words(*TARGETS)
    other = {"decoder": {**STACKS["rnn"], "query": "current"}, "context": {"given": "every"}}
    old = run_of(recipe_of("rnn", model=other), vocabulary, vocabulary, tmp_path / "old")
    network = Seq2Seq(recipe_of("rnn").model, vocabulary.size, vocabulary.size)
    name = "decoder.layers.0.rnn.weight_ih_l0"
    before = all_names(network)[name].detach().clone()
    taken = Transfer(old, network, vocabulary, vocabulary).put("decoder")
    after, theirs = all_names(network)[name], all_names(old.network)[name]
    assert after.shape == theirs.shape and name in taken.in_part
    assert torch.equal(after[:, :8], theirs[:, :8]) and torch.equal(after[:, 8:], before[:, 8:])


def test_rows_go_to_the_same_pieces(words: Words, tmp_path: Path) -> None:
    old_target, target = words(*TARGETS, name="old"), words(*reversed(TARGETS[:6]), "wolf", "wolf", name="target")
    old = run_of(recipe_of("transformer", language_model=True), old_target, old_target, tmp_path / "lm")
    network = Seq2Seq(recipe_of("transformer").model, target.size, target.size)
    before = network.target_input.embedding.weight.detach().clone()
    taken = Transfer(old, network, target, target).put("decoder")
    pieces, old_pieces = (vocabulary.pieces(range(vocabulary.size)) for vocabulary in (target, old_target))
    theirs = dict(zip(old_pieces, old.network.target_input.embedding.weight, strict=True))
    assert pieces.index("▁dog") != old_pieces.index("▁dog")
    for piece, row, fresh in zip(pieces, network.target_input.embedding.weight, before, strict=True):
        assert torch.equal(row, theirs.get(piece, fresh)), piece
    assert taken.pieces == ["10 of 11 target pieces"]


@pytest.mark.parametrize("kind", STACKS)
def test_an_encoder_from_another_model(words: Words, tmp_path: Path, kind: str) -> None:
    source, target = words(*SOURCES, name="source"), words(*TARGETS, name="target")
    weighted = {"context": {"of": "weighted"}}
    old = run_of(recipe_of(kind, model=weighted), source, target, tmp_path / "old")
    network = Seq2Seq(recipe_of(kind, model=weighted).model, source.size, target.size)
    before = {name: tensor.detach().clone() for name, tensor in all_names(network).items()}
    taken = Transfer(old, network, source, target).put("encoder")
    for name, tensor in all_names(network).items():
        inside = name.startswith(("encoder.", "source_input.", "summary."))
        assert torch.equal(tensor, (all_names(old.network) if inside else before)[name]), name
    assert (taken.fresh, taken.in_part) == ([], [])


def test_a_transformer_encoder_from_a_language_model(words: Words, tmp_path: Path) -> None:
    source, target = words(*SOURCES, name="source"), words(*TARGETS, name="target")
    old = run_of(recipe_of("transformer", language_model=True), source, source, tmp_path / "lm")
    network = Seq2Seq(recipe_of("transformer").model, source.size, target.size)
    taken = Transfer(old, network, source, target).put("encoder")
    assert taken.fresh == []
    ours, theirs = network.encoder.layers[1], old.network.decoder.layers[1]
    assert torch.equal(ours.attention.key_value.weight, theirs.self_attention.key_value.weight)
    assert torch.equal(ours.around.norm.bias, theirs.around_self.norm.bias)
    assert torch.equal(ours.feed_forward.around.norm.bias, theirs.feed_forward.around.norm.bias)
    assert torch.equal(network.encoder.norm.weight, old.network.decoder.norm.weight)
    assert network.source_input is not None
    assert torch.equal(network.source_input.embedding.weight, old.network.target_input.embedding.weight)


def test_a_recurrent_encoder_takes_a_language_model_in_its_one_direction(words: Words, tmp_path: Path) -> None:
    vocabulary = words(*SOURCES)
    old = run_of(recipe_of("rnn", language_model=True), vocabulary, vocabulary, tmp_path / "lm")
    network = Seq2Seq(recipe_of("rnn").model, vocabulary.size, vocabulary.size)
    taken = Transfer(old, network, vocabulary, vocabulary).put("encoder")
    ours, theirs = all_names(network), all_names(old.network)
    assert torch.equal(ours["encoder.layers.0.weight_ih_l0"], theirs["decoder.layers.0.rnn.weight_ih_l0"])
    assert torch.equal(ours["encoder.layers.1.weight_hh_l0"], theirs["decoder.layers.1.rnn.weight_hh_l0"])
    assert {name for name in taken.fresh if not name.endswith("_reverse")} == {"encoder.layers.1.weight_ih_l0"}


def test_new_pieces_begin_as_the_mean_of_what_spelt_them(words: Words, tmp_path: Path) -> None:
    old_pieces, pieces = (words(*SOURCES, kind="bpe", size=size, name=str(size)) for size in (30, 60))
    recipe = recipe_of("transformer")
    old = run_of(recipe, old_pieces, old_pieces, tmp_path / "old")
    network = Seq2Seq(recipe.model, pieces.size, pieces.size)
    transfer = Transfer(old, network, pieces, pieces)
    taken = transfer.put("model")
    same, parts = Counterparts(old_pieces, pieces), Counterparts(old_pieces, pieces).parts
    assert len(same) + len(parts) == pieces.size and len(parts) > 10
    for number, spelt in parts.items():
        assert "".join(old_pieces.pieces(spelt)) == pieces.pieces([number])[0]
        for name in ("source_input.embedding.weight", "output.projection.weight", "output.projection.bias"):
            mean = all_names(old.network)[name][spelt].mean(0)
            assert torch.equal(all_names(network)[name][number], mean)
    assert taken.pieces[0].startswith(f"{len(same)} of {pieces.size} ")
    assert taken.pieces[0].endswith(f"and {len(parts)} as the mean of the pieces that they were")

    moments = {f"exp_avg.{name}": torch.rand_like(p) for name, p in parameters(old.network).items()}
    moments["step.output.projection.bias"] = torch.tensor(7.0)
    moved = transfer.moments(moments)
    assert moved["step.output.projection.bias"] == 7
    assert torch.equal(moved["exp_avg.decoder.norm.weight"], moments["exp_avg.decoder.norm.weight"])
    name = "exp_avg.output.projection.bias"
    assert torch.equal(moved[name][same.here], moments[name][same.there])
    assert moved[name][list(parts)].abs().sum() == 0 and moved[name].shape == (pieces.size,)


def test_a_chain_of_tags_goes_from_piece_to_piece(words: Words, tmp_path: Path) -> None:
    before, now = words(*"NNNVVD", name="before"), words(*"DDDNNXXXX", name="now")
    tagging = {"model": {"decoder": {"kind": "tags", "chain": True}}, "vocabulary": {"target": {"kind": "word"}}}
    recipe = recipe_of("rnn", **tagging)
    old = run_of(recipe, before, before, tmp_path / "old")
    network = Seq2Seq(recipe.model, now.size, now.size)
    fresh = {name: tensor.detach().clone() for name, tensor in all_names(network).items()}
    transfer = Transfer(old, network, now, now)
    taken = transfer.put("model")
    name = "decoder.transitions"
    theirs, ours = all_names(old.network)[name], all_names(network)[name]
    then = {piece: number for number, piece in enumerate(before.pieces(range(before.size)))}
    for here, one in enumerate(now.pieces(range(now.size))):
        for there, other in enumerate(now.pieces(range(now.size))):
            known = one in then and other in then
            expected = theirs[then[one], then[other]] if known else fresh[name][here, there]
            assert ours[here, there] == expected
    assert name in taken.whole and now.pieces(range(before.size)) != list(then)
    moved = transfer.moments({f"exp_avg.{name}": theirs.detach()})[f"exp_avg.{name}"]
    assert torch.equal(moved[: len(moved)], torch.where(ours == fresh[name], 0.0, ours))
    assert all_names(network)["decoder.temperature"] == 1.0
