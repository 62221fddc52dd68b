"""The training loop: batches in, updates, validations, states to resume from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from weft.data.batch import Batch
from weft.data.corpus import Prepared
from weft.data.examples import Examples
from weft.errors import WeftError, counted
from weft.files import write_text
from weft.models.directory import WEIGHTS, parameters, put_weights, save_tensors, save_weights
from weft.recipe import Recipe
from weft.tasks.text import Model
from weft.training import checkpoint
from weft.training.checkpoint import Ending, Progress
from weft.training.feeding import feeding
from weft.training.precision import precision
from weft.training.progress import Listener
from weft.training.schedule import LearningRate
from weft.training.validation import Validation

REPORT_EVERY = 50  # steps
BAD_STEPS = 3  # in a row, and the run stops
DUMP = "bad-batch.jsonl"


class Trainer:
    """Trains one model in one run folder; `run` goes on from the last state that the folder holds."""

    def __init__(
        self, recipe: Recipe, model: Model, data: Prepared, folder: Path, listeners: Sequence[Listener]
    ) -> None:
        self.recipe = recipe
        self.settings = recipe.training
        self.model = model
        self.network = model.network
        self.data = data
        self.folder = folder
        self.listeners = listeners
        self.examples = Examples(recipe, data)
        self.order = self.examples.order
        self.validation = Validation(recipe, model, data.dev)
        self.learning_rate = LearningRate(self.settings)
        self.optimizer = make_optimizer(recipe, self.network)
        self.progress = Progress(micro_batches=self.settings.accumulate, data=data.fingerprint)
        self.stop_wanted = ""

    def tell(self, event: str, **record: Any) -> None:
        for listener in self.listeners:
            listener({"event": event, **record})

    def stop(self, reason: str) -> None:
        """Have the run save its state and end after the step it is in."""
        self.stop_wanted = reason

    def run(self) -> Ending | None:
        """Train to the end; None where it was told to stop before, and has saved all that it needs to go on."""
        resumed = checkpoint.load_state(self.folder, self.network, self.optimizer)
        if resumed is None:
            self.tell("start", step=0, time=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
            self.try_longest_batches()
            self.validation.try_out()
        else:
            self.progress = resumed
            self.learning_rate.resume(resumed.plateau)
            self.tell("resume", step=resumed.step)
        if not self.reason_to_end(self.progress.seconds):
            checkpoint.forget_ending(self.folder, self.recipe.validation.every)
        self.network.train()
        began = time.monotonic() - self.progress.seconds
        reason = self.steps(lambda: time.monotonic() - began)
        self.progress.seconds = time.monotonic() - began
        self.save_state()
        ending = None if self.stop_wanted else self.end(reason)
        self.tell("end", step=self.progress.step, reason=ending.reason if ending else self.stop_wanted)
        return ending

    def end(self, reason: str) -> Ending:
        """Validate what has not been, see whether an average is better, and remember that it was done."""
        before = checkpoint.read_ending(self.folder)
        step, count = self.progress.step, self.settings.average
        if before is not None and (before.step, before.average) == (step, count):
            return before
        if step % self.recipe.validation.every or self.progress.best is None:
            self.validate()
        best = "" if self.progress.best is None else f"{self.progress.best:.4g}"
        outcome = self.averaged(count) or f"{best} (step {self.progress.best_step:,})"
        ending = Ending(step, count, reason, outcome)
        checkpoint.write_ending(self.folder, ending)
        return ending

    def steps(self, elapsed: Callable[[], float]) -> str:
        report = Report(elapsed)
        for batch in self.batches():
            reason = self.reason_to_end(elapsed())
            if reason:
                return reason
            self.update(batch, report)
            progress = self.progress
            progress.position += 1
            if progress.step % REPORT_EVERY == 0 and report.tokens:
                self.tell("train", step=progress.step, epoch=progress.epoch, **report.record())
                report = Report(elapsed)
            validated = progress.step % self.recipe.validation.every == 0
            if validated:
                self.validate()
                report = Report(elapsed)
            if validated or progress.step % self.settings.save_every == 0:
                progress.seconds = elapsed()
                self.save_state()
        return self.reason_to_end(elapsed())

    def batches(self) -> Iterator[Batch]:
        """The rest of this epoch, then those that follow."""
        progress = self.progress
        while self.settings.epochs is None or progress.epoch < self.settings.epochs:
            for rows in self.order.rest(progress.epoch, progress.position):
                yield self.read(rows)
            progress.epoch += 1
            progress.position = 0

    def read(self, rows: Any) -> Batch:
        return self.examples.batch(rows, self.progress.epoch)

    def reason_to_end(self, elapsed: float) -> str:
        validation, progress = self.recipe.validation, self.progress
        if self.stop_wanted:
            return self.stop_wanted
        if progress.step >= self.settings.steps:
            return f"{counted(progress.step, 'step')} done"
        if self.settings.epochs is not None and progress.epoch >= self.settings.epochs:
            return f"{counted(progress.epoch, 'epoch')} done"
        if self.settings.minutes is not None and elapsed >= 60 * self.settings.minutes:
            return f"{self.settings.minutes:g} minutes are over"
        if validation.patience is not None and progress.waited >= validation.patience:
            return f"no better {validation.metric} in {counted(progress.waited, 'validation')}"
        return ""

    def update(self, batch: Batch, report: Report) -> None:
        """One step of the optimiser over the whole batch, or none where its gradient is no number."""
        progress = self.progress
        tokens = int(batch.gold.lengths.sum())
        loss = self.gradient(batch, tokens)
        norm = float(
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip or math.inf, foreach=True)
        )
        progress.step += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.skip(batch, f"loss {loss}, gradient norm {norm}")
            return
        progress.bad_steps = 0
        rate = self.learning_rate.rate(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        report.add(loss, tokens, rate, norm)

    def gradient(self, batch: Batch, tokens: int) -> float:
        """The mean loss of the batch; its gradient is left in the parameters."""
        while True:
            random = checkpoint.random_states()
            try:
                return self.accumulated(batch, tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or self.progress.micro_batches >= len(batch.rows):
                    raise
            checkpoint.put_random(random)
            self.shrink()

    def accumulated(self, batch: Batch, tokens: int) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        feed = feeding(self.settings.feeding, self.progress.step + 1)
        total = 0.0
        for part in batch.parts(self.progress.micro_batches):
            with precision(self.settings.precision, self.model.device):
                loss, _ = self.network.loss(part.to(self.model.device), self.settings.label_smoothing, feed)
                (loss / tokens).backward()
            total += float(loss.detach())
        return total / tokens

    def shrink(self) -> None:
        """Halve the micro-batch; the batch of one update stays what it was."""
        self.progress.micro_batches *= 2
        self.optimizer.zero_grad(set_to_none=True)
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        self.tell(
            "note",
            message=f"out of memory: each update now goes over {self.progress.micro_batches} micro-batches; "
            f"the batch stays {self.settings.batch_tokens} tokens",
        )

    def skip(self, batch: Batch, reason: str) -> None:
        progress = self.progress
        progress.bad_steps += 1
        progress.skipped += 1
        self.optimizer.zero_grad(set_to_none=True)
        self.tell("skip", step=progress.step, reason=reason)
        if progress.bad_steps < BAD_STEPS:
            return
        dump = self.folder / DUMP
        lines = [
            {"row": int(row), "source": self.model.source.pieces(self.data.train.source(row).tolist()),
             "target": self.model.target.pieces(self.data.train.target(row).tolist())}
            for row in batch.rows
        ]  # fmt: skip
        write_text(dump, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        raise WeftError(
            f"stopped at step {progress.step}: {BAD_STEPS} steps in a row gave {reason}; the last batch is in {dump}. "
            f"A lower training.optimizer.learning_rate or a longer warmup usually helps"
        )

    def try_longest_batches(self) -> None:
        """A gradient over the largest batches before the first step, so that memory runs out now or never."""
        random = checkpoint.random_states()
        self.network.train()
        for rows in self.order.largest():
            batch = self.read(rows)
            self.gradient(batch, int(batch.gold.lengths.sum()))
        self.optimizer.zero_grad(set_to_none=True)
        checkpoint.put_random(random)

    def validate(self) -> None:
        """Score the development set, keep the checkpoint, and make it the run's model where it is the best."""
        progress, settings = self.progress, self.settings
        result = self.validation.run()
        score, higher = self.validation.deciding(result), self.validation.higher_is_better
        is_best = self.validation.is_better(score, progress.best)
        self.learning_rate.validated(-score if higher else score)
        checkpoint.add_checkpoint(
            self.folder, progress.step, score, self.network, settings.keep_last, settings.keep_best, higher
        )
        progress.plateau = self.learning_rate.state()
        progress.waited = 0 if is_best else progress.waited + 1
        if is_best:
            progress.best, progress.best_step = score, progress.step
            save_weights(self.network, self.folder / WEIGHTS)
        self.tell(
            "validation",
            step=progress.step,
            loss=result.loss,
            scores=result.scores,
            best=is_best,
            samples=result.samples,
        )

    def averaged(self, count: int) -> str:
        """Make the average of the last checkpoints the run's model where it is better; what it is, or nothing."""
        chosen = checkpoint.checkpoints(self.folder)[-count:] if count else []
        if len(chosen) < 2:
            return ""
        own = {name: tensor.detach().clone() for name, tensor in parameters(self.network).items()}
        mean = checkpoint.average(chosen)
        put_weights(self.network, mean, self.folder)
        score = self.validation.deciding(self.validation.run())
        put_weights(self.network, own, self.folder)
        better = self.validation.is_better(score, self.progress.best)
        if better:
            save_tensors(mean, self.folder / WEIGHTS)
        metric, taken = self.recipe.validation.metric, "average" if better else "single one"
        self.tell(
            "note",
            message=f"average of the last {len(chosen)} checkpoints: {metric} {score:.4g}, best single checkpoint "
            f"{self.progress.best:.4g}; the run's model is the {taken}",
        )
        return f"{score:.4g} (average of the last {len(chosen)} checkpoints)" if better else ""

    def save_state(self) -> None:
        checkpoint.save_state(self.folder, self.progress, self.network, self.optimizer)


class Report:
    """What happened since the last report."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.began = clock()
        self.loss = 0.0
        self.tokens = 0
        self.rate = self.norm = 0.0

    def add(self, mean_loss: float, tokens: int, rate: float, norm: float) -> None:
        self.loss += mean_loss * tokens
        self.tokens += tokens
        self.rate, self.norm = rate, norm

    def record(self) -> dict[str, float]:
        now = self.clock()
        return {
            "loss": self.loss / self.tokens,
            "learning_rate": self.rate,
            "tokens_per_second": self.tokens / max(1e-9, now - self.began),
            "gradient_norm": self.norm,
            "seconds": now,
        }


def make_optimizer(recipe: Recipe, network: torch.nn.Module) -> torch.optim.Optimizer:
    settings = recipe.training.optimizer
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.kind == "sgd":
        return torch.optim.SGD(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(
        trained,
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def out_of_memory(error: BaseException) -> bool:
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        sign in said for sign in ("can't allocate memory", "ALLOC_FAILED")
    )
