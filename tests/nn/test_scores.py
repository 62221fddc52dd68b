"""Every kind of attention with every window, against the papers' equations written out in NumPy.

The kinds are those of nn/scores, found and not listed: a new one needs its file there and its equation here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pydantic
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weft.errors import WeftError
from weft.nn.attention import Attention
from weft.recipe import Attention as Settings
from weft.recipe.parts import SCORES

Array = NDArray[np.float64]
B, Q, S, D, M, WIDTH, REACH, POSITIONS = 3, 4, 6, 8, 6, 10, 1, 5  # location has no score for the sixth position
LENGTHS = [6, 1, 4]
STEPS = torch.arange(Q) + 2  # some stand after the last position of their sentence
MASK = (torch.arange(S) < torch.tensor(LENGTHS)[:, None])[:, None]


def array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def additive(score: nn.Module, s: Array, h: Array, c: Array) -> list[Array]:
    """v . tanh(W s + U h_j + w_c c_j + b) (Bahdanau, appendix A.1.2; See, equation 11)."""
    W, U, b, v = (array(p) for p in (score.query.weight, score.key.weight, score.key.bias, score.energy.weight[0]))
    w_c = array(score.coverage.weight[:, 0]) if score.coverage else np.zeros(len(b))
    return [np.array([v @ np.tanh(W @ s + U @ h_j + w_c * c_j + b) for h_j, c_j in zip(h, c, strict=True)])]


def concat(score: nn.Module, s: Array, h: Array, c: Array) -> list[Array]:
    """v . tanh(W [s; h_j]) (Luong, section 3.1); the coverage, where it is seen, is concatenated too."""
    parts = [array(score.query.weight), array(score.key.weight)]
    parts += [array(score.coverage.weight)] if score.coverage else [np.zeros((len(parts[0]), 1))]
    W, b, v = np.concatenate(parts, 1), array(score.key.bias), array(score.energy.weight[0])
    return [np.array([v @ np.tanh(W @ np.concatenate([s, h_j, [c_j]]) + b) for h_j, c_j in zip(h, c, strict=True)])]


def dot(score: nn.Module, s: Array, h: Array, c: Array) -> list[Array]:
    return [np.array([s @ h_j for h_j in h])]


def scaled_dot(score: nn.Module, s: Array, h: Array, c: Array) -> list[Array]:
    return [np.array([s @ h_j for h_j in h]) / np.sqrt(len(s))]


def general(score: nn.Module, s: Array, h: Array, c: Array) -> list[Array]:
    return [np.array([s @ array(score.key.weight) @ h_j for h_j in h])]


def location(score: nn.Module, s: Array, h: Array, c: Array) -> list[Array]:
    """W s, a row of W for each position (Luong, equation 8)."""
    W = array(score.place.weight)
    return [np.array([W[j] @ s if j < len(W) else -np.inf for j in range(len(h))])]


def multi_head(score: nn.Module, s: Array, h: Array, c: Array) -> list[Array]:
    """q_i . k_i / sqrt(d) (Vaswani, section 3.2.2)."""
    heads = score.heads
    W_k, b_k = (np.split(array(p), 2)[0] for p in (heads.key_value.weight, heads.key_value.bias))
    q = np.split(array(heads.query.weight) @ s + array(heads.query.bias), 2)
    k = np.split(h @ W_k.T + b_k, 2, axis=1)
    return [k_i @ q_i / np.sqrt(len(q_i)) for q_i, k_i in zip(q, k, strict=True)]


EQUATIONS: dict[str, Callable[[nn.Module, Array, Array, Array], list[Array]]] = {
    "additive": additive,
    "concat": concat,
    "dot": dot,
    "general": general,
    "location": location,
    "multi_head": multi_head,
    "scaled_dot": scaled_dot,
}


def weighted_sum(score: nn.Module, weights: list[Array], values: Array) -> Array:
    return weights[0] @ values


def joined_heads(score: nn.Module, weights: list[Array], values: Array) -> Array:
    """Concat(head_1..head_H) W_O, head_i = a_i V_i (Vaswani, section 3.2.2)."""
    heads = score.heads
    W_v, b_v = (np.split(array(p), 2)[1] for p in (heads.key_value.weight, heads.key_value.bias))
    v = np.split(values @ W_v.T + b_v, 2, axis=1)
    joined = np.concatenate([a_i @ v_i for a_i, v_i in zip(weights, v, strict=True)])
    return array(heads.out.weight) @ joined + array(heads.out.bias)


READINGS = {"multi_head": joined_heads}  # all others sum the states themselves


def everywhere(window: nn.Module, s: Array, length: int, step: int) -> tuple[Array, Array]:
    return np.ones(length, bool), np.ones(length)


def monotonic(window: nn.Module, s: Array, length: int, step: int) -> tuple[Array, Array]:
    """p_t = t, or the last position (Luong, section 3.2)."""
    return np.array([abs(j - min(step, length - 1)) <= REACH for j in range(length)]), np.ones(length)


def predicted(window: nn.Module, s: Array, length: int, step: int) -> tuple[Array, Array]:
    """p_t = S sigmoid(v_p . tanh(W_p h_t)); a Gaussian of deviation D/2 around it (Luong, equations 9 and 10)."""
    p_t = length / (1 + np.exp(-array(window.outer.weight[0]) @ np.tanh(array(window.inner.weight) @ s)))
    places = np.arange(1, length + 1)
    return np.abs(places - p_t) <= REACH, np.exp(-((places - p_t) ** 2) / (2 * (REACH / 2) ** 2))


WINDOWS = {"global": everywhere, "local_m": monotonic, "local_p": predicted}


def small(kind: str, window: str = "global", coverage: bool = False) -> tuple[Attention, int]:
    """The attention, and the width of the memory: unlike the query's where the kind takes it."""
    settings = Settings(
        kind=kind, window=window, coverage=coverage, width=WIDTH, heads=2, positions=POSITIONS, reach=REACH
    )
    try:
        return Attention(D, M, settings).double(), M
    except WeftError:
        return Attention(D, D, settings).double(), D


