"""The contract of forecasters: any encoder with any decoder, and never a look at what is to be forecast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from families import DECODERS, ENCODERS
from series import DIRECT, RECURRENT, forecaster

from weft.data.batch import Batch, Padded
from weft.models.forecaster import Forecaster, Shape, Steps, free_running
from weft.recipe import Model

SHAPE = Shape(columns=2, known=1, look_back=9, horizon=5, missing=False)
HEADS: dict[str, dict[str, Any]] = {"memory": {"kind": "direct"}, "context": {"kind": "direct", "of": "context"}}


def model(encoder: Any, decoder: Any, shape: Shape = SHAPE, **ends: Any) -> Forecaster:
    output = {"kind": "values"} | ends.pop("output", {})
    settings = {"width": 12, "input": {"kind": "values"} | ends, "output": output}
    parts = {"encoder": plain(encoder), "decoder": plain(decoder)}
    return forecaster(Model.model_validate({**settings, **parts}), shape)


def plain(part: Any) -> Any:
    return part if isinstance(part, dict) else part.model_dump()


def batch(rows: int = 3, shape: Shape = SHAPE, patch: int = 1) -> Batch:
    """Windows of one random series, so that what is fed is what came before."""
    torch.manual_seed(1)
    both = torch.randn(rows, shape.look_back + shape.horizon, shape.columns + shape.known, dtype=torch.float64)
    columns = shape.columns
    source, gold = both[:, : shape.look_back], both[:, shape.look_back :, :columns]
    before = both[:, shape.look_back - patch : shape.look_back + shape.horizon - patch, :columns]
    fed = torch.cat([before, both[:, shape.look_back :, columns:]], -1)
    return Batch(padded(source), padded(fed), padded(gold), torch.arange(rows).numpy())


def padded(data: torch.Tensor) -> Padded:
    return Padded(data, torch.full((len(data),), data.size(1)))


def hidden_future(given: Batch, patch: int = 1) -> Padded:
    """What is fed, with other values wherever they had not come yet."""
    data = given.fed.data.clone()
    data[:, patch:, :2] = 99.0
    return replace(given.fed, data=data)


@pytest.mark.parametrize("decoder", ["gru", "luong", "conv", "pre", "ssru", "memory", "context"])
@pytest.mark.parametrize("encoder", ["gru", "conv", "pre"])
def test_a_forecast_knows_nothing_of_what_comes(encoder: str, decoder: str) -> None:
    network = model(ENCODERS[encoder], (DECODERS | HEADS)[decoder])
    given = batch()
    found = network.forecast(given.source, given.fed)
    assert found.shape == (3, 5, 2, 1)
    torch.testing.assert_close(network.forecast(given.source, hidden_future(given)), found)
    alone = network.forecast(given.source.part(torch.tensor([1])), given.fed.part(torch.tensor([1])))
    torch.testing.assert_close(alone[0], found[1])


@pytest.mark.parametrize("patch", [1, 2, 5])
@pytest.mark.parametrize("decoder", ["gru", "luong", "conv", "pre"])
def test_teacher_forcing_is_a_roll_out_that_is_fed_the_truth(decoder: str, patch: int) -> None:
    network = model(ENCODERS["gru"], DECODERS[decoder], output={"patch": patch})
    given = batch(patch=patch)

    def told(network: Forecaster, memory: Any, steps: Steps) -> torch.Tensor:
        return network.roll_out(memory, steps, lambda said, true: true)

    forced, _ = network.loss(given)
    torch.testing.assert_close(network.loss(given, 0.0, told)[0], forced)
    own, _ = network.loss(given, 0.0, free_running)
    found = network.point(network.forecast(given.source, hidden_future(given, patch)))
    torch.testing.assert_close((found - given.gold.data).square().sum(), own)
    assert patch == 5 or not torch.allclose(own, forced)


@pytest.mark.parametrize("settings", [DIRECT, RECURRENT | {"input": {"kind": "values", "channels": "independent"}}])
def test_independent_columns_are_forecast_as_if_alone(settings: dict[str, Any]) -> None:
    network = forecaster(Model.model_validate(settings), SHAPE)
    given = batch()
    found = network.forecast(given.source, given.fed)
    network.shape = SHAPE._replace(columns=1)
    for column in range(2):
        of_column = [
            padded(torch.cat([part.data[..., column : column + 1], part.data[..., 2:]], -1))
            for part in (given.source, given.fed)
        ]
        torch.testing.assert_close(network.forecast(*of_column)[:, :, 0], found[:, :, column])


@pytest.mark.parametrize("normalize", ["last", "mean"])
@pytest.mark.parametrize("decoder", [HEADS["memory"], DECODERS["gru"]])
def test_a_higher_level_gives_the_same_forecast_as_much_higher(decoder: Any, normalize: str) -> None:
    network = model(ENCODERS["gru"], decoder, normalize=normalize)
    given = batch()
    higher = [replace(part, data=part.data + torch.tensor([7.0, 7.0, 0.0])) for part in (given.source, given.fed)]
    torch.testing.assert_close(network.forecast(*higher), network.forecast(given.source, given.fed) + 7)


def test_what_is_known_ahead_changes_its_rows_of_a_direct_forecast_alone() -> None:
    network = model({"kind": "none"}, HEADS["memory"])
    given = batch()
    data = given.fed.data.clone()
    data[:, 3, 2] += 1
    changed = network.forecast(given.source, replace(given.fed, data=data)) - network.forecast(given.source, given.fed)
    assert (changed.abs().amax((0, 2, 3)) > 1e-6).tolist() == [False, False, False, True, False]


def test_missing_values_have_no_part_in_the_loss_and_are_told_to_the_encoder() -> None:
    network = model(ENCODERS["gru"], HEADS["memory"], SHAPE._replace(missing=True))
    given = batch()
    given.gold.data[0, 2, 1] = torch.nan
    total, count = network.loss(given)
    assert count == 3 * 5 * 2 - 1 == given.count
    parts = [network.loss(part) for part in given.parts(3)]
    torch.testing.assert_close(sum(part for part, _ in parts), total)
    carried_by_hand = given.source.data.clone()
    carried_by_hand[:, 4, 0] = carried_by_hand[:, 3, 0]
    missing = carried_by_hand.clone()
    missing[:, 4, 0] = torch.nan
    by_hand, told = (
        network.forecast(replace(given.source, data=data), given.fed) for data in (carried_by_hand, missing)
    )
    assert torch.isfinite(told).all()
    assert not torch.allclose(by_hand, told)


def test_quantiles_have_a_median_and_the_pinball_loss_orders_them() -> None:
    torch.manual_seed(1)
    settings = DIRECT | {"output": {"kind": "values", "loss": "quantile", "quantiles": [0.1, 0.5, 0.9]}}
    network = Forecaster(Model.model_validate(settings), Shape(1, 0, 2, 1, False))
    source, gold = padded(torch.zeros(4000, 2, 1)), padded(torch.randn(4000, 1, 1))
    given = Batch(source, padded(torch.zeros(4000, 1, 1)), gold, torch.arange(4000).numpy())
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        total, count = network.loss(given)
        (total / count).backward()
        optimizer.step()
    low, middle, high = network.forecast(source, given.fed)[0, 0, 0].tolist()
    assert network.point(torch.tensor([low, middle, high])) == middle
    assert (low, middle, high) == pytest.approx((-1.28, 0.0, 1.28), abs=0.15)
