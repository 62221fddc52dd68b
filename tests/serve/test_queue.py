"""What the queue puts together, keeps apart, and refuses."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from weft.recipe import Search
from weft.serve.queue import Ask, Bounds, Draining, Full, Queue
from weft.tasks.text import Prediction

if TYPE_CHECKING:
    from conftest import Gate

ASK = Ask.of(Search())


def test_different_searches_are_predicted_apart_and_in_order(open_gate: Gate) -> None:
    queue = Queue(open_gate, Bounds(batch_lines=3))
    greedy = Ask.of(Search(beam=1))
    futures: list[Future[list[Prediction]]] = [
        queue.submit(lines, ask)
        for lines, ask in [(["a"], ASK), (["b"], greedy), (["c", "d"], ASK), (["e"], ASK), (["f"] * 9, greedy)]
    ]
    queue.start()
    queue.close()
    assert open_gate.batches == [["a", "c", "d"], ["b"], ["e"], ["f"] * 9]
    assert ["".join(map(str, future.result(0))) for future in futures] == ["A", "B", "CD", "E", "F" * 9]


@pytest.mark.parametrize("settings", [{"kind": "sample"}, {"kind": "gumbel"}, {"minimum_bayes_risk": 2}])
def test_what_is_drawn_has_no_company_and_waits_for_none(open_gate: Gate, settings: dict[str, Any]) -> None:
    queue = Queue(open_gate, Bounds(gather_seconds=30))
    ask = Ask.of(Search(**settings))
    queue.start()
    for line in "ab":
        assert queue.submit([line], ask).result(10)
    queue.close()
    queue = Queue(open_gate)
    queue.submit(["c"], ask), queue.submit(["d"], ask)
    queue.start()
    queue.close()
    assert open_gate.batches == [["a"], ["b"], ["c"], ["d"]]


def test_lines_are_gathered_for_a_moment_and_no_longer(open_gate: Gate) -> None:
    queue = Queue(open_gate, Bounds(batch_lines=3, gather_seconds=30))
    queue.start()
    futures = [queue.submit([line], ASK) for line in "abc"]
    assert [future.result(10)[0].text for future in futures] == ["A", "B", "C"]
    assert open_gate.batches == [["a", "b", "c"]]
    queue.close()
    hasty = Queue(open_gate, Bounds(gather_seconds=0.001))
    hasty.start()
    assert hasty.submit(["alone"], ASK).result(10)[0].text == "ALONE"
    hasty.close()


def test_a_job_that_fails_leaves_its_company_alone_and_a_cancelled_one_is_left_out(open_gate: Gate) -> None:
    queue = Queue(open_gate)
    good, bad, given_up = (queue.submit([line], ASK) for line in ("good", "bad", "given up"))
    assert given_up.cancel()
    queue.start()
    queue.close()
    assert good.result(0)[0].text == "GOOD"
    with pytest.raises(ValueError, match="a bad line"):
        bad.result(0)
    assert open_gate.batches[0] == ["good", "bad"]


def test_a_queue_takes_no_more_than_it_holds(open_gate: Gate) -> None:
    queue = Queue(open_gate, Bounds(waiting_lines=4))
    queue.submit(["long"] * 9, ASK)  # nothing else was waiting
    with pytest.raises(Full):
        queue.submit(["a"], ASK)
    queue.start()
    queue.close()
    with pytest.raises(Draining):
        queue.submit(["a"], ASK)
