"""From a file of pairs, a recipe or an unfinished run to a trained model."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import torch

import weft.recipe
from weft.data.batch import Batch
from weft.data.cache import Copies, cache_folder, spool
from weft.data.corpus import Prepared, prepare, silent
from weft.data.direction import turned
from weft.data.examples import read_batch
from weft.data.first_line import first_lines
from weft.data.series import PreparedSeries, prepare_series
from weft.errors import WeftError
from weft.files import write_text
from weft.models import directory
from weft.models.device import device
from weft.models.pretrained import Pretrained
from weft.models.room import check_room
from weft.recipe import Recipe
from weft.tasks.evaluate import validated_metrics
from weft.tasks.load import load
from weft.tasks.series import SeriesModel
from weft.tasks.text import Model
from weft.training import card, parallel
from weft.training.calibration import calibrate
from weft.training.checkpoint import states
from weft.training.distributed import Elsewhere, Processes, together
from weft.training.precision import bound_caches
from weft.training.preset import suggest
from weft.training.progress import listeners
from weft.training.run import check_place, check_same, folder_of, is_run, locked, writing
from weft.training.schedule import never_full
from weft.training.start import Start, resolved
from weft.training.trainer import Trainer

PREPARING = ".preparing"


class Interrupted(WeftError):
    """The run was told to stop, and has saved all that it needs to go on."""

    exit_code = 130


def train(what: str | Path, *overrides: str, say: Callable[[str], None] | None = None) -> Model | SeriesModel:
    """Train from a file of pairs, a recipe (.yaml) or an existing run, and give back the model.

    `overrides` are dotted settings such as "training.steps=5000". A run that exists goes on from where it stopped;
    one that was made with other settings is left alone, with a WeftError that names them.
    """
    with together() as processes:
        return trained(processes, what, overrides, (say or told) if processes.first else silent)


def told(line: str) -> None:
    """Say it on standard error, unless that is gone: a run outlives its terminal or its pipe."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def trained(
    processes: Processes, what: str | Path, overrides: Sequence[str], say: Callable[[str], None]
) -> Model | SeriesModel:
    def begun() -> tuple[Recipe, Copies, Path]:
        recipe, folder = chosen(str(what), overrides, say)
        parallel.check(recipe, processes)
        if recipe.data.series:
            return recipe, Copies(), folder
        validated_metrics(recipe)
        return *spool(recipe), folder

    recipe, copies, folder = processes.from_first("reading the recipe", begun)
    settings = recipe.training
    bound_caches()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    place = processes.device(settings.device)
    processes.connect(place, settings.wait)
    start = Start(recipe, folder)
    with copies.naming(), ExitStack() as stack:
        unless_begun = ExitStack()

        def hold() -> None:
            take_back = stack.enter_context(writing(folder))
            stack.enter_context(locked(folder))
            stack.enter_context(unless_begun).callback(take_back)

        processes.from_first("making the run's folder", hold)
        if not folder.is_dir():
            raise WeftError(f"{folder}: rank {processes.rank} does not see it; every machine must share it")
        data = processes.one_on_each_machine(
            "preparing the data", lambda: prepared(recipe, start, say), cache_folder() / PREPARING
        )
        start.check_data(data)
        first = [] if recipe.data.series else first_lines(recipe.data.trained_on, recipe.data.columns)
        for line in [*first, *data.counts.report(), *never_full(settings)]:
            say(copies.told(line))
        torch.manual_seed(settings.seed)
        model = fresh(recipe, data, start)
        layout = parallel.parallel(recipe, model.network, place, processes, lambda: one_pair(data))
        if processes.first:
            write_text(folder / directory.RECIPE, weft.recipe.dump(recipe))
            save_ends(folder, recipe, data, model, start)
        on = str(place) if processes.alone else f"{processes.number} processes, each on {place.type}"
        say(f"{sum(p.numel() for p in model.network.parameters()):,} parameters on {on}; the run is {folder}")
        heard = listeners(folder, settings.steps) if processes.first else []
        try:
            trainer = Trainer(recipe, model, data, folder, heard, layout, processes)
            start.begin(trainer)
            with signals(trainer):
                trainer.begin()
                unless_begun.pop_all()
                ending = trainer.run()
        finally:
            for listener in heard:
                listener.close()
        if ending is None:
            if not processes.first:
                raise Elsewhere(Interrupted.exit_code)
            step = f"{trainer.progress.step:,}"
            raise Interrupted(f"{trainer.stopped}; saved at step {step}. Go on with: weft train {folder}")
        progress, outcome = trainer.progress, ending
        if recipe.tags and isinstance(data, Prepared):
            fit = partial(calibrate, folder, data.dev, settings.batch_tokens, str(place))
            say(processes.from_first("fitting a temperature", fit))
        processes.from_first("writing the card", lambda: card.write(folder, recipe, progress, outcome, data.counts))
    pixels = recipe.model.decoder.kind == "pixels"
    use = f"weft look {folder} --reconstruct IMAGE" if pixels else f"weft predict {folder}"
    say(f"done: {ending.reason}. Use it: {use}")
    return load(folder, str(place))


def one_pair(data: Prepared | PreparedSeries) -> Batch:
    """What a process goes over that has nothing of its own."""
    assert isinstance(data, Prepared), "a series is trained on by one process"
    return read_batch(data.train, np.arange(1))


def prepared(recipe: Recipe, start: Start, say: Callable[[str], None]) -> Prepared | PreparedSeries:
    if recipe.data.series:
        return prepare_series(recipe)
    return prepare(recipe, start.vocabularies, report=say, source=start.source, target=start.target)


def fresh(recipe: Recipe, data: Prepared | PreparedSeries, start: Start) -> Model | SeriesModel:
    """A model with random weights, or those it starts from."""
    if isinstance(data, PreparedSeries):
        return SeriesModel.fresh(recipe, data.scaler)
    encoder = start.encoder(data.source)
    if encoder is None:
        whole = recipe.training.parallel == "data" and device(recipe.training.device).type == "cpu"
        build = partial(directory.network_of, recipe, data.source, data.target)
        check_room(recipe.model, data.source.size + data.target.size, build, whole)
    network = directory.network_of(recipe, data.source, data.target, encoder)
    start.put(network, data)
    return Model(recipe, network, data.source, data.target)


def save_ends(
    folder: Path, recipe: Recipe, data: Prepared | PreparedSeries, model: Model | SeriesModel, start: Start
) -> None:
    """What stands between a model and its user: vocabularies, or the scaler of a series; a pretrained encoder."""
    if isinstance(data, PreparedSeries):
        data.scaler.save(folder / directory.SCALER)
        return
    directory.save_vocabularies(folder, data.source, data.target, recipe)
    if isinstance(model.network.encoder, Pretrained) and not start.goes_on:
        directory.save_encoder(folder, model.network.encoder)


def chosen(what: str, overrides: Sequence[str], say: Callable[[str], None]) -> tuple[Recipe, Path]:
    """The recipe and the folder of the run; an existing run must have been made with this recipe."""
    path = Path(what)
    if path.is_dir():
        if not is_run(path):
            raise WeftError(
                f"{path}: a folder, but not of a run: it has no {directory.RECIPE}{directory.models_in(path)}"
            )
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
    folder = folder_of(recipe)
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
