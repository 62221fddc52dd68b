"""From a file of pairs, a recipe or an unfinished run to a trained model."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

import weft.recipe
from weft.data.cache import spool
from weft.data.corpus import Prepared, prepare
from weft.data.direction import turned
from weft.data.series import PreparedSeries, prepare_series
from weft.errors import WeftError
from weft.files import write_text
from weft.models import directory
from weft.models.device import device
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe
from weft.tasks.evaluate import validated_metrics
from weft.tasks.load import load
from weft.tasks.series import SeriesModel
from weft.tasks.text import Model
from weft.training import card
from weft.training.checkpoint import states
from weft.training.precision import bound_caches
from weft.training.preset import suggest
from weft.training.progress import listeners
from weft.training.run import check_data, check_place, check_same, is_run, locked, writing
from weft.training.start import Start, resolved
from weft.training.trainer import Trainer


class Interrupted(WeftError):
    """The run was told to stop, and has saved all that it needs to go on."""

    exit_code = 130


def train(what: str | Path, *overrides: str, say: Callable[[str], None] | None = None) -> Model | SeriesModel:
    """Train from a file of pairs, a recipe (.yaml) or an existing run, and give back the model.

    `overrides` are dotted settings such as "training.steps=5000". A run that exists goes on from where it stopped;
    one that was made with other settings is left alone, with a WeftError that names them.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    recipe, folder = chosen(str(what), overrides, say)
    recipe = recipe if recipe.data.series else spool(recipe)
    settings = recipe.training
    if recipe.data.series is None:
        validated_metrics(recipe)
    bound_caches()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    place = device(settings.device)
    start = Start(recipe, folder)
    with writing(folder), locked(folder):
        data = prepare_series(recipe) if recipe.data.series else prepare(recipe, start.vocabularies, report=say)
        check_data(folder, data)
        for line in data.counts.report():
            say(line)
        torch.manual_seed(settings.seed)
        model = fresh(recipe, data, start)
        model.network.to(place)
        write_text(folder / directory.RECIPE, weft.recipe.dump(recipe))
        if isinstance(data, PreparedSeries):
            data.scaler.save(folder / directory.SCALER)
        else:
            directory.save_vocabularies(folder, data.source, data.target, recipe)
        say(f"{sum(p.numel() for p in model.network.parameters()):,} parameters on {place}; the run is {folder}")
        heard = listeners(folder, settings.steps)
        try:
            trainer = Trainer(recipe, model, data, folder, heard)
            start.begin(trainer)
            with signals(trainer):
                ending = trainer.run()
        finally:
            for listener in heard:
                listener.close()
        if ending is None:
            step = f"{trainer.progress.step:,}"
            raise Interrupted(f"{trainer.stop_wanted}; saved at step {step}. Go on with: weft train {folder}")
        card.write(folder, recipe, trainer.progress, ending, data.counts)
    say(f"done: {ending.reason}. Use it: weft predict {folder}")
    return load(folder, str(place))


def fresh(recipe: Recipe, data: Prepared | PreparedSeries, start: Start) -> Model | SeriesModel:
    """A model with random weights, or those it starts from."""
    if isinstance(data, PreparedSeries):
        return SeriesModel.fresh(recipe, data.scaler)
    network = Seq2Seq(recipe.model, data.source.size, data.target.size)
    start.put(network, data)
    return Model(recipe, network, data.source, data.target)


def chosen(what: str, overrides: Sequence[str], say: Callable[[str], None]) -> tuple[Recipe, Path]:
    """The recipe and the folder of the run; an existing run must have been made with this recipe."""
    path = Path(what)
    if path.is_dir():
        if not is_run(path):
            raise WeftError(f"{path}: a folder, but not of a run: it has no {directory.RECIPE}")
        check_place(path)
        before = weft.recipe.load(path / directory.RECIPE)
        recipe = weft.recipe.load(path / directory.RECIPE, overrides)
        check_same(before, recipe, path)
        return recipe, path
    if path.suffix in (".yaml", ".yml"):
        recipe = weft.recipe.load(path, overrides)
        recipe = recipe if recipe.name else recipe.model_copy(update={"name": path.stem})
    else:
        recipe = suggest(what, overrides, say)
    folder = Path(recipe.out) / recipe.name
    check_place(folder)
    recipe = resolved(turned(recipe), folder)
    if states(folder):
        check_same(weft.recipe.load(folder / directory.RECIPE), recipe, folder)
    return recipe, folder


@contextmanager
def signals(trainer: Trainer) -> Iterator[None]:
    """SIGINT and SIGTERM end the run after its step; a second SIGINT ends it at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if trainer.stop_wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        trainer.stop(f"interrupted by {signal.Signals(number).name}")

    wanted = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {number: signal.signal(number, stop) for number in wanted}
    except ValueError:  # not the main thread, where signals cannot be heard
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
