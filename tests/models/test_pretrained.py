"""States of a pretrained encoder as the memory of any decoder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import SHAPE, tokenizer, write_bert
from families import DECODERS, random_ids

from weft.data.batch import Padded, pad
from weft.data.tokenizer import Tokenizer
from weft.errors import WeftError
from weft.models.directory import load_encoder, parameters, save_encoder
from weft.models.pretrained import Mix, PretrainedEncoder, positions, pretrained
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Data, Embedding, Model, Recipe
from weft.recipe import PretrainedEncoder as Settings

transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bert(tmp_path_factory.mktemp("encoders") / "bert"))


def encoder(folder: str, **settings: Any) -> PretrainedEncoder:
    made = Settings(folder=folder, **{"dropout": 0.0, **settings})
    return PretrainedEncoder(*pretrained(folder), made, Tokenizer.of(folder))


def model(folder: str, decoder: str, **settings: Any) -> Seq2Seq:
    made = encoder(folder, **settings)
    parts = Model(
        width=12,
        encoder=Settings(folder=folder, **settings),
        decoder=DECODERS[decoder],
        embedding=Embedding(dropout=0.0),
    )
    return Seq2Seq(parts, len(made.originals), 9, pretrained=made).double().eval()


def test_states_are_those_of_the_network_itself(bert: str) -> None:
    pieces = Tokenizer.of(bert)
    own, framed = transformers.AutoModel.from_pretrained(bert), transformers.AutoTokenizer.from_pretrained(bert)
    line = "a b c f"
    memory = encoder(bert)(pad([pieces.encode(line)], last=pieces.eos))
    given = [i for i in framed(line, truncation=False, padding=False).input_ids if i != framed.pad_token_id]
    expected = own(torch.tensor([given])).last_hidden_state
    torch.testing.assert_close(memory.values, expected)
    torch.testing.assert_close(memory.context, expected[:, -1])
    assert memory.values.shape == (1, 6, 16)


@pytest.mark.parametrize("states", ["last", "mixed"])
def test_padding_changes_nothing_and_may_hold_anything(bert: str, states: str) -> None:
    made = encoder(bert, states=states).double()
    source = random_ids([5, 3, 7], len(made.originals))
    together = made(source)
    source.data[~source.mask()] = 6
    assert torch.equal(made(source).values[together.mask], together.values[together.mask])
    for row, length in enumerate(source.lengths.tolist()):
        alone = made(Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1]))
        torch.testing.assert_close(alone.values[0], together.values[row, :length], rtol=0, atol=1e-10)
        torch.testing.assert_close(alone.context[0], together.context[row], rtol=0, atol=1e-10)


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_any_decoder_goes_on_top(bert: str, decoder: str) -> None:
    network = model(bert, decoder)
    source, fed = random_ids([5, 3, 7], 15), random_ids([4, 6, 2], 9)
    features, _ = network(source, fed)
    fixed, state = network.start(source)
    for t in range(6):
        log_probs, _, state = network.step(fed.data[:, t], state, fixed)
        there = fed.lengths > t
        torch.testing.assert_close(log_probs[there], network.output(features[:, t])[there], rtol=0, atol=1e-10)


def test_weights_that_stay_are_no_parameters_but_go_along(bert: str) -> None:
    network = model(bert, "gru")
    made = network.encoder
    assert isinstance(made, PretrainedEncoder)
    assert not [name for name in parameters(network) if name.startswith("encoder.")]
    assert {tensor.dtype for tensor in made.network.parameters()} == {torch.float64}
    network.train()
    assert not made.network.training
    memory = network.encode(random_ids([4], 15))
    assert not memory.values.requires_grad
    network.to("meta")
    assert all(tensor.is_meta for tensor in [*made.network.parameters(), *made.network.buffers(), made.originals])


def test_weights_that_are_trained_get_gradients(bert: str) -> None:
    made = encoder(bert, trained=True, states="mixed").train()
    assert made.network.training
    made(random_ids([4, 2], 15)).values.sum().backward()
    assert made.mix is not None and made.mix.weights.grad is not None
    without = [name for name, tensor in made.named_parameters() if tensor.grad is None]
    assert without == []


def test_mix_is_the_papers_equation() -> None:
    mix = Mix(3)
    states = [torch.randn(2, 4, 5) for _ in range(3)]
    torch.testing.assert_close(mix(states), sum(states) / 3)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, 1.0, -1.0]))
        mix.gamma.fill_(2.0)
    parts = torch.exp(torch.tensor([0.0, 1.0, -1.0]))
    expected = 2 * sum(part * state for part, state in zip(parts / parts.sum(), states, strict=True))
    torch.testing.assert_close(mix(states), expected)


def test_only_what_the_source_needs_is_kept(bert: str, tmp_path: Path) -> None:
    settings = Settings(folder=bert)
    recipe = Recipe(data=Data(train="x"), model=Model(encoder=settings))
    made = encoder(bert)
    assert not [name for name in dict(made.network.named_parameters()) if "pooler" in name or "cls" in name]
    for _ in range(2):  # what was there before is replaced
        save_encoder(tmp_path, made)
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == ["config.json", "model.safetensors"]
    random = torch.get_rng_state()
    kept = load_encoder(tmp_path, recipe, Tokenizer.of(bert))
    assert kept is not None and torch.equal(torch.get_rng_state(), random)
    ours, theirs = dict(made.network.named_parameters()), dict(kept.network.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_source_longer_than_the_positions_is_an_error(bert: str) -> None:
    made = encoder(bert)
    assert made.positions == 20
    assert made(random_ids([20], 15)).values.shape == (1, 20, 16)
    with pytest.raises(WeftError, match=r"has 20 positions, but a source has 21 pieces .* data\.max_length: 19"):
        made(random_ids([21], 15))


def test_a_file_that_lacks_weights_is_an_error(bert: str, tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(bert)
    config.num_hidden_layers = 3
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((Path(bert) / "model.safetensors").read_bytes())
    told = rf"{re.escape(str(tmp_path))} lacks weights of a bert: 'encoder\.layer\.2\.attention\S+' and 15 more"
    with pytest.raises(WeftError, match=told):
        pretrained(str(tmp_path))


def test_a_tokenizer_of_more_pieces_than_are_embedded_is_an_error(bert: str, tmp_path: Path) -> None:
    tokenizer([f"word{i}" for i in range(30)]).save_pretrained(tmp_path)
    with pytest.raises(WeftError, match=r"has embeddings for 11 pieces, but its tokenizer makes 35"):
        PretrainedEncoder(*pretrained(bert), Settings(folder=bert), Tokenizer.of(str(tmp_path)))


OTHERS: dict[str, Any] = {
    "roberta": lambda: transformers.RobertaConfig(vocab_size=11, max_position_embeddings=20, pad_token_id=1, **SHAPE),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=11, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=20
    ),
    "t5": lambda: transformers.T5Config(vocab_size=11, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2),
    "modernbert": lambda: transformers.ModernBertConfig(
        vocab_size=11, max_position_embeddings=20, pad_token_id=0, **SHAPE
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_encoders_of_other_families_obey_the_contract(kind: str, tmp_path: Path) -> None:
    config = OTHERS[kind]()
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer(list("abcdef")).save_pretrained(tmp_path)
    made = encoder(str(tmp_path), states="mixed").double()
    assert made.positions == {"roberta": 18, "distilbert": 20, "t5": None, "modernbert": 20}[kind]
    source = random_ids([18, 3], 15)
    together = made(source)
    assert together.values.shape == (2, 18, 16)
    alone = made(Padded(source.data[1:, :3], source.lengths[1:]))
    torch.testing.assert_close(alone.values[0], together.values[1, :3], rtol=0, atol=1e-7)
    save_encoder(tmp_path / "run", made)
    recipe = Recipe(data=Data(train="x"), model=Model(encoder=Settings(folder=str(tmp_path), dropout=0.0)))
    kept = load_encoder(tmp_path / "run", recipe, Tokenizer.of(str(tmp_path)))
    assert kept is not None
    torch.testing.assert_close(kept(source).values, encoder(str(tmp_path))(source).values)


def test_positions_are_found_where_there_are_some() -> None:
    class Config:
        max_position_embeddings = 7

    assert positions(torch.nn.Linear(1, 1), Config()) == 7
    assert positions(torch.nn.Linear(1, 1), object()) is None
