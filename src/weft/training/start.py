"""What a run starts from in the place of random weights: a model, its encoder, its decoder, word vectors.

A decoder, and an encoder too, may come from a language model (Ramachandran et al. 2017, section 2; Conneau and Lample
2019). All of it is put before the first step, and only where the run has no state to go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import weft.recipe
from weft.data.cache import concerning, fingerprint
from weft.data.corpus import Prepared
from weft.data.counterparts import texts, words
from weft.data.direction import turned
from weft.data.first_line import first_rows
from weft.data.series import PreparedSeries
from weft.data.tokenizer import Tokenizer, load_source
from weft.data.turns import TURN
from weft.data.vectors import read_vectors, width_of
from weft.data.vocabulary import SPACE, Vocabulary
from weft.errors import WeftError, counted
from weft.models import directory
from weft.models.directory import Loaded
from weft.models.pretrained import Pretrained
from weft.models.seq2seq import Seq2Seq
from weft.recipe import PretrainedEncoder as Settings
from weft.recipe import Recipe, Vectors
from weft.training.checkpoint import OPTIMIZER, put_optimizer, read_progress, states
from weft.training.run import flat
from weft.training.trainer import Trainer
from weft.training.transfer import Transfer, check_meaning, short
from weft.training.validation import spread

FREE = {"dropout", "attention_dropout", "layer_drop", "variational", "tokens"}  # of a model that stays the same one
SAMPLE = 10_000  # pairs whose tokens are counted


def resolved(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the settings of vocabularies that it takes over, and embeddings as wide as their word vectors.

    A run that has begun keeps its own.
    """
    recipe = with_vocabularies(recipe, folder)
    model = recipe.model
    before = weft.recipe.load(folder / directory.RECIPE).model.embedding if states(folder) else None
    widths, files = {}, []
    for side, vectors in vectors_of(recipe):
        key = f"{side}_width"
        asked = getattr(model.embedding, key)
        if before is None:
            with concerning(f"start.{side}_vectors"):
                width = checked_width(side, vectors, recipe)
            files.append(f"{vectors.file} is of width {width}")
            usual = turned(recipe).source_width if side == "source" else model.width
            widths[key] = asked or (None if width == usual else width)
        else:
            widths[key] = asked or getattr(before, key)
    if widths == {key: getattr(model.embedding, key) for key in widths}:
        return recipe
    settings = recipe.model_dump(mode="json")
    settings["model"]["embedding"] |= widths
    return weft.recipe.checked(settings, f"start: {', '.join(files)}, and model.width is {model.width}")


