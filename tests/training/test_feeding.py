"""What the decoder is fed: the probabilities over the steps, and the tokens themselves."""

from __future__ import annotations

import pytest
import torch
from families import random_ids, small_model

from weft.data.batch import Batch, Padded
from weft.recipe import Feeding
from weft.training.feeding import OwnTokens, feeding, half_after, probability, teacher_forcing


def batch(rows: int = 3) -> Batch:
    torch.manual_seed(2)
    source, gold = random_ids([4, 2, 6][:rows], 11), random_ids([5, 3, 4][:rows], 9)
    fed = Padded(torch.cat([torch.full((rows, 1), 1), gold.data[:, :-1]], 1), gold.lengths)
    return Batch(source, fed, gold, torch.arange(rows).numpy())


def scheduled(decay: str, **settings: float) -> Feeding:
    return Feeding.model_validate({"kind": "scheduled_sampling", "decay": decay, "over": 1000, **settings})


@pytest.mark.parametrize("decay", ["linear", "exponential", "inverse_sigmoid"])
def test_decays_go_down_from_one_and_stop_at_least(decay: str) -> None:
    shares = [probability(scheduled(decay, least=0.25), step) for step in range(1, 20_000, 50)]
    assert shares[0] > 0.98
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.25


def test_decays_are_the_papers() -> None:
    assert probability(scheduled("linear"), 400) == pytest.approx(0.6)
    assert probability(scheduled("exponential"), 1000) == pytest.approx(0.5)
    assert probability(scheduled("inverse_sigmoid"), 1000) == pytest.approx(0.5)
    k = half_after(1000)
    assert probability(scheduled("inverse_sigmoid"), 300) == pytest.approx(k / (k + 2.718281828459045 ** (300 / k)))
    assert probability(scheduled("inverse_sigmoid", least=0.0), 10_000_000) == pytest.approx(0.0)


def test_teacher_forcing_and_free_running_do_not_change_with_the_step() -> None:
    assert feeding(Feeding(), 10**6) is teacher_forcing
    assert probability(Feeding(kind="free_running"), 1) == 0.0


@pytest.mark.parametrize("decoder", ["gru", "luong", "fused", "pre", "conv", "ssru"])
def test_all_of_the_target_is_teacher_forcing(decoder: str) -> None:
    model = small_model("gru", decoder)
    forced, *_ = teacher_forcing(model, batch())
    own, *_ = OwnTokens(1.0, sampled=False)(model, batch())
    torch.testing.assert_close(own, forced, atol=1e-10, rtol=0)


@pytest.mark.parametrize("decoder", ["gru", "luong", "fused"])
def test_free_running_is_fed_the_greedy_output(decoder: str) -> None:
    model, given = small_model("gru", decoder), batch()
    features, *_ = OwnTokens(0.0, sampled=False)(model, given)
    fixed, state = model.start(given.source)
    tokens = given.fed.data[:, 0]
    for time in range(given.fed.data.size(1)):
        log_probs, _, state = model.step(tokens, state, fixed)
        torch.testing.assert_close(model.output(features[:, time]), log_probs, atol=1e-10, rtol=0)
        tokens = log_probs.argmax(-1)


def test_a_type_that_is_dropped_is_dropped_at_every_step() -> None:
    model, given = small_model("gru", "gru"), batch()
    model.target_input.tokens.p = 0.5
    seen: list[torch.Tensor] = []
    model.target_input.register_forward_hook(lambda _module, _ids, embedded: seen.append(embedded.detach()))
    given.fed.data[:] = 4
    for _ in range(8):
        seen.clear()
        OwnTokens(1.0, sampled=False)(model.train(), given)
        assert len({bool(embedded.any()) for embedded in seen}) == 1
    assert len(seen) == given.fed.data.size(1)


def test_two_passes_feed_what_the_first_one_said() -> None:
    model, given = small_model("pre", "pre"), batch()
    features, _ = model(given.source, given.fed)
    said = model.output(features).argmax(-1)
    fed = torch.cat([given.fed.data[:, :1], said[:, :-1]], 1)
    expected, _ = model(given.source, Padded(fed, given.fed.lengths))
    got, *_ = OwnTokens(0.0, sampled=False)(model, given)
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("decoder", ["gru", "pre"])
def test_gradients_reach_the_encoder_and_the_share_is_right(decoder: str, sampled: bool) -> None:
    model, given = small_model("gru", decoder), batch()
    own = OwnTokens(0.5, sampled)
    loss, count = model.loss(given, 0.1, own)
    (loss / count).backward()
    assert model.source_input.embedding.weight.grad.abs().sum() > 0
    torch.manual_seed(0)
    mixed = own.mixed(torch.zeros(100, 100), torch.ones(100, 100))
    assert float(mixed.mean()) == pytest.approx(0.5, abs=0.03)


def test_sampled_tokens_follow_the_models_distribution() -> None:
    model = small_model("gru", "gru")
    torch.manual_seed(1)
    features = torch.randn(1, 12, dtype=torch.double).expand(20_000, -1)
    said = OwnTokens(0.0, sampled=True).said(model, features, None, torch.zeros(1, 1, dtype=torch.long))
    expected = model.output(features[:1]).exp()[0]
    counts = torch.bincount(said, minlength=9) / len(said)
    torch.testing.assert_close(counts.double(), expected, atol=0.015, rtol=0)


def test_what_is_sampled_is_as_likely_as_the_model_says() -> None:
    model = small_model("gru", "gru")
    features = torch.randn(1, 1, model.output.projection.in_features, dtype=torch.float64).expand(5000, 1, -1)[:, 0]
    said = OwnTokens(0.0, sampled=True).said(model, features, None, torch.zeros(5000, 1, dtype=torch.long))
    shares = said.bincount(minlength=9) / len(said)
    torch.testing.assert_close(shares, model.output(features[:1])[0].exp().float(), atol=0.03, rtol=0)
