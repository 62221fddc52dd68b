"""The training loop: batches in, updates, validations, states to resume from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from weft.data.batch import Batch, Rows
from weft.data.corpus import Prepared
from weft.data.series import PreparedSeries
from weft.errors import WeftError, counted
from weft.files import write_text
from weft.models.directory import WEIGHTS, parameters, put_weights, save_tensors, save_weights
from weft.recipe import Recipe
from weft.tasks.series import SeriesModel
from weft.tasks.text import Model
from weft.training import checkpoint
from weft.training.ahead import ahead
from weft.training.checkpoint import Ending, Progress
from weft.training.distributed import Processes
from weft.training.material import material
from weft.training.optimizer import make_optimizer
from weft.training.parallel import Single
from weft.training.precision import precision
from weft.training.progress import Listener
from weft.training.schedule import LearningRate

REPORT_EVERY = 50  # steps
BAD_STEPS = 3  # in a row, and the run stops
DUMP = "bad-batch.jsonl"


class Trainer:
    """Trains one model in one run folder; `begin` goes on from the last state that the folder holds, then `run`.

    Each of the processes that train together runs this, takes the same decisions, and only the first one writes.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: Model | SeriesModel,
        data: Prepared | PreparedSeries,
        folder: Path,
        listeners: Sequence[Listener],
        parallel: Single,
        processes: Processes,
    ) -> None:
        self.recipe = recipe
        self.settings = recipe.training
        self.model = model
        self.network = model.network
        self.folder = folder
        self.listeners = listeners
        self.parallel = parallel
        self.processes = processes
        self.material = material(recipe, model, data)
        self.examples, self.validation = self.material.examples, self.material.validation
        self.order = self.examples.order
        self.learning_rate = LearningRate(self.settings)
        self.optimizer = make_optimizer(recipe, parallel.trained)
        self.progress = Progress(data=data.fingerprint)
        self.stop_wanted = ""
        self.stopped = ""  # why all processes do stop

    def tell(self, event: str, **record: Any) -> None:
        for listener in self.listeners:
            listener({"event": event, **record})

    def stop(self, reason: str) -> None:
        """Have the run save its state and end after the step it is in."""
        self.stop_wanted = reason

    def begin(self) -> None:
        """Put the last state in its place, or try what might not fit before the first step."""
        resumed = checkpoint.load_state(self.folder, self.network, self.parallel.trained, self.optimizer)
        self.parallel.spread(self.optimizer)
        if resumed is None:
            self.tell("start", step=0, time=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
            self.try_longest_batches()
            self.processes.from_first("trial of a validation", self.validation.try_out)
        else:
            self.progress = resumed
            self.learning_rate.resume(resumed.plateau)
            self.tell("resume", step=resumed.step)

    def run(self) -> Ending | None:
        """Train to the end; None where it was told to stop before, and has saved all that it needs to go on."""
        if self.processes.first and not self.reason_to_end(self.progress.seconds):
            checkpoint.forget_ending(self.folder, self.recipe.validation.every, self.progress.best_step)
        self.parallel.trained.train()
        began = time.monotonic() - self.progress.seconds
        reason = self.steps(lambda: time.monotonic() - began)
        self.progress.seconds = time.monotonic() - began
        self.save_state()
        ending = None if self.stopped else self.end(reason)
        self.tell("end", step=self.progress.step, reason=ending.reason if ending else self.stopped)
        return ending

    def end(self, reason: str) -> Ending:
        """Validate what has not been, see whether an average is better, and remember that it was done."""
        before = self.processes.from_first("end", lambda: checkpoint.read_ending(self.folder))
        step, count = self.progress.step, self.settings.average
        if before is not None and (before.step, before.average) == (step, count):
            return before
        if self.processes.first:  # an average that an earlier end has put there is not the one that is asked for now
            checkpoint.forget_ending(self.folder, self.recipe.validation.every, self.progress.best_step)
        if step % self.recipe.validation.every or self.progress.best is None:
            self.validate()
        if self.progress.best is None:
            raise WeftError(
                f"ended at step {step} ({reason}) without a model: at no validation was the loss on the development "
                f"set a number. A lower training.optimizer.learning_rate or a longer warmup usually helps"
            )
        outcome = self.processes.from_first("averaging", lambda: self.averaged(count))
        best = f"{self.progress.best:.4g} (step {self.progress.best_step:,})"
        ending = Ending(step, count, reason, outcome or best)
        if self.processes.first:
            checkpoint.write_ending(self.folder, ending)
        return ending

    def steps(self, elapsed: Callable[[], float]) -> str:
        report, progress = Report(elapsed), self.progress
        for epoch, rows, batch in self.batches():
            if epoch > progress.epoch:
                progress.epoch, progress.position = epoch, 0
            tokens, reason = self.agreed(elapsed(), batch.count)
            if reason:
                return reason
            self.update(rows, batch, tokens, report)
            progress.position += 1
            if progress.step % REPORT_EVERY == 0 and report.tokens:
                last_step = self.last_step(elapsed())
                self.tell("train", step=progress.step, epoch=progress.epoch, last_step=last_step, **report.record())
                report = Report(elapsed)
            validated = progress.step % self.recipe.validation.every == 0
            if validated:
                self.validate()
                report = Report(elapsed)
            if validated or progress.step % self.settings.save_every == 0:
                progress.seconds = elapsed()
                self.save_state()
        if self.settings.epochs is not None and progress.epoch < self.settings.epochs:
            progress.epoch, progress.position = self.settings.epochs, 0
        return self.agreed(elapsed())[1]

    def agreed(self, elapsed: float, tokens: int = 0) -> tuple[int, str]:
        """The tokens that all processes have, and why all end now, where one of them has a reason to."""
        stop_wanted = self.stop_wanted
        reason = self.reason_to_end(elapsed)
        phase = f"start of step {self.progress.step + 1}"
        all_tokens, ends = self.processes.sums(phase, tokens, bool(reason))
        if ends:
            reasons = self.processes.from_any(phase, (stop_wanted, reason) if reason else None)
            assert reasons is not None
            self.stopped, reason = reasons
        return int(all_tokens), reason

    def batches(self) -> Iterator[tuple[int, Rows, Batch]]:
        """Of each batch its epoch, what the order drew for it, and the part that is for this process.

        For a CUDA device, one is read into pinned memory while the device is busy with the one before.
        """
        drawn = ((epoch, rows, self.read(rows, epoch)) for epoch, rows in self.draws())
        if self.parallel.device.type != "cuda":
            return drawn
        return ahead((epoch, rows, batch.pinned()) for epoch, rows, batch in drawn)

    def draws(self) -> Iterator[tuple[int, Rows]]:
        """What the order draws for each batch: the rest of this epoch, then those that follow."""
        epoch, position = self.progress.epoch, self.progress.position
        while self.settings.epochs is None or epoch < self.settings.epochs:
            yield from ((epoch, rows) for rows in self.order.rest(epoch, position))
            epoch, position = epoch + 1, 0

    def read(self, rows: Rows, epoch: int) -> Batch:
        """The part of a batch that is for this process; it may be empty."""
        return self.examples.batch(self.processes.share(rows), epoch)

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

    def last_step(self, elapsed: float) -> int:
        """The step that steps, epochs or minutes end the run at, as far as can be told; of epochs that is after one."""
        settings, progress = self.settings, self.progress
        last = float(settings.steps)
        if settings.epochs is not None and progress.epoch:
            last = min(last, settings.epochs * (progress.step - progress.position) / progress.epoch)
        if settings.minutes is not None:
            last = min(last, progress.step * 60 * settings.minutes / max(1e-9, elapsed))
        return max(progress.step, round(last))

    def update(self, rows: Rows, batch: Batch, tokens: int, report: Report) -> None:
        """One step of the optimiser over the whole batch, or none where its gradient is no number."""
        progress = self.progress
        self.processes.seed(self.settings.seed, progress.step + 1)
        loss = self.gradient(rows, batch, tokens)
        with self.processes.phase(f"norm of the gradient of step {progress.step + 1}"):
            norm = self.parallel.clip(self.settings.clip)
        progress.step += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.skip(rows, f"loss {loss}, gradient norm {norm}")
            return
        progress.bad_steps = 0
        rate = self.learning_rate.rate(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["part"]
        self.optimizer.step()
        report.add(loss, tokens, rate, norm)

    @property
    def parts(self) -> int:
        """The micro-batches of one process."""
        return -(-max(self.progress.micro_batches, self.settings.accumulate) // self.processes.number)

    def gradient(self, rows: Rows, batch: Batch, tokens: int) -> float:
        """The mean loss of the whole batch of which this is a part; its gradient is left in the parameters."""
        phase = f"gradient of step {self.progress.step + 1}"
        while True:
            random = checkpoint.random_states()
            own, short = 0.0, False
            try:
                with self.processes.phase(phase):
                    own = self.accumulated(rows, batch, tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or self.parts >= len(batch.rows):
                    raise
                if not self.parallel.retries:
                    raise WeftError(
                        f"rank {self.processes.rank} is out of memory, and training.parallel is sharded, where a "
                        f"gradient cannot be made again; expected training.accumulate above {self.parts}"
                    ) from None
                short = True
            loss, shorts = self.processes.sums(phase, own, short)
            if not shorts:
                with self.processes.phase(phase):
                    self.parallel.reduce()
                return loss
            checkpoint.put_random(random)
            self.shrink()

    def accumulated(self, rows: Rows, batch: Batch, tokens: int) -> float:
        """The loss of this part of the batch, in nats for each token of the whole."""
        self.optimizer.zero_grad(set_to_none=True)
        feed = self.material.feeding(self.progress.step + 1)
        total, number = 0.0, self.processes.number
        for part, weight in self.parallel.passes(batch, self.parts, -(-len(rows) // number)):
            with precision(self.settings.precision, self.parallel.device):
                loss = self.parallel.loss(part.to(self.parallel.device), self.settings.label_smoothing, feed)
                (weight * loss / (max(1, tokens) / number)).backward()  # what is reduced is the processes' mean
            total += weight * float(loss.detach())
        return total / max(1, tokens)

    def shrink(self) -> None:
        """Halve the micro-batch; the batch of one update stays what it was."""
        self.progress.micro_batches = 2 * self.parts * self.processes.number
        self.optimizer.zero_grad(set_to_none=True)
        if self.parallel.device.type == "cuda":
            torch.cuda.empty_cache()
        self.tell(
            "note",
            message=f"out of memory: each update now goes over {self.progress.micro_batches} micro-batches; "
            f"the batch stays {self.settings.batch_tokens} tokens",
        )

    def skip(self, rows: Rows, reason: str) -> None:
        progress = self.progress
        progress.bad_steps += 1
        progress.skipped += 1
        self.optimizer.zero_grad(set_to_none=True)
        self.tell("skip", step=progress.step, reason=reason)
        if progress.bad_steps >= BAD_STEPS:
            self.processes.from_first("giving up", lambda: self.give_up(rows, reason))

    def give_up(self, rows: Rows, reason: str) -> None:
        dump = self.folder / DUMP
        lines = [self.examples.record(int(row)) for row in rows]
        write_text(dump, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        raise WeftError(
            f"stopped at step {self.progress.step}: {BAD_STEPS} steps in a row gave {reason}; the last batch is in "
            f"{dump}. A lower training.optimizer.learning_rate or a longer warmup usually helps"
        )

    def try_longest_batches(self) -> None:
        """A gradient over the largest batches before the first step, so that memory runs out now or never."""
        random = checkpoint.random_states()
        self.parallel.trained.train()
        for rows in self.order.largest():
            batch = self.read(rows, self.progress.epoch)
            (tokens,) = self.processes.sums("trial of the longest batches", batch.count)
            self.gradient(rows, batch, int(tokens))
        self.optimizer.zero_grad(set_to_none=True)
        checkpoint.put_random(random)

    def validate(self) -> None:
        """Score the development set, keep the checkpoint, and make it the run's model where it is the best."""
        progress, settings = self.progress, self.settings
        phase = f"validation of step {progress.step}"
        with self.processes.phase(phase):
            self.parallel.gather()
        result = self.processes.from_first(phase, self.validation.run)
        score, higher = self.validation.deciding(result), self.validation.higher_is_better
        is_best = self.validation.is_better(score, progress.best)
        self.learning_rate.validated(-score if higher else score)
        if self.processes.first:
            keeps = settings.keep_last, settings.keep_best
            at_end = progress.step % self.recipe.validation.every > 0
            checkpoint.add_checkpoint(self.folder, progress.step, score, self.network, *keeps, higher, at_end)
        progress.plateau = self.learning_rate.state()
        progress.waited = 0 if is_best else progress.waited + 1
        if is_best:
            progress.best, progress.best_step = score, progress.step
        if is_best and self.processes.first:
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
        phase = f"state of step {self.progress.step}"
        with self.processes.phase(phase):
            self.parallel.gather()
            moments = self.parallel.moments(self.optimizer)
        self.processes.from_first(
            phase, lambda: checkpoint.save_state(self.folder, self.progress, self.network, moments)
        )


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


def out_of_memory(error: BaseException) -> bool:
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        sign in said for sign in ("can't allocate memory", "ALLOC_FAILED")
    )
