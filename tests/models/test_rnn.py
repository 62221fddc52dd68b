"""Recurrent encoders and decoders against torch.nn, and what their settings change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from weft.data.batch import Padded
from weft.models.base import Memory
from weft.models.rnn import Layer, RecurrentDecoder, RecurrentEncoder, backwards
from weft.nn.dropout import SameDropout
from weft.recipe import Attention, Context
from weft.recipe import RecurrentDecoder as DecoderSettings
from weft.recipe import RecurrentEncoder as EncoderSettings

LENGTHS = torch.tensor([4, 1, 6])
CELLS = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def inputs(width: int = 5) -> Padded:
    torch.manual_seed(3)
    return Padded(torch.randn(3, 6, width, dtype=torch.double), LENGTHS)


def memory(width: int = 4) -> Memory:
    torch.manual_seed(4)
    values = torch.randn(3, 6, width, dtype=torch.double)
    return Memory(values, torch.arange(6) < LENGTHS[:, None], torch.randn(3, width, dtype=torch.double))


def decoder(context: Context = Context(), **settings: object) -> RecurrentDecoder:  # noqa: B008
    torch.manual_seed(5)
    return RecurrentDecoder(
        5, 4, DecoderSettings.model_validate({"width": 6, "dropout": 0.0, **settings}), context
    ).double()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder_is_torchs_own_stack(cell: str, bidirectional: bool) -> None:
    encoder = RecurrentEncoder(
        5, EncoderSettings(cell=cell, layers=2, width=3, bidirectional=bidirectional, dropout=0.0)
    ).double()
    theirs = CELLS[cell](5, 3, 2, batch_first=True, bidirectional=bidirectional).double()
    own = dict(encoder.named_parameters())
    for name, parameter in theirs.named_parameters():
        layer = name[name.index("_l") + 2]
        parameter.data.copy_(own[f"layers.{layer}.{name.replace(f'_l{layer}', '_l0')}"])
    x = inputs()
    memory = encoder(x)
    for row, length in enumerate(LENGTHS.tolist()):
        states, last = theirs(x.data[row : row + 1, :length])
        hidden = last[0] if cell == "lstm" else last
        torch.testing.assert_close(memory.values[row, :length], states[0])
        torch.testing.assert_close(memory.context[row], hidden[-2 if bidirectional else -1 :, 0].flatten())


def test_reversed_reads_from_the_end_and_keeps_the_order() -> None:
    settings = EncoderSettings(cell="gru", width=3, bidirectional=False, dropout=0.0)
    torch.manual_seed(1)
    plain = RecurrentEncoder(5, settings).double()
    turned = RecurrentEncoder(5, settings.model_copy(update={"reversed": True})).double()
    turned.load_state_dict(plain.state_dict())
    x = inputs()
    expected = plain(Padded(backwards(x.data, x.lengths), x.lengths))
    got = turned(x)
    torch.testing.assert_close(got.context, expected.context)
    torch.testing.assert_close(got.values, backwards(expected.values, x.lengths))
    torch.testing.assert_close(got.values[2, 0], got.context[2])  # the first word is read last


def test_backwards_turns_real_positions_only() -> None:
    x = torch.arange(12.0).view(2, 6, 1)
    assert backwards(x, torch.tensor([4, 6]))[..., 0].tolist() == [[3, 2, 1, 0, 4, 5], [11, 10, 9, 8, 7, 6]]


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_is_the_fused_kernel(cell: str) -> None:
    torch.manual_seed(1)
    layer = Layer(cell, 5, 6).double()
    x = inputs().data
    state = tuple(torch.randn(3, 6, dtype=torch.double) for _ in range(layer.parts))
    together = layer(x, state)
    for time in range(6):
        state = layer.step(x[:, time], state)
        torch.testing.assert_close(state[0], together[:, time], atol=1e-12, rtol=0)


def test_bahdanau_step_is_its_equations() -> None:
    model = decoder(attention={"kind": "additive", "width": 3})
    seen = memory()
    fixed, state = model.init(seen)
    x = torch.randn(3, 5, dtype=torch.double)
    first = model.first.transforms[0].linear
    s = torch.tanh(seen.context @ first.weight.T + first.bias)
    torch.testing.assert_close(state.layers[0][0], s)
    score = model.attention.score
    energy = torch.tanh((s @ score.query.weight.T)[:, None] + score.key(seen.values)) @ score.energy.weight[0]
    alpha = torch.softmax(energy.masked_fill(~seen.mask, -torch.inf), -1)
    c = (alpha[..., None] * seen.values).sum(1)
    cell = nn.GRUCell(9, 6).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data.copy_(getattr(model.layers[0].rnn, f"{name}_l0"))
    after = cell(torch.cat([x, c], -1), s)
    pairs = model.readout(torch.cat([after, c, x], -1)).view(3, 5, 2)
    features, weights, state = model.step(x, state, fixed)
    torch.testing.assert_close(weights[:, 0], alpha)
    torch.testing.assert_close(state.layers[0][0], after)
    torch.testing.assert_close(features, pairs.max(-1).values)


def test_luong_step_with_input_feeding_is_its_equations() -> None:
    model = decoder(cell="lstm", attention={"kind": "general"}, query="current", readout="tanh", input_feeding=True)
    seen = memory()
    fixed, state = model.init(seen)
    x = torch.randn(2, 3, 5, dtype=torch.double)
    hidden, cell_state = state.layers[0]
    fed = torch.zeros(3, 5, dtype=torch.double)
    cell = nn.LSTMCell(10, 6).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data.copy_(getattr(model.layers[0].rnn, f"{name}_l0"))
    for now in x:
        hidden, cell_state = cell(torch.cat([now, fed], -1), (hidden, cell_state))
        energy = torch.einsum("bd,bsd->bs", hidden, seen.values @ model.attention.score.key.weight.T)
        alpha = torch.softmax(energy.masked_fill(~seen.mask, -torch.inf), -1)
        fed = torch.tanh(torch.cat([hidden, (alpha[..., None] * seen.values).sum(1)], -1) @ model.readout.weight.T)
        features, weights, state = model.step(now, state, fixed)
        torch.testing.assert_close(weights[:, 0], alpha)
        torch.testing.assert_close(features, fed)


def test_context_as_it_is_becomes_every_layers_first_state() -> None:
    model = decoder(Context(transform="none"), width=4, layers=2, cell="lstm")
    _, state = model.init(memory())
    for hidden, cell in state.layers:
        assert torch.equal(hidden, memory().context)
        assert not cell.any()


def test_without_context_the_first_state_is_zero_and_every_changes_each_step() -> None:
    _, state = decoder(Context(given="none")).init(memory())
    assert not state.layers[0][0].any()
    model = decoder(Context(given="every"), attention=None)
    x = inputs().data
    before, _ = model(x, memory())
    other = memory()
    other.context[0] += 1
    after, _ = model(x, other)
    changed = (before != after).any(-1)
    assert changed[0].all()
    assert not changed[1:].any()


def test_coverage_changes_later_steps_only() -> None:
    model = decoder(attention={"kind": "additive", "width": 3, "coverage": True}).eval()
    x = inputs().data
    _, before = model(x, memory())
    model.attention.score.coverage.weight.data.add_(1.0)
    _, after = model(x, memory())
    assert torch.equal(before[:, :, 0], after[:, :, 0])
    assert not torch.equal(before[:, :, 1], after[:, :, 1])


def test_residual_adds_the_layer_below() -> None:
    plain = decoder(layers=2, attention=None)
    added = decoder(layers=2, attention=None, residual=True)
    fixed, state = plain.init(memory())
    x = torch.randn(3, 5, dtype=torch.double)
    one, _, _ = plain.advance(x, state, fixed)
    two, _, after = added.advance(x, state, fixed)
    torch.testing.assert_close(two, one + after.layers[0][0])


def test_variational_dropout_is_the_same_at_every_step() -> None:
    torch.manual_seed(1)
    drop = SameDropout(0.5).train()
    dropped = drop(torch.ones(4, 7, 20)) == 0
    assert dropped.any()
    assert not dropped.all()
    assert (dropped == dropped[:, :1]).all()
    assert not (dropped[0] == dropped[1]).all()
    model = decoder(attention=None, width=40, layers=2, variational=True, dropout=0.5).train()
    fixed, _ = model.init(memory())
    assert [mask.shape for mask in fixed.masks] == [(3, 40), (3, 45), (3, 5)]
    torch.manual_seed(2)
    features, _ = model(torch.zeros(3, 9, 5, dtype=torch.double), memory())
    zero = features == 0
    assert zero.any()
    assert (zero == zero[:, :1]).all()


def test_attention_that_may_be_asked_at_once_equals_the_loop() -> None:
    model = decoder(layers=2, attention={"kind": "additive", "window": "local_m", "reach": 1}, query="current")
    assert model.fused
    x = inputs().data
    together, weights = model(x, memory())
    fixed, state = model.init(memory())
    for time in range(6):
        features, looked, state = model.step(x[:, time], state, fixed)
        torch.testing.assert_close(features, together[:, time], atol=1e-12, rtol=0)
        torch.testing.assert_close(looked, weights[:, :, time], atol=1e-12, rtol=0)


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="needs an attention"):
        DecoderSettings(attention=None, input_feeding=True)
    with pytest.raises(ValueError, match="readout: tanh"):
        DecoderSettings(attention=Attention(), input_feeding=True)
    with pytest.raises(ValueError, match="lists 1 widths for 2 layers"):
        EncoderSettings(width=[3], layers=2)
