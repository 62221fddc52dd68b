"""The Transformer by its settings, built directly: every position, past, norm, attention and context."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from weft.data.batch import Padded
from weft.errors import WeftError
from weft.models.base import Memory, reorder
from weft.models.transformer import ACTIVATIONS, NORMS, FeedForward, TransformerDecoder, TransformerEncoder
from weft.recipe import Attention, Context
from weft.recipe import TransformerDecoder as DecoderSettings
from weft.recipe import TransformerEncoder as EncoderSettings

B, K, S, T, D, M = 3, 2, 5, 4, 12, 10
SMALL = {"heads": 2, "layers": 2, "feed_forward": 20, "dropout": 0.0}
POSITIONS = ["none", "sinusoidal", "learned", "rotary", "relative"]
PASTS = [("attention", position) for position in POSITIONS] + [("ssru", position) for position in POSITIONS[:3]]
ATTENTIONS = {
    "none": None,
    "multi_head": Attention(kind="multi_head"),
    "additive": Attention(kind="additive"),
    "local_m": Attention(kind="general", window="local_m", reach=1),
    "local_p": Attention(kind="multi_head", window="local_p", reach=2),
}
GIVEN = ["first", "every", "both", "none"]
ENCODERS = [
    {"norm": norm, "norm_kind": kind, "position": position}
    for norm, kind, position in itertools.product(["pre", "post"], ["layer", "rms"], POSITIONS)
]


def decoders() -> list[tuple[dict[str, object], str]]:
    """Every past, norm and attention, each with the next context, kind of norm and activation in turn."""
    others = zip(*map(itertools.cycle, (GIVEN, list(NORMS), list(ACTIVATIONS), [None, 1, 2])), strict=False)
    product = itertools.product(PASTS, ["pre", "post"], ATTENTIONS)
    return [
        (
            {"past": past, "position": position, "norm": norm, "attention": ATTENTIONS[attention]}
            | {"norm_kind": kind, "activation": activation, "key_value_heads": groups},
            given if attention != "none" or given != "none" else "first",
        )
        for ((past, position), norm, attention), (given, kind, activation, groups) in zip(product, others, strict=False)
    ]


def decoder(given: str = "first", **settings: object) -> TransformerDecoder:
    chosen = DecoderSettings(**(SMALL | {"distance": 2, "positions": 20} | settings))
    return TransformerDecoder(D, M, chosen, Context(given=given)).double()


def encoder(**settings: object) -> TransformerEncoder:
    return TransformerEncoder(D, EncoderSettings(**(SMALL | {"distance": 2, "positions": 20} | settings))).double()


def memory(rows: int = B) -> Memory:
    lengths = torch.tensor([5, 2, 3])[:rows]
    mask = torch.arange(S) < lengths[:, None]
    return Memory(torch.randn(rows, S, M).double(), mask, torch.randn(rows, M).double())


def of_rows(memory: Memory, rows: torch.Tensor) -> Memory:
    return Memory(memory.values[rows], memory.mask[rows], memory.context[rows])


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("settings", "given"), decoders())
def test_step_by_step_is_all_at_once(settings: dict[str, object], given: str) -> None:
    model, source = decoder(given, **settings).eval(), memory()
    rows = torch.arange(B).repeat_interleave(K)
    x = torch.randn(B * K, T, D).double()
    together, weights = model(x, of_rows(source, rows))
    fixed, state = model.init(source)
    state = reorder(state, rows)
    for time in range(T):
        features, looked, state = model.step(x[:, time], state, fixed)
        close(features, together[:, time])
        assert (looked is None) == (weights is None) == (settings["attention"] is None)
        if looked is not None and weights is not None:
            close(looked, weights[:, :, time])
            assert (looked[~source.mask[rows, None].expand_as(looked)] == 0).all()


@pytest.mark.parametrize("settings", ENCODERS)
def test_padding_changes_nothing(settings: dict[str, str]) -> None:
    model = encoder(**settings)
    x, lengths = torch.randn(B, S, D).double(), torch.tensor([5, 1, 3])
    together = model(Padded(x, lengths))
    for row, length in enumerate(lengths.tolist()):
        alone = model(Padded(x[row : row + 1, :length], lengths[row : row + 1]))
        close(alone.values[0], together.values[row, :length])
        close(together.context[row], together.values[row, length - 1])


@pytest.mark.parametrize("attention", ["multi_head", "additive", "local_m", "local_p"])
def test_padding_of_the_source_changes_nothing(attention: str) -> None:
    model, source, x = decoder(attention=ATTENTIONS[attention]), memory(), torch.randn(B, T, D).double()
    together, _ = model(x, source)
    source.values[~source.mask] = 7.0
    torch.testing.assert_close(model(x, source)[0], together, atol=0, rtol=0)
    alone, _ = model(x[1:2], Memory(source.values[1:2, :2], source.mask[1:2, :2], source.context[1:2]))
    close(alone[0], together[1])


@pytest.mark.parametrize(("settings", "given"), decoders()[::7])
def test_a_token_changes_nothing_before_it(settings: dict[str, object], given: str) -> None:
    model, source, x = decoder(given, **settings), memory(), torch.randn(B, T, D).double()
    before, _ = model(x, source)
    x[:, 2] = torch.randn(B, D)
    after, _ = model(x, source)
    close(after[:, :2], before[:, :2])
    assert ((after - before)[:, 2:].abs().sum(-1) > 1e-6).all()


@pytest.mark.parametrize("past", ["attention", "ssru"])
@pytest.mark.parametrize("given", ["first", "every", "both"])
def test_without_attention_the_context_tells_of_the_source(past: str, given: str) -> None:
    model, source, x = decoder(given, past=past, attention=None), memory(), torch.randn(B, T, D).double()
    before, _ = model(x, source)
    moved = Memory(source.values + 1, source.mask, source.context + 1)
    assert ((model(x, moved)[0] - before).abs().sum(-1) > 1e-6).all()
    close(model(x, Memory(source.values + 1, source.mask, source.context))[0], before)


@pytest.mark.parametrize(("given", "used"), [("none", False), ("first", False), ("every", True), ("both", True)])
def test_with_attention_the_first_state_is_left_out(given: str, used: bool) -> None:
    model, source, x = decoder(given), memory(), torch.randn(B, T, D).double()
    before, _ = model(x, source)
    after, _ = model(x, Memory(source.values, source.mask, source.context + 1))
    assert torch.equal(before, after) != used


def test_scores_one_and_reads_the_other() -> None:
    source, x = memory(), torch.randn(B, T, D).double()
    other = torch.randn(B, S, M).double()
    for attention in (Attention(kind="multi_head"), Attention(kind="additive")):
        model = decoder(attention=attention, layers=1)
        _, weights = model(x, Memory(other, source.mask, source.context, compared=source.values))
        _, same = model(x, source)
        close(weights, same)
        read, _ = model(x, Memory(source.values, source.mask, source.context, compared=source.values))
        close(read, model(x, source)[0])


def test_the_weights_are_given_only_where_wanted() -> None:
    model, source, x = decoder(), memory(), torch.randn(B, T, D).double()
    features, weights = model(x, source, want_weights=False)
    assert weights is None
    close(features, model(x, source)[0])


@pytest.mark.parametrize("model", [encoder(layer_drop=0.999999), encoder()])
def test_a_dropped_encoder_layer_is_left_out_while_training(model: TransformerEncoder) -> None:
    x = Padded(torch.randn(B, S, D).double(), torch.tensor([5, 2, 3]))
    layered = model.eval()(x).values
    dropped = model.train()(x).values
    left = model.norm(model.position(x.data)) if model.settings.layer_drop else layered
    close(dropped, left)
    assert not torch.allclose(layered, model.norm(model.position(x.data)))


@pytest.mark.parametrize("past", ["attention", "ssru"])
def test_a_dropped_decoder_layer_is_left_out_of_a_whole_sentence(past: str) -> None:
    model, source, x = decoder(layers=6, layer_drop=0.5, past=past), memory(), torch.randn(B, T, D).double()
    whole = model.eval()(x, source)[0]
    model.train()
    torch.manual_seed(4)
    together, weights = model(x, source)
    torch.manual_seed(4)
    fixed, state = model.init(source)
    assert 0 < sum(fixed.kept) < 6
    for time in range(T):
        features, looked, state = model.step(x[:, time], state, fixed)
        close(features, together[:, time])
        close(looked, weights[:, :, time])
    assert not torch.allclose(together, whole)
    none = decoder(layer_drop=0.999999)
    close(none(x, source)[0], none.norm(none.position(x)))


def test_layer_drop_drops_its_share() -> None:
    model = decoder(layers=50, layer_drop=0.3)
    share = sum(sum(model.begin(memory())[0].kept) for _ in range(20)) / 1000
    assert abs(share - 0.7) < 0.05


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_feed_forward_is_the_papers(name: str) -> None:
    layer = FeedForward(D, EncoderSettings(**(SMALL | {"activation": name, "norm": "post"}))).double()
    layer.around.norm = torch.nn.Identity()
    x = torch.randn(B, D).double()
    f = {
        "relu": lambda h: h.clamp(min=0),
        "gelu": lambda h: h * 0.5 * (1 + torch.erf(h / 2**0.5)),
        "swish": lambda h: h / (1 + torch.exp(-h)),
        "glu": lambda h: 1 / (1 + torch.exp(-h)),
    }[{"reglu": "relu", "geglu": "gelu", "swiglu": "swish"}.get(name, name)]
    (W, b), *gate = layer.wide.apart()
    hidden = f(x @ W.T + b)
    if name.endswith("glu"):
        ((V, c),) = gate
        hidden = hidden * (x @ V.T + c)
    close(layer(x), x + F.linear(hidden, layer.narrow.weight, layer.narrow.bias))
    assert layer.wide.weight.shape == (40 if name.endswith("glu") else 20, D)


def test_rms_norm_is_the_papers() -> None:
    norm = NORMS["rms"](D).double()
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(B, D).double()
    close(norm(x), x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight)


def test_every_matrix_is_glorot_by_itself() -> None:
    model = decoder("both", activation="swiglu", feed_forward=200, key_value_heads=1, attention=Attention())
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            for matrix in module.weight.chunk(getattr(module, "count", 1)):
                bound = (6 / sum(matrix.shape)) ** 0.5
                assert 0.6 * bound < matrix.abs().max() <= bound
            assert module.bias is None or (module.bias == 0).all()


@pytest.mark.parametrize(("settings", "given"), decoders()[::6])
def test_every_parameter_gets_a_gradient(settings: dict[str, object], given: str) -> None:
    model = decoder(given, **settings)
    features, _ = model(torch.randn(B, T, D).double(), memory())
    (features * torch.randn_like(features)).sum().backward()
    assert not {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}


def test_positions_are_scaled_where_the_recipe_scales_them_down() -> None:
    x = Padded(torch.zeros(1, S, D), torch.tensor([S]))
    chosen = EncoderSettings(**(SMALL | {"layer_drop": 0.999999, "norm": "post"}))
    whole, down = TransformerEncoder(D, chosen), TransformerEncoder(D, chosen, position_scale=0.5)
    torch.testing.assert_close(down(x).values, 0.5 * whole(x).values)


def test_a_sentence_longer_than_the_learned_positions_is_an_error() -> None:
    x, source = torch.randn(B, T, D).double(), memory()
    with pytest.raises(WeftError, match=r"model.decoder.positions is 3, but a sentence has 4 tokens"):
        decoder(position="learned", positions=3)(x, source)
    with pytest.raises(WeftError, match=r"model.encoder.positions is 3, but a sentence has 4 tokens"):
        encoder(position="learned", positions=3)(Padded(x, torch.full((B,), T)))
    model = decoder(position="learned", positions=3, past="ssru")
    fixed, state = model.init(source)
    for _ in range(3):
        _, _, state = model.step(x[:, 0], state, fixed)
    with pytest.raises(WeftError, match="has 4 tokens"):
        model.step(x[:, 0], state, fixed)
