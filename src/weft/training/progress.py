"""What a person and a machine see of a run while it trains.

A record is a dict with an "event"; every listener is given every record. The events and their keys, besides "step":

start       time (ISO 8601), message where there is one
resume      what was recorded of later steps no longer holds
train       epoch, last_step (where it ends at the latest, as far as is known), loss (nats per target token),
            learning_rate, tokens_per_second, gradient_norm, seconds
validation  loss, scores {metric: value}, best (whether it is, so far), samples [{source, target, output}]
skip        reason
note        message; has no step
end         reason
"""

from __future__ import annotations

import atexit
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from weft.metrics.forecast import LABELS as FORECAST

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.text import Text

Record = dict[str, Any]
SAMPLES = 3
RECENT = 30  # train records that the time left is reckoned from


class Listener(Protocol):
    def __call__(self, record: Record) -> None: ...

    def close(self) -> None: ...


def listeners(run_folder: Path, total_steps: int) -> list[Listener]:
    """The log of the run, what is shown on standard error, and TensorBoard's files where it is installed."""
    shown: Listener = Display(total_steps) if sys.stderr.isatty() else Lines(total_steps)
    heard: list[Listener] = [Log(run_folder / "log.jsonl"), WhileSeen(shown)]
    if find_spec("tensorboard"):
        heard.append(TensorBoard(run_folder / "tensorboard"))
    return heard


class WhileSeen:
    """Another listener for as long as there is something that it writes to: a run outlives its terminal or its pipe."""

    def __init__(self, shown: Listener) -> None:
        self.shown = shown
        self.seen = True

    def __call__(self, record: Record) -> None:
        try:
            if self.seen:
                self.shown(record)
        except OSError:
            self.seen = False

    def close(self) -> None:
        with suppress(OSError):
            self.shown.close()


class Log:
    """Appends each record to a file as one line of JSON, at once; a number that is not finite becomes null."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "ab")  # noqa: SIM115 - open until close()
        if path.stat().st_size:
            with open(path, "rb") as written:
                written.seek(-1, 2)
                if written.read() != b"\n":  # cut off while it was written; `read_log` leaves such a line out
                    self.file.write(b"\n")

    def __call__(self, record: Record) -> None:
        line = json.dumps(finite(record), ensure_ascii=False, allow_nan=False)
        self.file.write(line.encode("utf-8", errors="backslashreplace") + b"\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def finite(value: Any) -> Any:
    """The value with None for each number in it that JSON has no name for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [finite(below) for below in value]
    return value


class Pace:
    """How fast the steps have gone lately, and so how long the rest will take."""

    def __init__(self, total_steps: int, clock: Callable[[], float]) -> None:
        self.total_steps = total_steps
        self.clock = clock
        self.recent: tuple[tuple[float, int], ...] = ()  # replaced whole: the display's thread reads it

    def __call__(self, record: Record) -> None:
        if record["event"] in {"start", "resume"}:
            self.recent = ()
        if record["event"] in {"start", "resume", "train"}:
            self.recent = (*self.recent, (self.clock(), record["step"]))[-RECENT:]
            self.total_steps = record.get("last_step", self.total_steps)

    def left(self) -> str:
        """`1:02:03 left`, or nothing while there is too little to reckon from."""
        recent = self.recent
        if not recent or recent[-1][1] <= recent[0][1]:
            return ""
        (begun, first), (now, last) = recent[0], recent[-1]
        seconds = (self.total_steps - last) * (now - begun) / (last - first)
        return f"{duration(max(0.0, seconds - (self.clock() - now)))} left"