def with_vocabularies(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the settings that the vocabularies of `start` were made with; WeftError where it wants others."""
    settings = recipe.model_dump(mode="json")
    for side in ("source", "target"):
        run = getattr(recipe.start, f"{side}_vocabulary")
        if run is None:
            continue
        with concerning(f"start.{side}_vocabulary"):
            before = weft.recipe.load((folder if states(folder) else Path(run)) / directory.RECIPE)
            if before.vocabulary.normalization != recipe.vocabulary.normalization:
                raise WeftError(
                    f"vocabulary.normalization is {before.vocabulary.normalization} in {run} and "
                    f"{recipe.vocabulary.normalization} here"
                )
            ours: weft.recipe.Vocabulary = getattr(recipe.vocabulary, side)
            theirs = made_with(before, side).model_copy(update={"sampling": ours.sampling})
            usual = weft.recipe.Vocabulary().model_copy(update={"sampling": ours.sampling})
            for key, value in theirs:
                if getattr(ours, key) != value and ours != usual:
                    raise WeftError(
                        f"vocabulary.{side}.{key} is {value!r} in {run} and {getattr(ours, key)!r} here; "
                        f"leave it out, or empty it: vocabulary.{side}={{}}"
                    )
            settings["vocabulary"][side] = theirs.model_dump(mode="json")
    return weft.recipe.checked(settings, "start") if settings != recipe.model_dump(mode="json") else recipe


def made_with(recipe: Recipe, side: str) -> weft.recipe.Vocabulary:
    """The settings of one side's vocabulary in a run; WeftError where it has none of pieces."""
    if side == "source" and (recipe.model.has_tokenizer or recipe.model.input.kind != "tokens"):
        raise WeftError("the source of that model is not cut into pieces that others could use")
    if recipe.vocabulary.shared:
        return recipe.vocabulary.source
    alone = recipe.model.encoder.kind == "none"
    return recipe.vocabulary.source if side == "source" and not alone else recipe.vocabulary.target


def checked_width(side: str, vectors: Vectors, recipe: Recipe) -> int:
    """Of the vectors in the file; WeftError where the model has no place for them."""
    if side == "source" and recipe.model.encoder.kind == "none":
        raise WeftError("model.encoder.kind is none, so there is no source")
    width = width_of(vectors.file)
    asked = getattr(recipe.model.embedding, f"{side}_width")
    if asked not in (None, width):
        raise WeftError(f"{vectors.file} is of width {width}, but model.embedding.{side}_width is {asked}")
    return width


def vectors_of(recipe: Recipe) -> Iterator[tuple[str, Vectors]]:
    """Word vectors by the side that the model has them on."""
    start = turned(recipe).start
    for side, given in (("source", start.source_vectors), ("target", start.target_vectors)):
        if given is not None:
            yield side, given


class Start:
    """Found and checked before anything is written; put into a new network, unless the run goes on from a state."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        self.notes: list[dict[str, Any]] = []  # for the log; each has a message
        self.goes_on = bool(states(folder))
        self.vocabularies: tuple[Vocabulary, Vocabulary] | None = None  # to encode the data with; None: learn them
        self.loaded: dict[str, Loaded] = {}
        self.moments: dict[str, Tensor] = {}
        before = str(folder) if self.goes_on else recipe.start.model
        self.home = None if before is None else Path(before)  # the model whose pretrained encoder it is already
        self.source: Vocabulary | None = None  # pieces of a pretrained encoder or another run; None: they are learnt
        self.target: Vocabulary | None = None
        if self.goes_on:
            self.source = self.tokenizer() or self.taken("source", folder)
            self.target = self.taken("target", folder)
            self.vocabularies = own_vocabularies(recipe, folder)
            return
        runs = {"model": recipe.start.model, "encoder": recipe.start.encoder, "decoder": recipe.start.decoder}
        if recipe.start.model and (others := [key for key, value in recipe.start if value and key != "model"]):
            raise WeftError(f"start.model takes all weights over, so start.{others[0]} has no place beside it")
        for part, run in runs.items():
            if run is not None:
                with concerning(f"start.{part}"), torch.random.fork_rng(devices=[]):
                    self.loaded[part] = directory.load(Path(run), torch.device("cpu"))
                    self.check(part, run)
        self.source = self.tokenizer() or self.taken("source")
        self.target = self.taken("target")

    def taken(self, side: str, own: Path | None = None) -> Vocabulary | None:
        """The vocabulary that another run has, or this run already as its own; None where it is learnt."""
        run = getattr(turned(self.recipe).start, f"{side}_vocabulary")
        if run is None:
            return None
        folder = own or Path(run)
        with concerning(f"start.{side}_vocabulary"):
            shared = weft.recipe.load(folder / directory.RECIPE).vocabulary.shared
            name = directory.SOURCE if side == "source" or shared else directory.TARGET
            vocabulary = Vocabulary.load(folder / name)
            if own is None and side == "source" and self.recipe.data.columns.turns:
                check_turns(run, vocabulary)
        if own is None:
            self.note(f"{side} vocabulary from {run}: {counted(vocabulary.size, 'piece')}")
        return vocabulary

    def check_data(self, data: Prepared | PreparedSeries) -> None:
        """A run goes on only with the data that it began with, for its order and its vocabularies came from it."""
        if not self.goes_on:
            return
        began = read_progress(states(self.folder)[-1]).data
        if data.fingerprint == began:
            return
        if isinstance(data, Prepared) and not self.recipe.data.columns.named:
            self.check_first_lines(began)
        raise WeftError(
            f"{self.folder}: the data of this run has changed since it began, or another version of weft began it, so "
            f"it cannot go on as it was; put the files back, or start another run with name=..."
        )

    def check_first_lines(self, began: str) -> None:
        """WeftError that says how to go on where the data is as it was, and only its first lines are read otherwise."""
        recipe, data = self.recipe, self.recipe.data
        own = None if recipe.start.model is None else directory.load_vocabularies(self.folder, recipe)
        for header in (False, True, None):
            columns = data.columns.model_copy(update={"header": header})
            then = turned(recipe.model_copy(update={"data": data.model_copy(update={"columns": columns})}))
            if began in (fingerprint(then, own), fingerprint(then, None, self.source, self.target)):
                before, now = (first_rows(data.trained_on, one) for one in (columns, data.columns))
                name = next(name for name in now if now[name].is_header != before[name].is_header)
                kinds = ("a pair", "a header") if now[name].is_header else ("a header", "a pair")
                raise WeftError(
                    f"{name}: the first line was {kinds[0]} when {self.folder} began, and is taken for {kinds[1]} now; "
                    f"go on as it began: weft train {self.folder} "
                    f"data.columns.header={'null' if header is None else str(header).lower()}"
                )

    def tokenizer(self) -> Vocabulary | None:
        settings = self.recipe.model.encoder
        if not isinstance(settings, Settings) or not self.recipe.model.has_tokenizer:
            return None
        if self.home is None:
            return Tokenizer.of(settings.folder)
        return load_source(self.home / directory.SOURCE, self.recipe)

    def encoder(self, source: Vocabulary) -> Pretrained | None:
        """The pretrained encoder, for pieces of the source or images; None where it is another that is wanted."""
        settings = self.recipe.model.encoder
        if self.home is not None:
            return directory.load_encoder(self.home, self.recipe, source)
        encoder = directory.new_encoder(self.recipe, source)
        if encoder is None or not isinstance(settings, Settings):
            return None
        weights = sum(parameter.numel() for parameter in encoder.network.parameters())
        self.note(f"encoder from {settings.folder}: {weights:,} weights" + ", which stay" * (not settings.trained))
        return encoder

    def check(self, part: str, run: str) -> None:
        old = self.loaded[part]
        if part != "model":
            check_meaning(part, run, old, self.recipe)
            return
        check_same_model(run, old.recipe, self.recipe)
        if same_pieces_asked(old.recipe, self.recipe):
            self.vocabularies = old.source, old.target
        kinds = [recipe.training.optimizer.kind for recipe in (old.recipe, self.recipe)]
        if states(Path(run)) and "sgd" not in kinds:
            self.moments = directory.read_tensors(states(Path(run))[-1] / OPTIMIZER)

    def put(self, network: Seq2Seq, data: Prepared) -> None:
        """Put all of it into a network on the CPU; what is to stay as it is gets no gradient, now and after."""
        for part, old in self.loaded.items():
            transfer = Transfer(old, network, data.source, data.target)
            taken = transfer.put(part)
            self.note(f"{part} from {getattr(self.recipe.start, part)}: {taken}", **vars(taken))
            self.moments = transfer.moments(self.moments)
        self.loaded = {}
        for side, vectors in vectors_of(self.recipe):
            if not self.goes_on:
                with concerning(f"start.{side}_vectors"):
                    self.put_vectors(side, vectors, network, data)
            if vectors.freeze:
                embedding(side, network).requires_grad_(False)

    @torch.no_grad()
    def put_vectors(self, side: str, vectors: Vectors, network: Seq2Seq, data: Prepared) -> None:
        """Rows of the pieces that are words, all multiplied by one number, so that they are as long as fresh rows."""
        vocabulary: Vocabulary = getattr(data, side)
        numbers = words(vocabulary)
        found = {word: vector for word, vector in read_vectors(vectors.file, numbers).items() if vector.any()}
        pieces = counted(len(texts(vocabulary)), f"{side} piece")
        if not found:
            raise WeftError(f"{vectors.file} has a vector for none of {pieces}")
        matrix = embedding(side, network)
        rows = torch.tensor([number for word in found for number in numbers[word]])
        values = torch.from_numpy(np.stack([found[word] for word in found for _ in numbers[word]]))
        matrix[rows] = values * (matrix.norm(dim=1).mean() / values.norm(dim=1).mean())
        share = tokens_covered(getattr(data.train, side), len(data.train), vocabulary.size, rows.numpy())
        stays = "; the whole matrix stays as it is" if vectors.freeze else ""
        self.note(
            f"{side} vectors from {vectors.file}: {len(rows):,} of {pieces}, {100 * share:.1f}% of the tokens{stays}"
        )

    def begin(self, trainer: Trainer) -> None:
        """Put the moments that the model's last state has into the optimiser, and tell what the run starts from."""
        if self.moments:
            try:
                put_optimizer(trainer.parallel.trained, trainer.optimizer, self.moments)
            except ValueError as error:
                raise WeftError(f"start.model: {self.recipe.start.model}: its state is damaged: {error}") from None
            self.note("the moments of its optimiser go on from its last state")
            self.moments = {}
        for note in self.notes:
            trainer.tell("note", **note)

    def note(self, message: str, **details: Any) -> None:
        self.notes.append({"message": message, **details})


def own_vocabularies(recipe: Recipe, folder: Path) -> tuple[Vocabulary, Vocabulary] | None:
    """Those of a run that goes on, where it took them from the model it started from; None where they were learnt."""
    if recipe.start.model is None:
        return None
    own = directory.load_vocabularies(folder, recipe)
    began = read_progress(states(folder)[-1]).data
    return own if fingerprint(turned(recipe), own) == began else None


def same_pieces_asked(before: Recipe, now: Recipe) -> bool:
    """Whether all that makes vocabularies what they are, but for the data, is the same."""
    then, wanted = (
        turned(recipe).vocabulary.model_dump(exclude={"source": {"sampling"}, "target": {"sampling"}})
        for recipe in (before, now)
    )
    then["gaps"], wanted["gaps"] = (recipe.data.gaps is not None for recipe in (before, now))
    then["turns"], wanted["turns"] = (recipe.data.columns.turns is not None for recipe in (before, now))
    return then == wanted and (now.data.direction != "both" or before.data.direction == "both")


def check_turns(run: str, vocabulary: Vocabulary) -> None:
    """WeftError where sources that are conversations would lose what stands between their turns."""
    if SPACE + TURN not in vocabulary.pieces(range(vocabulary.size)):
        raise WeftError(
            f"the vocabulary of {run} has no piece {TURN}, which stands between turns (data.columns.turns); expected "
            f"that of a run of conversations"
        )


def check_same_model(run: str, before: Recipe, now: Recipe) -> None:
    theirs, ours = flat(before.model.model_dump(), "model."), flat(now.model.model_dump(), "model.")
    other = [
        f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
        for key in dict.fromkeys([*ours, *theirs])
        if theirs.get(key) != ours.get(key) and key.rpartition(".")[2] not in FREE
    ]
    if other:
        raise WeftError(f"{run} is another model: {short(other, '; ')}")


def embedding(side: str, network: Seq2Seq) -> Tensor:
    """(V,E), the matrix that tokens of this side are embedded with."""
    return network.get_parameter(f"{side}_input.embedding.weight")


def tokens_covered(
    ids: Callable[[int], Any], pairs: int, size: int, pieces: np.ndarray[Any, np.dtype[np.int64]]
) -> float:
    """The share of tokens that are among these pieces, in pairs spread evenly over the training data."""
    counts = np.bincount(np.concatenate([ids(pair) for pair in spread(pairs, SAMPLE).tolist()]), minlength=size)
    return float(counts[pieces].sum() / max(1, counts.sum()))
