"""ConvS2S against the paper's equations in NumPy, and what must hold of it whatever the settings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.errors import WeftError
from weft.models.base import Memory, reorder
from weft.models.conv import ConvolutionalDecoder, ConvolutionalEncoder, GatedConvolution, linear, scale_gradient
from weft.nn.position import sinusoids
from weft.recipe import Attention, Context
from weft.recipe import ConvolutionalDecoder as DecoderSettings
from weft.recipe import ConvolutionalEncoder as EncoderSettings

B, S, T, E, C, K = 3, 6, 5, 8, 7, 2
LENGTHS = [6, 1, 4]
ATTENTIONS = {
    "none": None,
    "dot": Attention(kind="dot"),
    "additive": Attention(kind="additive", width=5),
    "multi_head": Attention(kind="multi_head", heads=2),
    "local_m": Attention(kind="dot", window="local_m", reach=1),
}
SETTINGS = [
    (attention, given, kernel, position)
    for attention, given, kernel, position in itertools.product(
        ATTENTIONS, ("none", "first", "every", "both"), (1, 2, 3), ("none", "sinusoidal", "learned")
    )
    if kernel > 1 or given in ("none", "every") or (given == "first" and attention != "none")
]


def small_encoder(position_scale: float = 1.0, **settings: object) -> ConvolutionalEncoder:
    return ConvolutionalEncoder(E, EncoderSettings(width=C, positions=9, **settings), position_scale).double().eval()


def small_decoder(
    attention: str = "dot", given: str = "first", memory_width: int = E, transform: str = "tanh", **settings: object
) -> ConvolutionalDecoder:
    parts = {"layers": 2, "positions": 9, **settings}
    decoder = ConvolutionalDecoder(
        E,
        memory_width,
        DecoderSettings(width=C, attention=ATTENTIONS[attention], **parts),
        Context(given=given, transform=transform),
    )
    return decoder.double().eval()


def random_memory(width: int = E) -> Memory:
    values = torch.randn(B, S, width).double()
    mask = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    return Memory(values, mask, torch.randn(B, width).double(), compared=torch.randn(B, S, width).double())


def embedded(length: int = T) -> Tensor:
    return torch.randn(B, length, E).double()


@pytest.mark.parametrize(("attention", "given", "kernel", "position"), SETTINGS)
def test_forward_is_the_loop_over_step(attention: str, given: str, kernel: int, position: str) -> None:
    decoder = small_decoder(attention, given, kernel=kernel, position=position)
    memory, x = random_memory(), embedded()
    features, weights = decoder(x, memory)
    fixed, state = decoder.init(memory)
    state = reorder(state, torch.arange(B).repeat_interleave(K))
    swapped = torch.arange(B * K).view(B, K).flip(1).flatten()
    for time, now in enumerate(x.unbind(1)):
        step, looked, state = decoder.step(now.repeat_interleave(K, 0), state, fixed)
        torch.testing.assert_close(step[::K], features[:, time], atol=1e-10, rtol=0)
        torch.testing.assert_close(step[1::K], features[:, time], atol=1e-10, rtol=0)
        if attention == "none":
            assert looked is None and weights is None
        else:
            torch.testing.assert_close(looked[::K], weights[:, :, time], atol=1e-10, rtol=0)
        state = reorder(state, swapped)


def test_hypotheses_of_a_sentence_do_not_touch_each_other() -> None:
    decoder, memory = small_decoder(given="both"), random_memory()
    fixed, state = decoder.init(memory)
    state = reorder(state, torch.arange(B).repeat_interleave(K))
    told = torch.randn(2, B * K, E).double()
    for now in told:
        together, _, state = decoder.step(now, state, fixed)
    for hypothesis in range(K):
        alone, _ = decoder(told.transpose(0, 1)[hypothesis::K], memory)
        torch.testing.assert_close(together[hypothesis::K], alone[:, -1], atol=1e-10, rtol=0)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("attention", ["none", "dot"])
def test_the_future_is_never_seen(attention: str, kernel: int) -> None:
    decoder = small_decoder(attention, "every", kernel=kernel)
    memory, x = random_memory(), embedded().requires_grad_()
    features, _ = decoder(x, memory)
    for time in range(T):
        (gradient,) = torch.autograd.grad(features[:, time].sum(), x, retain_graph=True)
        seen = gradient.abs().sum((0, 2)) > 0
        reach = 2 * (kernel - 1)  # of two layers
        assert seen.tolist() == [time - reach <= other <= time for other in range(T)]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("position", ["none", "sinusoidal", "learned"])
def test_padding_changes_nothing(kernel: int, position: str) -> None:
    encoder, decoder = small_encoder(kernel=kernel, position=position), small_decoder()
    x, fed = torch.randn(B, S, E).double(), embedded()
    memory = encoder(Padded(x, torch.tensor(LENGTHS)))
    features, weights = decoder(fed, memory)
    for row, length in enumerate(LENGTHS):
        alone = encoder(Padded(x[row : row + 1, :length], torch.tensor([length])))
        torch.testing.assert_close(alone.values[0], memory.values[row, :length], atol=1e-10, rtol=0)
        torch.testing.assert_close(alone.keys[0], memory.keys[row, :length], atol=1e-10, rtol=0)
        torch.testing.assert_close(alone.context[0], memory.values[row, length - 1], atol=1e-10, rtol=0)
        torch.testing.assert_close(alone.context[0], memory.context[row], atol=1e-10, rtol=0)
        one, looked = decoder(fed[row : row + 1], alone)
        torch.testing.assert_close(one[0], features[row], atol=1e-10, rtol=0)
        torch.testing.assert_close(looked[0], weights[row, ..., :length], atol=1e-10, rtol=0)


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def affine(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ array(layer.weight).T + array(layer.bias)


def gated(block: GatedConvolution, before: list[np.ndarray], x: np.ndarray, after: int) -> np.ndarray:
    """Section 3.2: k rows, the last `after` rows on, in one vector; half of its image gates the other."""
    rows = [*before, *x, *[np.zeros(C)] * after]
    out = []
    for place in range(len(x)):
        image = affine(block.linear, np.concatenate(rows[place : place + block.kernel]))
        out.append(image[:C] * (1 / (1 + np.exp(-image[C:]))))
    return np.array(out)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_encoder_is_section_3_2(kernel: int) -> None:
    encoder = small_encoder(kernel=kernel, layers=3)
    x = torch.randn(1, S, E).double()
    e = array(x[0]) + array(encoder.position.table)[:S]
    z = affine(encoder.enter, e)
    for block in encoder.layers:
        z = (gated(block, [np.zeros(C)] * (kernel // 2), z, kernel // 2) + z) * np.sqrt(0.5)
    z = affine(encoder.leave, z)
    memory = encoder(Padded(x, torch.tensor([S])))
    np.testing.assert_allclose(array(memory.keys[0]), z, atol=1e-12)
    np.testing.assert_allclose(array(memory.values[0]), (z + e) * np.sqrt(0.5), atol=1e-12)


@pytest.mark.parametrize("given", ["first", "both"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_the_decoder_is_section_3_3(kernel: int, given: str) -> None:
    decoder, memory, x = small_decoder(given=given, kernel=kernel), random_memory(), embedded()
    features, weights = decoder(x, memory)
    for sentence, m in enumerate(LENGTHS):
        z, values = array(memory.keys)[sentence, :m], array(memory.values)[sentence, :m]
        c = array(memory.context)[sentence]
        g = array(x)[sentence] + array(decoder.position.table)[:T]
        before = [np.zeros(C)] * (kernel - 1)
        if given == "both":
            g = g + np.tanh(affine(decoder.every.linear, c))
            before[-1] = np.tanh(affine(decoder.first.linear, c))
        h = affine(decoder.enter, g)
        for layer in decoder.layers:
            y = gated(layer.convolution, before, h, 0)
            d = (affine(layer.attention.query, y) + g) * np.sqrt(0.5)
            a = np.exp(d @ z.T) / np.exp(d @ z.T).sum(1, keepdims=True)
            read = a @ values * m * np.sqrt(1 / m)
            y = (affine(layer.attention.out, read) + y) * np.sqrt(0.5)
            h = (y + h) * np.sqrt(0.5)
        np.testing.assert_allclose(array(features)[sentence], affine(decoder.leave, h), atol=1e-10)
        np.testing.assert_allclose(array(weights)[sentence, 0, :, :m], a, atol=1e-10)


def test_sinusoidal_positions_are_scaled() -> None:
    encoder = small_encoder(position_scale=0.25, position="sinusoidal")
    x = torch.randn(B, S, E).double()
    torch.testing.assert_close(encoder.position(x, 3) - x, (sinusoids(9, E)[3:] / 4).double().expand(B, -1, -1))


def test_a_sentence_beyond_the_learned_positions_is_an_error() -> None:
    with pytest.raises(WeftError, match=r"model\.encoder\.positions is 9.*10 tokens"):
        small_encoder()(Padded(torch.randn(1, 10, E).double(), torch.tensor([10])))
    decoder, memory = small_decoder(), random_memory()
    with pytest.raises(WeftError, match=r"model\.decoder\.positions is 9.*10 tokens"):
        decoder(embedded(10), memory)
    fixed, state = decoder.init(memory)
    with pytest.raises(WeftError, match=r"model\.decoder\.positions"):
        decoder.step(embedded(1)[:, 0], state._replace(time=state.time + 9), fixed)


@pytest.mark.parametrize(
    ("attention", "given", "taken"),
    [
        ("none", "first", [True, True, True, True, False]),  # two layers with kernel 3 see four positions back
        ("dot", "first", [False] * 5),
        ("dot", "every", [True] * 5),
        ("none", "both", [True] * 5),
    ],
)
def test_where_the_context_is_taken_in(attention: str, given: str, taken: list[bool]) -> None:
    decoder, memory = small_decoder(attention, given), random_memory()
    context = torch.randn(B, E).double().requires_grad_()
    features, _ = decoder(embedded(), Memory(memory.values, memory.mask, context))
    for time in range(T):
        (gradient,) = torch.autograd.grad(features[:, time].sum(), context, retain_graph=True, allow_unused=True)
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) == taken[time]


def test_a_kernel_of_one_has_no_place_for_the_first_context() -> None:
    with pytest.raises(WeftError, match=r"model\.decoder\.kernel is 1"):
        small_decoder("none", "first", kernel=1)
    small_decoder("dot", "first", kernel=1)
    small_decoder("none", "every", kernel=1)


@pytest.mark.parametrize("attention", ["additive", "multi_head"])
def test_a_memory_of_another_width(attention: str) -> None:
    decoder = small_decoder(attention, "both", memory_width=10)
    features, weights = decoder(embedded(), random_memory(10))
    assert features.shape == (B, T, E) and weights.shape[2:] == (T, S)


def test_only_the_gradient_is_scaled() -> None:
    x = torch.randn(2, 3, 4, requires_grad=True)
    y = scale_gradient(x, 0.25)
    assert torch.equal(x, y)
    (y**2 + x).sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach() * 0.25 + 1)


def test_several_attentions_give_the_encoder_a_gradient_as_of_one() -> None:
    decoder, memory, x = small_decoder(layers=3), random_memory(), embedded()
    told = []
    for factor in (1.0, decoder.gradient):
        decoder.gradient = factor
        parts = [memory.values.clone().requires_grad_(), memory.keys.clone().requires_grad_(), decoder.enter.bias]
        features, _ = decoder(x, Memory(parts[0], memory.mask, memory.context, compared=parts[1]))
        told.append(torch.autograd.grad(features.square().sum(), parts))
    for plain, scaled in zip(told[0][:2], told[1][:2], strict=True):
        torch.testing.assert_close(scaled, plain / (2 * 3))
    torch.testing.assert_close(told[0][2], told[1][2])


def test_signals_neither_grow_nor_fade_with_depth() -> None:
    width = 64
    encoder = ConvolutionalEncoder(width, EncoderSettings(layers=10, width=width, position="none", dropout=0.0))
    memory = encoder(Padded(0.1 * torch.randn(4, 40, width), torch.full((4,), 40)))
    assert 0.005 < memory.keys.var() < 0.02
    decoder = ConvolutionalDecoder(
        width, width, DecoderSettings(layers=10, width=width, position="none", dropout=0.0), Context()
    )
    features, _ = decoder(0.1 * torch.randn(4, 40, width), memory)
    assert 0.005 < features.var() < 0.02


def test_the_parameters_are_all_that_has_to_be_kept() -> None:
    one, other = small_decoder("multi_head"), small_decoder("multi_head")
    kept = {name: parameter.detach().clone() for name, parameter in one.named_parameters()}
    assert kept.keys() == one.state_dict().keys()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(kept[name])
    memory, x = random_memory(), embedded()
    assert torch.equal(one(x, memory)[0], other(x, memory)[0])


def test_rows_are_normalised() -> None:
    layer = linear(5, 3)
    length, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    torch.testing.assert_close(layer.weight, length * direction / direction.norm(dim=1, keepdim=True))