def takes_coverage(kind: str) -> bool:
    try:
        return Settings(kind=kind, coverage=True).coverage
    except pydantic.ValidationError:
        return False


every_kind = pytest.mark.parametrize("kind", SCORES)
every_window = pytest.mark.parametrize("window", WINDOWS)
every_cover = pytest.mark.parametrize(
    ("kind", "coverage"), [(kind, covers) for kind in SCORES for covers in {False, takes_coverage(kind)}]
)


def test_every_kind_has_its_equation() -> None:
    assert set(EQUATIONS) == set(SCORES)


@every_cover
@every_window
def test_is_the_papers_equation(kind: str, coverage: bool, window: str) -> None:
    attention, width = small(kind, window, coverage)
    query, compared, values = (torch.randn(B, count, w).double() for count, w in ((Q, D), (S, width), (S, width)))
    covered = torch.rand(B, Q, S).double()
    read, weights = attention(query, attention.keys(compared, values), values, MASK, STEPS, covered)
    for sentence, length in enumerate(LENGTHS):
        h, y = array(compared)[sentence, :length], array(values)[sentence, :length]
        for q, step in enumerate(STEPS.tolist()):
            s, c = array(query)[sentence, q], array(covered)[sentence, q, :length]
            inside, factor = WINDOWS[window](attention.window, s, length, step)
            energies = EQUATIONS[kind](attention.score, s, h, c)
            expected = [softmax(np.where(inside, energy, -np.inf)) * factor for energy in energies]
            np.testing.assert_allclose(array(weights)[sentence, :, q, :length], expected, atol=1e-12)
            summed = READINGS.get(kind, weighted_sum)(attention.score, expected, y)
            np.testing.assert_allclose(array(read)[sentence, q], summed, atol=1e-12)


@every_kind
@every_window
def test_weights_are_a_distribution_over_what_is_real(kind: str, window: str) -> None:
    attention, width = small(kind, window)
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, width).double()
    _, weights = attention(query, attention.keys(values), values, MASK, STEPS)
    assert (weights >= 0).all()
    assert (weights.masked_select(~MASK[:, None].expand_as(weights)) == 0).all()
    sums = weights.sum(-1)
    if window == "local_p":
        assert (sums <= 1 + 1e-12).all()
    else:
        torch.testing.assert_close(sums, torch.ones_like(sums))
    if window != "global":
        assert (weights > 0).sum(-1).max() <= 2 * REACH + 1


@every_kind
@every_window
def test_padding_changes_nothing(kind: str, window: str) -> None:
    attention, width = small(kind, window)
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, width).double()
    read, weights = attention(query, attention.keys(values), values, MASK, STEPS)
    for row, length in enumerate(LENGTHS):
        alone = values[row : row + 1, :length]
        one, looked = attention(
            query[row : row + 1], attention.keys(alone), alone, MASK[row : row + 1, :, :length], STEPS
        )
        torch.testing.assert_close(one[0], read[row], atol=1e-12, rtol=0)
        torch.testing.assert_close(looked[0], weights[row, ..., :length], atol=1e-12, rtol=0)


class Asked(nn.Module):
    """The keys and what is read with them, in one function of everything that gets a gradient."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, query: Tensor, compared: Tensor, values: Tensor, covered: Tensor) -> tuple[Tensor, Tensor]:
        keys = self.attention.keys(compared, values)
        read: tuple[Tensor, Tensor] = self.attention(query, keys, values, MASK, STEPS, covered)
        return read


@every_cover
@every_window
def test_gradients(kind: str, coverage: bool, window: str) -> None:
    attention, width = small(kind, window, coverage)
    asked = Asked(attention)
    names = [name for name, _ in asked.named_parameters()]
    inputs = [torch.randn(B, count, w).double() for count, w in ((Q, D), (S, width), (S, width), (Q, S))]

    def of_all(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.functional_call(asked, dict(zip(names, tensors, strict=False)), tensors[len(names) :])

    everything = [tensor.detach().requires_grad_() for tensor in (*asked.parameters(), *inputs)]
    assert torch.autograd.gradcheck(of_all, everything, fast_mode=True)


@pytest.mark.parametrize("kind", ["dot", "scaled_dot"])
def test_states_of_unequal_width_have_no_dot_product(kind: str) -> None:
    with pytest.raises(
        WeftError, match=rf"model\.decoder\.attention\.kind is {kind}.*8 wide, the encoder's 6; general"
    ):
        Attention(8, 6, Settings(kind=kind))


def test_heads_divide_the_width() -> None:
    with pytest.raises(WeftError, match=r"heads is 3, which does not divide the attention's width 8"):
        Attention(8, 6, Settings(kind="multi_head", heads=3))
