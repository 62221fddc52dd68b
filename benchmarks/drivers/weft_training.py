"""weft's own training loop. Arguments: folder, model, precision[, device]."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.turns import StepTurns, Turns


class Training:
    def __init__(self, folder: Path, name: str, precision: str, device: str = "cpu") -> None:
        import torch

        import weft.recipe
        from weft.data.corpus import prepare
        from weft.models.seq2seq import Seq2Seq
        from weft.tasks.text import Model
        from weft.training.distributed import Processes
        from weft.training.parallel import Single
        from weft.training.precision import bound_caches
        from weft.training.trainer import Report, Trainer

        bound_caches()
        recipe = weft.recipe.load(folder / f"{name}.yaml", [f"training.precision={precision}"])
        data = prepare(recipe)
        torch.manual_seed(recipe.training.seed)
        network = Seq2Seq(recipe.model, data.source.size, data.target.size).train()
        model = Model(recipe, network, data.source, data.target)
        single = Single(network, torch.device(device))
        self.trainer = Trainer(recipe, model, data, folder / "unused", [], single, Processes())
        self.report = Report(time.perf_counter)
        self.batches = self.trainer.batches()
        self.optimizing = self.began = 0.0
        self.trainer.optimizer.register_step_pre_hook(self.begins)
        self.trainer.optimizer.register_step_post_hook(self.ends)
        self.steps(StepTurns.WARM)

    def begins(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def ends(self, *_: Any) -> None:
        self.optimizing += time.perf_counter() - self.began

    def steps(self, steps: int) -> dict[str, Any]:
        """Seconds of so many steps, those of them spent on reading batches and in the optimiser, and tokens."""
        reading, tokens, sources = 0.0, 0, 0
        self.optimizing = 0.0
        began = time.perf_counter()
        for _ in range(steps):
            asked = time.perf_counter()
            _, rows, batch = next(self.batches)
            reading += time.perf_counter() - asked
            self.trainer.update(rows, batch, batch.count, self.report)
            tokens += batch.count
            sources += int(batch.source.lengths.sum())
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "steps": steps,
            "tokens": tokens,
            "source_tokens": sources,
            "reading": reading,
            "optimizing": self.optimizing,
        }


if __name__ == "__main__":
    turns = Turns()
    turns.serve(Training(Path(sys.argv[1]), *sys.argv[2:]).steps)
