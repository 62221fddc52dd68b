"""What is decoded, how, and what is measured of it, for any engine that gives a function `translate`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, TypeVar

Sentence = TypeVar("Sentence")
Translate = Callable[[Sequence[Sentence], int, int], Sequence[Sequence[str]]]  # sentences, beam, batch -> ids


class Sentences:
    """Decodes the same sentences again and again; its answers are what a round measures."""

    def __init__(
        self,
        sentences: Sequence[Sentence],
        single: int,
        batches: Sequence[int],
        translate: Translate[Sentence],
        timed: int | None = None,
    ) -> None:
        """`single`: so many are decoded one at a time; `batches`: sizes to choose from, as the engine counts them;
        `timed`: so many are timed in bulk (all)."""
        self.sentences, self.single, self.batches, self.translate = sentences, single, batches, translate
        self.bulk = sentences[:timed]
        self.best: dict[int, int] = {}  # size of batch, by beam

    def decode(self, beam: int, bulk: bool, outputs: bool = False) -> dict[str, Any]:
        """Seconds, or the median of milliseconds a sentence; on request what came out."""
        if outputs:
            said = self.translate(self.sentences, beam, self.batches[0])
            return {"outputs": [" ".join(ids) for ids in said]}
        if not bulk:
            times = [self.timed(self.sentences[n : n + 1], beam, 1)[0] for n in range(self.single)]
            return {"p50_ms": 1000 * median(times)}
        if beam not in self.best:
            self.best[beam] = min(self.batches, key=lambda size: self.timed(self.bulk, beam, size)[0])
        before = time.process_time()
        seconds, tokens = self.timed(self.bulk, beam, self.best[beam])
        return {
            "seconds": seconds,
            "cpu_seconds": time.process_time() - before,
            "sentences": len(self.bulk),
            "tokens": tokens,
            "batch": self.best[beam],
        }

    def timed(self, sentences: Sequence[Any], beam: int, batch: int) -> tuple[float, int]:
        began = time.perf_counter()
        said = self.translate(sentences, beam, batch)
        return time.perf_counter() - began, sum(map(len, said))
