"""What holds for every encoder with every decoder."""

from __future__ import annotations

import pytest
import torch
from families import COMBINATIONS, random_ids, small_model

from weft.data.batch import Padded
from weft.models.base import reorder

every_model = pytest.mark.parametrize(("encoder", "decoder"), COMBINATIONS)


@every_model
def test_forward_is_the_loop_over_step(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    source, fed = random_ids([5, 3, 7], 11), random_ids([6, 6, 6], 9)
    features, weights = model(source, fed)
    together = model.output(features.flatten(0, 1)).unflatten(0, features.shape[:2])
    fixed, state = model.start(source)
    for time in range(6):
        step, looked, state = model.step(fed.data[:, time], state, fixed)
        torch.testing.assert_close(step, together[:, time], atol=1e-10, rtol=0)
        torch.testing.assert_close(looked, weights[:, :, time], atol=1e-10, rtol=0)


@every_model
def test_padding_changes_nothing(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    source, fed = random_ids([2, 9, 5], 11), random_ids([4, 4, 4], 9)
    together, _ = model(source, fed)
    backwards = torch.tensor([2, 1, 0])
    turned, _ = model(
        Padded(source.data[backwards], source.lengths[backwards]), Padded(fed.data[backwards], fed.lengths)
    )
    for row, length in enumerate(source.lengths.tolist()):
        alone, _ = model(
            Padded(source.data[row : row + 1, :length], source.lengths[row : row + 1]),
            Padded(fed.data[row : row + 1], fed.lengths[row : row + 1]),
        )
        torch.testing.assert_close(alone[0], together[row], atol=1e-10, rtol=0)
        torch.testing.assert_close(turned[2 - row], together[row], atol=1e-10, rtol=0)


@every_model
def test_what_stands_in_the_padding_does_not_matter(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    source, fed = random_ids([2, 6], 11), random_ids([3, 3], 9)
    before, _ = model(source, fed)
    source.data[0, 2:] = 7
    after, _ = model(source, fed)
    torch.testing.assert_close(after, before, atol=0, rtol=0)


@every_model
def test_hypotheses_of_a_sentence_do_not_touch_each_other(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder)
    source = random_ids([4, 6], 11)
    fixed, state = model.start(source)
    wide = reorder(state, torch.tensor([0, 0, 0, 1, 1, 1]))
    tokens = torch.tensor([4, 5, 6, 7, 8, 4])
    together, _, wide = model.step(tokens, wide, fixed)
    together, _, _ = model.step(tokens.flip(0), reorder(wide, torch.tensor([2, 1, 0, 5, 4, 3])), fixed)
    for row in range(6):
        parent = [2, 1, 0, 5, 4, 3][row]
        one = Padded(source.data[row // 3, : source.lengths[row // 3]][None], source.lengths[row // 3][None])
        fixed_one, state_one = model.start(one)
        _, _, state_one = model.step(tokens[parent][None], state_one, fixed_one)
        alone, _, _ = model.step(tokens.flip(0)[row][None], state_one, fixed_one)
        torch.testing.assert_close(alone[0], together[row], atol=1e-10, rtol=0)


@every_model
def test_every_parameter_gets_a_gradient(encoder: str, decoder: str) -> None:
    model = small_model(encoder, decoder, share="none")
    features, _ = model(random_ids([5, 3], 11), random_ids([4, 2], 9))
    loss, count = model.output.loss(features, random_ids([4, 2], 9), smoothing=0.1)
    (loss / count).backward()
    assert not {name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0}


def test_sharing_all_is_one_matrix() -> None:
    model = small_model("gru", "pre", source=9, share="all")
    assert model.source_input.embedding.weight is model.output.projection.weight
    assert len([name for name, p in model.named_parameters() if p.shape == (9, 12)]) == 1