def duration(seconds: float) -> str:
    """`4:07`, `1:02:03` or `2 days 3:04`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} day{'s' if days > 1 else ''} {hour}:{minute:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def rate(tokens: float) -> str:
    """`940` or `12.4k` tokens per second."""
    return f"{tokens / 1000:.1f}k" if tokens >= 1000 else f"{tokens:.0f}"


def scores_of(record: Record) -> str:
    return "  ".join(f"{name} {written(name, value)}" for name, value in record.get("scores", {}).items())


def written(name: str, value: float) -> str:
    """Percents to two places; errors of forecasts, which are near one, to four."""
    return f"{value:.4f}" if name in FORECAST else f"{value:.2f}"


class Lines:
    """Plain lines, for logs and pipes: each validation, and training every so many seconds."""

    def __init__(
        self,
        total_steps: int,
        stream: TextIO | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.every = every
        self.clock = clock
        self.pace = Pace(total_steps, clock)
        self.last = -math.inf

    def __call__(self, record: Record) -> None:
        self.pace(record)
        if record["event"] == "train":
            if self.clock() - self.last < self.every:
                return
            self.last = self.clock()
        print(self.line(record), file=self.stream, flush=True)

    def line(self, record: Record) -> str:
        step = f"step {record.get('step', 0):,}"
        match record["event"]:
            case "train":
                parts = [
                    f"{step} of {self.pace.total_steps:,}",
                    f"epoch {record['epoch']}",
                    f"loss {record['loss']:.3f}",
                    f"learning rate {record['learning_rate']:.1e}",
                    f"{rate(record['tokens_per_second'])} tokens/s",
                    self.pace.left(),
                ]
                return "  ".join(filter(None, parts))
            case "validation":
                parts = [f"{step}  dev loss {record['loss']:.3f}", scores_of(record), "best" if record["best"] else ""]
                return "  ".join(filter(None, parts))
            case _:
                return told(record)

    def close(self) -> None:
        self.stream.flush()


def told(record: Record) -> str:
    """A record that is no measurement, as a sentence."""
    match record["event"]:
        case "start":
            return str(record.get("message") or "training starts")
        case "resume":
            return f"resumed at step {record['step']:,}"
        case "skip":
            return f"step {record['step']:,} skipped: {record['reason']}"
        case "end":
            return f"ended at step {record['step']:,}: {record['reason']}"
        case _:
            return str(record.get("message", ""))


class Display:
    """A live picture of the run in a terminal, on standard error: bar, numbers, best validation, last samples."""

    def __init__(
        self, total_steps: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = console or Console(stderr=True)
        self.pace = Pace(total_steps, clock)
        self.step = 0
        self.train: Record = {}
        self.validation: Record = {}
        self.best: Record = {}
        self.live = Live(console=self.console, get_renderable=self.picture, refresh_per_second=2, redirect_stdout=False)
        self.live.start()
        atexit.register(self.close)  # gives the cursor back even where the trainer was not let to

    def __call__(self, record: Record) -> None:
        self.pace(record)
        self.step = record.get("step", self.step)
        if record["event"] == "train":
            self.train = record
        elif record["event"] == "validation":
            self.validation = record
            self.best = record if record["best"] else self.best
        else:
            self.console.print(told(record), style="dim", markup=False, highlight=False)

    def close(self) -> None:
        self.live.stop()
        atexit.unregister(self.close)

    def picture(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        rows: list[RenderableType] = [self.bar()]
        if self.train:
            rows.append(self.numbers())
        if self.validation:
            rows.append(judged("dev ", self.validation, ""))
        if self.best and self.best is not self.validation:
            rows.append(judged("best", self.best, "green"))
        samples = self.validation.get("samples", [])[-SAMPLES:]
        if samples:
            rows.append(Text())
            rows += [line for sample in samples for line in sample_lines(sample, self.console.width)]
        return Group(*rows)

    def bar(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        total = self.pace.total_steps
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True, justify="right")
        table.add_row(
            f"[bold]step[/] {self.step:,} / {total:,}",
            ProgressBar(total=total, completed=self.step, complete_style="cyan", finished_style="cyan"),
            f"[dim]{self.pace.left() or '· · ·'}[/]",
        )
        return table

    def numbers(self) -> Text:
        return pairs(
            [
                ("loss", f"{self.train['loss']:.3f}"),
                ("learning rate", f"{self.train['learning_rate']:.1e}"),
                ("tokens/s", rate(self.train["tokens_per_second"])),
                ("epoch", f"{self.train['epoch']}"),
            ]
        )


def pairs(values: list[tuple[str, str]], head: str = "", style: str = "") -> Text:
    """One line of names, dim, each before its value."""
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    if head:
        line.append(f"{head}  ", style=f"bold {style}".strip())
    for name, value in values:
        line.append(f"{name} ", style="dim")
        line.append(f"{value}   ", style=style)
    line.rstrip()
    return line


def judged(head: str, record: Record, style: str) -> Text:
    scores = [(name.replace("_", " "), written(name, value)) for name, value in record.get("scores", {}).items()]
    return pairs([("loss", f"{record['loss']:.3f}"), *scores, ("at step", f"{record['step']:,}")], head, style)


def sample_lines(sample: Mapping[str, str], width: int) -> list[Text]:
    """`source → output`, and the target where it is another; on one line if they fit, else on one each."""
    from rich.text import Text

    right = sample["output"] == sample["target"]
    source, output = printable(sample["source"]), printable(sample["output"])
    parts = [Text(source), Text.assemble(("→ ", "cyan"), (output, "green" if right else "yellow"))]
    if not right:
        parts.append(Text(f"({printable(sample['target'])})", style="dim"))
    whole = Text(" ").join(parts)
    lines = [whole] if whole.cell_len <= width else [parts[0], *(Text("  ") + part for part in parts[1:])]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def printable(text: str) -> str:
    """The text without what would move the cursor."""
    return "".join(mark if mark.isprintable() else " " for mark in text)


class TensorBoard:
    """Scalars and samples in TensorBoard's files; a resumed run hides what the stopped one wrote of later steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def __call__(self, record: Record) -> None:
        step = record.get("step", 0)
        if record["event"] == "resume":
            self.close()
            self.writer = self.opened(purge_step=step + 1)
        if record["event"] not in {"train", "validation"}:
            return
        if self.writer is None:
            self.writer = self.opened()
        if record["event"] == "train":
            for name in ("loss", "learning_rate", "tokens_per_second", "gradient_norm"):
                if record.get(name) is not None:
                    self.writer.add_scalar(f"train/{name}", record[name], step)
            return
        self.writer.add_scalar("dev/loss", record["loss"], step)
        for name, value in record.get("scores", {}).items():
            self.writer.add_scalar(f"dev/{name}", value, step)
        for number, sample in enumerate(record.get("samples", [])[-SAMPLES:], start=1):
            text = "\n\n".join(f"**{side}** {sample[side]}" for side in ("source", "output", "target"))
            self.writer.add_text(f"sample {number}", text, step)
        self.writer.flush()

    def opened(self, purge_step: int | None = None) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder), purge_step=purge_step)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
