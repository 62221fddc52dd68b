"""Attention against the papers' equations, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weft.nn.attention import Additive, MultiHead

B, Q, S, D, M, A = 3, 4, 6, 8, 10, 5


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def mask() -> torch.Tensor:
    lengths = torch.tensor([6, 1, 4])
    return (torch.arange(S) < lengths[:, None])[:, None]


def test_additive_is_bahdanau(mask: torch.Tensor) -> None:
    attention = Additive(D, M, A).double()
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, M).double()
    context, weights = attention(query, attention.keys(values), values, mask)
    W, U, b, v = (
        array(p) for p in (attention.query.weight, attention.key.weight, attention.key.bias, attention.energy.weight[0])
    )
    for sentence in range(B):
        h = array(values)[sentence][array(mask)[sentence, 0]]
        for q in range(Q):
            s = array(query)[sentence, q]
            alpha = softmax(np.array([v @ np.tanh(W @ s + U @ h_j + b) for h_j in h]))
            np.testing.assert_allclose(array(weights)[sentence, 0, q, : len(h)], alpha, atol=1e-12)
            np.testing.assert_allclose(array(context)[sentence, q], alpha @ h, atol=1e-12)
    assert (weights[:, 0][~mask.expand(B, Q, S)] == 0).all()


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_multi_head_is_vaswani(mask: torch.Tensor, heads: int) -> None:
    attention = MultiHead(D, M, heads).double()
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, M).double()
    out, weights = attention(query, attention.keys(values), mask, want_weights=True)
    WQ, bQ, WO, bO = (
        array(p) for p in (attention.query.weight, attention.query.bias, attention.out.weight, attention.out.bias)
    )
    WK, WV = np.split(array(attention.key_value.weight), 2)
    bK, bV = np.split(array(attention.key_value.bias), 2)
    d = D // heads
    for sentence in range(B):
        memory = array(values)[sentence][array(mask)[sentence, 0]]
        q, k, v = array(query)[sentence] @ WQ.T + bQ, memory @ WK.T + bK, memory @ WV.T + bV
        joined = []
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            alpha = softmax(q[:, part] @ k[:, part].T / np.sqrt(d))
            np.testing.assert_allclose(array(weights)[sentence, head, :, : len(memory)], alpha, atol=1e-12)
            joined.append(alpha @ v[:, part])
        np.testing.assert_allclose(array(out)[sentence], np.concatenate(joined, 1) @ WO.T + bO, atol=1e-12)


def test_multi_head_is_torch(mask: torch.Tensor) -> None:
    attention = MultiHead(D, D, 2).double()
    reference = torch.nn.MultiheadAttention(D, 2, batch_first=True).double()
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key_value.bias]))
        reference.out_proj.weight.copy_(attention.out.weight)
        reference.out_proj.bias.copy_(attention.out.bias)
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, D).double()
    ours, weights = attention(query, attention.keys(values), mask, want_weights=True)
    theirs, their_weights = reference(query, values, values, key_padding_mask=~mask[:, 0], average_attn_weights=False)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    torch.testing.assert_close(weights, their_weights, atol=1e-12, rtol=0)
