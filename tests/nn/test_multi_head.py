"""Heads against the papers' equations, PyTorch's own, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weft.nn.multi_head import MultiHead, RelativeSelfAttention, RotarySelfAttention, SelfAttention

B, Q, S, D, M = 3, 4, 6, 8, 10


@pytest.fixture
def mask() -> torch.Tensor:
    lengths = torch.tensor([6, 1, 4])
    return (torch.arange(S) < lengths[:, None])[:, None]


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("want_weights", [True, False])
def test_is_torch(mask: torch.Tensor, want_weights: bool) -> None:
    attention = MultiHead(D, D, 2).double()
    reference = torch.nn.MultiheadAttention(D, 2, batch_first=True).double()
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key_value.bias]))
        reference.out_proj.weight.copy_(attention.out.weight)
        reference.out_proj.bias.copy_(attention.out.bias)
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, D).double()
    ours, weights = attention(query, attention.keys(values), mask, want_weights)
    theirs, their_weights = reference(query, values, values, key_padding_mask=~mask[:, 0], average_attn_weights=False)
    close(ours, theirs)
    if want_weights:
        close(weights, their_weights)


def test_energy_and_read_are_the_two_halves(mask: torch.Tensor) -> None:
    attention = MultiHead(D, M, 2, width=12).double()
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, M).double()
    keys = attention.keys(values)
    weights = torch.softmax(attention.energy(query, keys).masked_fill(~mask[:, None], -torch.inf), -1)
    out, same = attention(query, keys, mask, want_weights=True)
    close(weights, same)
    close(attention.read(weights, keys), out)


def test_keys_of_one_and_values_of_another() -> None:
    attention = MultiHead(D, M, 2, key_value_heads=1).double()
    values, compared = torch.randn(B, S, M).double(), torch.randn(B, S, M).double()
    close(attention.keys(values, values), attention.keys(values))
    expected = torch.cat([attention.keys(compared).chunk(2, -1)[0], attention.keys(values).chunk(2, -1)[1]], -1)
    close(attention.keys(values, compared), expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_shared_heads_are_heads_repeated(mask: torch.Tensor, groups: int) -> None:
    shared, whole = MultiHead(D, M, 4, key_value_heads=groups).double(), MultiHead(D, M, 4).double()
    state = shared.state_dict()
    for name in ("key_value.weight", "key_value.bias"):
        matrices = state[name].unflatten(0, (2, groups, 2))
        state[name] = matrices.repeat_interleave(4 // groups, 1).flatten(0, 2)
    whole.load_state_dict(state)
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, M).double()
    assert shared.keys(values).shape == (B, S, 2 * groups * 2)
    for mine, theirs in zip(
        shared(query, shared.keys(values), mask, want_weights=True),
        whole(query, whole.keys(values), mask, want_weights=True),
        strict=True,
    ):
        close(mine, theirs)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("causal", [True, False])
def test_the_fused_kernel_gives_the_same(mask: torch.Tensor, groups: int, causal: bool) -> None:
    attention = SelfAttention(D, 4, key_value_heads=groups).double()
    x = torch.randn(B, S, D).double()
    q, keys = attention.split(attention.query(x)), attention.keys(x)
    seen = None if causal else mask
    written, weights = attention.attend(q, keys, seen, causal, want_weights=True)
    close(attention.fused(q, keys, seen, causal), written)
    assert not causal or (weights.triu(1) == 0).all()


def test_dropout_is_of_weights_and_only_while_training(mask: torch.Tensor) -> None:
    attention = MultiHead(D, M, 2, dropout=0.5).double()
    query, values = torch.randn(B, Q, D).double(), torch.randn(B, S, M).double()
    keys = attention.keys(values)
    dropped, _ = attention(query, keys, mask)
    assert not torch.allclose(dropped, attention(query, keys, mask)[0])
    attention.eval()
    close(attention(query, keys, mask)[0], attention(query, keys, mask, want_weights=True)[0])


@pytest.mark.parametrize("past", [True, False])
def test_relative_is_shaw(past: bool) -> None:
    distance, heads, d = 2, 2, D // 2
    attention = RelativeSelfAttention(D, heads, distance=distance).double()
    x = torch.randn(B, S, D).double()
    out, keys = attention(x, x[:, :0].new_zeros(B, 0, 2 * D) if past else None)
    q, k, v = (part.detach().numpy() for part in (attention.query(x), *keys.chunk(2, -1)))
    a_key, a_value = attention.relative.keys.detach().numpy(), attention.relative.values.detach().numpy()
    for sentence in range(B):
        for i in range(S):
            z = []
            for head in range(heads):
                part = slice(head * d, (head + 1) * d)
                seen = range(i + 1) if past else range(S)
                pairs = [(j, max(-distance, min(distance, j - i)) + distance) for j in seen]
                e = [q[sentence, i, part] @ (k[sentence, j, part] + a_key[r]) / np.sqrt(d) for j, r in pairs]
                alpha = np.exp(e) / np.exp(e).sum()
                z.append(sum(alpha[j] * (v[sentence, j, part] + a_value[r]) for j, r in pairs))
            expected = attention.out(torch.from_numpy(np.concatenate(z)))
            close(out[sentence, i], expected)


def test_rotary_turns_queries_and_keys_of_each_head() -> None:
    attention, plain = RotarySelfAttention(D, 2, key_value_heads=1).double(), SelfAttention(D, 2, key_value_heads=1)
    plain.double().load_state_dict(attention.state_dict(), strict=True)
    x = torch.randn(B, S, D).double()
    q, keys = attention.placed(attention.split(attention.query(x)), attention.keys(x), 5)
    k, v = keys.chunk(2, -1)
    close(v, plain.keys(x).chunk(2, -1)[1])
    close(k, attention.rotary(plain.keys(x).chunk(2, -1)[0][:, None], 5)[:, 0])
    for head in range(2):
        close(q[:, head], attention.rotary(plain.query(x)[..., 4 * head : 4 * head + 4], 5))


def test_rotary_sees_distance_only() -> None:
    attention = RotarySelfAttention(D, 2).double()
    x = torch.randn(B, S, D).double()
    empty = attention.before(x)
    alone, _ = attention(x, empty)
    q, keys = attention.placed(attention.split(attention.query(x)), attention.keys(x), 100)
    later, _ = attention.attend(q, keys, None, True, False)
    torch.testing.assert_close(later, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", [SelfAttention, RotarySelfAttention, RelativeSelfAttention])
def test_token_by_token_is_all_at_once(kind: type[SelfAttention]) -> None:
    attention = kind(D, 4, key_value_heads=2).double()
    x = torch.randn(B, S, D).double()
    together, keys = attention(x, attention.before(x))
    past = attention.before(x)
    assert keys.shape == (B, S, 2 * 2 * 2)
    for time in range(S):
        out, past = attention(x[:, time : time + 1], past)
        close(out[:, 0], together[:, time])
    close(past, keys)
