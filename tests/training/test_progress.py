import importlib.util
import io
import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from weft.look.curves import read_log
from weft.training.progress import Display, Lines, Log, TensorBoard, duration, listeners

SAMPLES = [
    {"source": "N O T  S H O W N", "target": "x", "output": "x"},
    {"source": "P H O N E", "target": "F OW N", "output": "F OW N"},
    {"source": "C H A I R", "target": "CH EH R", "output": "CH EY R"},
    {"source": "Ein langer Satz " * 6, "target": "A long sentence " * 6, "output": "[bold]A lengthy\x1b[2J one " * 6},
]


def train(step, loss=1.25):
    return {
        "event": "train", "step": step, "epoch": 3, "loss": loss, "learning_rate": 5e-4, "tokens_per_second": 12400.0,
        "gradient_norm": 0.7, "seconds": 1.0,
    }  # fmt: skip


def validation(step, value, best):
    scores = {"unit_error_rate": value}
    return {"event": "validation", "step": step, "loss": 1.5, "scores": scores, "best": best, "samples": SAMPLES}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_log_is_read_back_and_appended_to(tmp_path):
    path = tmp_path / "run" / "log.jsonl"
    for records in ([train(1), validation(1, 7.0, True)], [{"event": "resume", "step": 1}, train(2)]):
        log = Log(path)
        for record in records:
            log(record)
        log.close()
    assert read_log(path) == [train(1), validation(1, 7.0, True), {"event": "resume", "step": 1}, train(2)]


def test_a_record_is_on_disk_before_the_next(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log(train(1))
    assert read_log(tmp_path / "log.jsonl") == [train(1)]
    log.close()


def test_log_starts_on_a_fresh_line_after_a_cut_one(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(train(1)) + '\n{"event": "train", "st')
    log = Log(path)
    log({"event": "resume", "step": 1})
    log.close()
    assert path.read_text().endswith('"st\n{"event": "resume", "step": 1}\n')
    assert [record["event"] for record in read_log(path)] == ["train", "resume"]


def test_log_is_json_even_of_a_loss_that_is_no_number(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log({**train(1, loss=float("nan")), "note": "\udc80 ü"})
    log.close()
    record = json.loads((tmp_path / "log.jsonl").read_text("utf-8"), parse_constant=pytest.fail)
    assert record["loss"] is None


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), width=80, height=30, force_terminal=True, color_system="truecolor")


def shown(display):
    with display.console.capture() as captured:
        display.console.print(display.picture())
    plain = Console(file=io.StringIO(), width=80)
    plain.print(display.picture())
    assert captured.get()
    return plain.file.getvalue()


def test_display_fits_eighty_columns_and_says_what_matters(terminal):
    clock = Clock()
    display = Display(1000, terminal, clock)
    display({"event": "start", "step": 0, "time": "now", "message": "12,000 pairs"})
    clock.now = 60.0
    display(train(100))
    display(validation(100, 7.5, True))
    display(validation(200, 8.25, False))
    text = shown(display)
    display.close()
    assert max(cell_len(line) for line in text.split("\n")) <= 80
    for part in (
        "200 / 1,000", "9:00 left", "loss 1.250", "learning rate 5.0e-04", "tokens/s 12.4k",
        "dev   loss 1.500   unit error rate 8.25", "best  loss 1.500   unit error rate 7.50   at step 100",
        "P H O N E → F OW N\n", "C H A I R → CH EY R (CH EH R)\n", "→ [bold]A lengthy", "(A long sentence",
    ):  # fmt: skip
        assert part in text
    assert "S H O W N" not in text and "\x1b[2J" not in text
    assert "12,000 pairs" in terminal.file.getvalue()


def test_closing_gives_the_cursor_back(terminal):
    display = Display(10, terminal)
    display(train(1))
    assert "\x1b[?25l" in terminal.file.getvalue()
    display.close()
    display.close()
    assert terminal.file.getvalue().rstrip().endswith("\x1b[?25h")
    assert not terminal._live_stack


def test_lines_are_few_and_validations_all_there():
    clock, stream = Clock(), io.StringIO()
    lines = Lines(1000, stream, every=10, clock=clock)
    lines({"event": "resume", "step": 0})
    for step in range(1, 31):
        clock.now = float(step)
        lines(train(step))
    lines(validation(30, 7.5, True))
    lines({"event": "skip", "step": 31, "reason": "the gradient is not finite"})
    lines({"event": "end", "step": 31, "reason": "stopped"})
    assert stream.getvalue().split("\n") == [
        "resumed at step 0",
        "step 1 of 1,000  epoch 3  loss 1.250  learning rate 5.0e-04  12.4k tokens/s  16:39 left",
        "step 11 of 1,000  epoch 3  loss 1.250  learning rate 5.0e-04  12.4k tokens/s  16:29 left",
        "step 21 of 1,000  epoch 3  loss 1.250  learning rate 5.0e-04  12.4k tokens/s  16:19 left",
        "step 30  dev loss 1.500  unit_error_rate 7.50  best",
        "step 31 skipped: the gradient is not finite",
        "ended at step 31: stopped",
        "",
    ]


def test_time_left_is_until_the_last_step_there_will_be():
    clock, stream = Clock(), io.StringIO()
    lines = Lines(100_000, stream, every=1, clock=clock)
    for step, last in ((10, 100_000), (20, 50)):
        clock.now = float(step)
        lines(train(step) | {"last_step": last})
    assert "step 20 of 50 " in stream.getvalue() and stream.getvalue().endswith("0:30 left\n")


def test_durations():
    assert [duration(seconds) for seconds in (7, 247, 3723, 100000)] == ["0:07", "4:07", "1:02:03", "1 day 3:46"]


def test_listeners_leave_standard_output_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("weft.training.progress.find_spec", lambda name: None)
    heard = listeners(tmp_path, 10)
    for listener in heard:
        listener(train(1))
        listener.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "step 1 of 10" in err
    assert read_log(tmp_path / "log.jsonl") == [train(1)]


def test_tensorboard_hides_what_a_resumed_run_does_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for records in ([train(1), train(2), train(3)], [{"event": "resume", "step": 2}, train(3, 0.5)]):
        board = TensorBoard(tmp_path / "tensorboard")
        for record in records:
            board(record)
        board(validation(records[-1]["step"], 7.5, True))
        board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 1.25), (2, 1.25), (3, 0.5)]
    assert events.Scalars("dev/unit_error_rate")[0].value == 7.5


def test_a_recipe_reads_a_log_with_a_line_that_was_cut_off(tmp_path, monkeypatch):
    path = Path(__file__).parents[2] / "recipes/start/compare.py"
    spec = importlib.util.spec_from_file_location("compare", path)
    compare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compare)
    monkeypatch.setattr(compare, "OUT", tmp_path)
    (tmp_path / "lm").mkdir()
    cut = '{"event": "train", "st\n{"event": "resume", "step": 0}\n'
    (tmp_path / "lm/log.jsonl").write_text(
        cut + json.dumps({"event": "validation", "step": 4, "scores": {"bleu_tokenized": 3.0}}) + "\n"
    )
    assert compare.curve("lm") == [(4, 3.0)]
