"""What became of the pairs that were read, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.errors import counted

NONE = "none left out"


@dataclass
class Counts:
    """What became of the pairs that were read."""

    read: int = 0  # from data.train
    kept: int = 0  # to train on
    dev: int = 0
    empty_source: int = 0
    empty_target: int = 0
    too_long: int = 0
    max_length: int = 0  # pieces of either side
    duplicates: int = 0
    duplicates_dropped: bool = False
    dev_empty: int = 0  # of data.dev
    dev_too_long: int = 0
    unknown_source: float = 0.0  # share of all pieces
    unknown_target: float = 0.0
    round_trip_failures: int = 0  # lines of either side that do not come back from their pieces unchanged
    round_trip_examples: list[str] = field(default_factory=list)  # at most three
    source_size: int = 0  # pieces
    target_size: int = 0
    source_asked: int = 0  # what the recipe allows
    target_asked: int = 0
    seconds: float = 0.0

    def left_out(self) -> str:
        """`12 left out: 10 with an empty source, 2 longer than 256 pieces`, without reasons that did not occur."""
        reasons = [
            (self.empty_source, "with an empty source"),
            (self.empty_target, "with an empty target"),
            (self.too_long, f"longer than {counted(self.max_length, 'piece')}"),
            (self.duplicates * self.duplicates_dropped, "there before"),
        ]
        return listed([(number, reason) for number, reason in reasons if number])

    def summary(self) -> str:
        """`29,000 pairs read; 12 left out: 10 with an empty source, 2 longer than 256 pieces`."""
        return f"{counted(self.read, 'pair')} read; {self.left_out()}"

    def report(self) -> list[str]:
        """All of it, in lines for people."""
        lines = [self.summary()]
        dev = listed([(n, why) for n, why in self.dev_reasons() if n])
        kept = f"{counted(self.kept, 'pair')} to train on, {self.dev:,} for development"
        lines.append(kept + f"; {dev}" * (dev != NONE))
        if self.duplicates and not self.duplicates_dropped:
            repeated = counted(self.duplicates, "pair was", "pairs were")
            lines.append(f"{repeated} there before (kept; data.duplicates: drop leaves them out)")
        for side in ("source", "target"):
            size, asked = getattr(self, f"{side}_size"), getattr(self, f"{side}_asked")
            fewer = f" ({asked:,} asked for; the text has no more)" if size < asked else ""
            lines.append(f"{side} vocabulary of {counted(size, 'piece')}{fewer}")
        for side in ("source", "target"):
            if share := getattr(self, f"unknown_{side}"):
                lines.append(f"{100 * share:.2g}% of the {side} pieces are unknown")
        if self.round_trip_failures:
            failed = counted(self.round_trip_failures, "line does not come back", "lines do not come back")
            examples = ", ".join(repr(line) for line in self.round_trip_examples)
            lines.append(f"{failed} unchanged from their pieces: {examples}")
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
