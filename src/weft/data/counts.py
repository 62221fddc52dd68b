"""What became of the pairs that were read, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from weft.errors import counted

NONE = "none left out"


@dataclass
class Part:
    """What became of the pairs of one corpus to train on."""

    read: int = 0
    kept: int = 0  # to train on
    empty_source: int = 0
    empty_target: int = 0
    too_long: int = 0
    max_length: int = 0  # pieces of either side
    duplicates: int = 0
    duplicates_dropped: bool = False
    held_out: int = 0  # their source is in the development set that is split off

    def left_out(self) -> str:
        """`12 left out: 10 with an empty source, 2 longer than 256 pieces`, without reasons that did not occur."""
        reasons = [
            (self.empty_source, "with an empty source"),
            (self.empty_target, "with an empty target"),
            (self.held_out, "with a source of the development set"),
            (self.too_long, f"longer than {counted(self.max_length, 'piece')}"),
            (self.duplicates * self.duplicates_dropped, "there before"),
        ]
        return listed([(number, reason) for number, reason in reasons if number])

    def summary(self) -> str:
        """`29,000 pairs read; 12 left out: 10 with an empty source, 2 longer than 256 pieces`."""
        return f"{counted(self.read, 'pair')} read; {self.left_out()}"

    def repeated(self) -> list[str]:
        """A line about pairs that are there again and kept, if there are any."""
        if not self.duplicates or self.duplicates_dropped:
            return []
        were = counted(self.duplicates, "pair was", "pairs were")
        return [f"{were} there before (kept; data.duplicates: drop leaves them out)"]


@dataclass
class Counts(Part):
    """What became of the pairs of data.train, of those mixed with them, and of those for development."""

    dev: int = 0
    dev_empty: int = 0  # of data.dev
    dev_too_long: int = 0
    dev_trained: int = 0  # of data.dev, those that are trained on too
    also: list[Part] = field(default_factory=list)  # data.also
    unknown_source: float = 0.0  # share of all pieces
    unknown_target: float = 0.0
    round_trip_failures: int = 0  # lines of either side that do not come back from their pieces unchanged
    round_trip_examples: list[str] = field(default_factory=list)  # at most three, each with what comes back
    source_size: int = 0  # pieces; 0 where there is no source
    target_size: int = 0
    source_asked: int = 0  # what the recipe allows
    target_asked: int = 0
    seconds: float = 0.0

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Counts:
        """What `asdict` made a record of."""
        return cls(**{**record, "also": [Part(**part) for part in record.get("also", [])]})

    @property
    def parts(self) -> list[Part]:
        """The corpora to train on, in the order of the recipe."""
        return [self, *self.also]

    def report(self) -> list[str]:
        """All of it, in lines for people."""
        lines = [self.summary()]
        dev = listed([(n, why) for n, why in self.dev_reasons() if n])
        kept = f"{counted(self.kept, 'pair')} to train on, {self.dev:,} for development"
        lines.append(kept + f"; {dev}" * (dev != NONE))
        if self.dev_trained:
            both = f"{self.dev_trained:,} of {self.dev:,} pairs for development are trained on too"
            lines.append(f"warning: {both}: how they score says nothing of pairs that are new")
        lines += self.repeated()
        for number, part in enumerate(self.also):
            told = [part.summary(), f"{counted(part.kept, 'pair')} to train on", *part.repeated()]
            lines.append(f"data.also.{number}: {'; '.join(told)}")
        for side in ("source", "target"):
            size, asked = getattr(self, f"{side}_size"), getattr(self, f"{side}_asked")
            if not size:
                continue
            fewer = f" ({asked:,} asked for; the text has no more)" if size < asked else ""
            lines.append(f"{side} vocabulary of {counted(size, 'piece')}{fewer}")
        for side in ("source", "target"):
            if share := getattr(self, f"unknown_{side}"):
                lines.append(f"{100 * share:.2g}% of the {side} pieces are unknown")
        if self.round_trip_failures:
            failed = counted(self.round_trip_failures, "line does not come back", "lines do not come back")
            lines.append(f"{failed} unchanged from their pieces: {', '.join(self.round_trip_examples)}")
        return lines

    def dev_reasons(self) -> list[tuple[int, str]]:
        return [
            (self.dev_empty, "with an empty side"),
            (self.dev_too_long, f"longer than {counted(self.max_length, 'piece')}"),
        ]


def listed(reasons: list[tuple[int, str]]) -> str:
    if not reasons:
        return NONE
    total = sum(number for number, _ in reasons)
    return f"{total:,} left out: " + ", ".join(f"{number:,} {reason}" for number, reason in reasons)
