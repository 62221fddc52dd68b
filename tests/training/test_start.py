"""What a run starts from is in its network before the first step, and nothing of it is needed once it has a state."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from test_resume import Killed, quiet, tensors
from test_transfer import SOURCES, STACKS, TARGETS, all_names, recipe_of, run_of

import weft
import weft.recipe
from weft.data.corpus import prepare
from weft.data.counterparts import Counterparts
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError
from weft.models import directory
from weft.models.directory import parameters
from weft.models.seq2seq import Seq2Seq
from weft.training.checkpoint import OPTIMIZER, states
from weft.training.start import Start, resolved, same_pieces_asked
from weft.training.trainer import Trainer

PAGE = Path(__file__).parents[2] / "docs" / "start.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pairs.tsv and more.tsv, pairs of sentences, and text.txt, of targets alone; it is the current."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(3)

    def sentences(count: int, known: int) -> list[list[int]]:
        starts = [draw.randrange(known) for _ in range(count)]
        return [[(start + step) % known for step in range(draw.randint(2, 5))] for start in starts]

    def said(words: list[str], sentence: list[int]) -> str:
        return " ".join(words[number] for number in sentence)

    for name, known in (("pairs.tsv", 8), ("more.tsv", 10)):
        lines = (f"{said(SOURCES, sentence)}\t{said(TARGETS, sentence)}\n" for sentence in sentences(150, known))
        (tmp_path / name).write_text("".join(lines))
    (tmp_path / "text.txt").write_text("".join(f"{said(TARGETS, sentence)}\n" for sentence in sentences(300, 8)))
    return tmp_path


def write(name: str, kind: str = "transformer", *, language_model: bool = False, **settings: Any) -> str:
    """A recipe file for a run of that name."""
    training = {"steps": 8, "batch_tokens": 256, "save_every": 4, "threads": 1, "device": "cpu"}
    training |= {"optimizer": {"learning_rate": 0.01}, "schedule": {"warmup": 2}, "label_smoothing": 0.0}
    training |= settings.pop("training", {})
    sides = {"kind": "word", "size": 40}
    settings.setdefault("vocabulary", {"source": sides, "target": sides})
    validation = {"every": 4, "items": 4}
    recipe = recipe_of(kind, language_model=language_model, training=training, validation=validation, **settings)
    plain = recipe.model_dump(mode="json", exclude_unset=True)
    Path(f"{name}.yaml").write_text(yaml.safe_dump(plain))
    return f"{name}.yaml"


def notes(run: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in Path("runs", run, "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["event"] == "note"]


def first_loss(run: str) -> float:
    records = [json.loads(line) for line in Path("runs", run, "log.jsonl").read_text().splitlines()]
    return float(next(record for record in records if record["event"] == "validation")["loss"])


@pytest.mark.parametrize("kind", ["rnn", "transformer"])
def test_a_language_model_makes_the_beginning_easier(place: Path, kind: str) -> None:
    train = {"steps": 60, "save_every": 60}
    weft.train(write("lm", kind, language_model=True, training=train), "validation.every=60", say=quiet)
    for name, start in (("scratch", {}), ("started", {"decoder": "runs/lm"})):
        weft.train(write(name, kind, start=start, training={"steps": 1}), "validation.every=1", say=quiet)
    assert first_loss("started") < first_loss("scratch") - 0.3
    (note,) = notes("started")
    assert note["message"].startswith("decoder from runs/lm: ") and "target pieces" in note["message"]
    assert len(note["fresh"]) > 3 and "more" in note["message"]


def weights_of(run: str) -> Mapping[str, torch.Tensor]:
    return directory.read_tensors(Path("runs", run, directory.WEIGHTS))


class Weights:
    """Keeps what a run begins with: its weights, its vocabularies and its optimiser's moments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Trainer, "try_longest_batches", self.keep(Trainer.try_longest_batches))

    def keep(self, real: Callable[[Trainer], None]) -> Callable[[Trainer], None]:
        def kept(trainer: Trainer) -> None:
            self.first = {name: tensor.detach().clone() for name, tensor in parameters(trainer.network).items()}
            self.moments = {
                name: {kind: value.clone() for kind, value in trainer.optimizer.state.get(tensor, {}).items()}
                for name, tensor in parameters(trainer.network).items()
            }
            self.target, self.step = trainer.model.target, trainer.progress.step
            real(trainer)

        return kept


def test_going_on_from_a_model_with_other_data(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same vocabularies, weights and moments; the schedule and the steps begin anew."""
    weft.train(write("old"), say=quiet)
    began = Weights(monkeypatch)
    tuned = write("tuned", data={"train": "more.tsv"}, start={"model": "runs/old"})
    weft.train(tuned, say=quiet)
    assert Path("runs/tuned/target.model").read_bytes() == Path("runs/old/target.model").read_bytes()
    old = weights_of("old")
    assert began.first.keys() == old.keys()
    assert all(torch.equal(began.first[name], tensor) for name, tensor in old.items())
    for name, tensor in directory.read_tensors(states(Path("runs/old"))[-1] / OPTIMIZER).items():
        kind, _, parameter = name.partition(".")
        assert torch.equal(began.moments[parameter][kind], tensor)
    assert began.moments["decoder.norm.weight"]["step"] == 8 and began.step == 0
    assert [note["message"] for note in notes("tuned")] == [
        f"model from runs/old: {len(old)} of {len(old)} tensors; 12 of 12 source pieces; 12 of 12 target pieces",
        "the moments of its optimiser go on from its last state",
    ]


def test_going_on_from_a_model_with_more_pieces(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = {"kind": "bpe", "byte_fallback": False, "size": 45}
    more = {"kind": "bpe", "byte_fallback": False, "size": 70}
    weft.train(write("old", vocabulary={"source": sides, "target": sides}), say=quiet)
    began = Weights(monkeypatch)
    vocabulary = {"source": sides, "target": more}
    tuned = write("tuned", vocabulary=vocabulary, data={"train": "more.tsv"}, start={"model": "runs/old"})
    weft.train(tuned, say=quiet)
    before, old = Vocabulary.load(Path("runs/old/target.model")), weights_of("old")
    assert began.target.size > before.size
    pieces = Counterparts(before, began.target)
    matrix = "target_input.embedding.weight"
    assert torch.equal(began.first[matrix][pieces.here], old[matrix][pieces.there])
    number, spelt = next(iter(pieces.parts.items()))
    assert torch.equal(began.first[matrix][number], old[matrix][spelt].mean(0))
    assert began.moments[matrix]["exp_avg_sq"][number].abs().sum() == 0
    assert began.moments[matrix]["exp_avg_sq"][pieces.here].abs().sum() > 0
    assert "as the mean of the pieces that they were" in notes("tuned")[0]["message"]


def test_another_optimiser_begins_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weft.train(write("old", training={"optimizer": {"kind": "sgd"}}), say=quiet)
    began = Weights(monkeypatch)
    weft.train(write("tuned", start={"model": "runs/old"}), say=quiet)
    assert not any(began.moments.values()) and len(notes("tuned")) == 1


VECTORS = {"hund": [2.0, 0, 0], "katze": [0, 4.0, 0], "dog": [0, 0, 1.0], "unicorn": [9.0, 9, 9], "maus": [0, 0, 0]}


def write_vectors(width: int = 3, name: str = "words.vec") -> None:
    rows = {word: (numbers + [0.0] * width)[:width] for word, numbers in VECTORS.items()}
    Path(name).write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()))


@pytest.mark.parametrize("scale", ["up", "none"])
def test_vectors_of_another_width_and_what_is_left_of_them(
    place: Path, monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    write_vectors()
    began = Weights(monkeypatch)
    path = write("run", model={"embedding": {"scale": scale}}, start={"source_vectors": {"file": "words.vec"}})
    weft.train(path, say=quiet)
    source = Vocabulary.load(Path("runs/run/source.model"))
    hund, katze, maus = source.encode("hund katze maus")
    matrix = began.first["source_input.embedding.weight"]
    assert matrix.shape == (source.size, 3) and began.first["source_input.project.weight"].shape == (8, 3)
    assert matrix[hund, 1:].tolist() == [0, 0] and matrix[katze, ::2].tolist() == [0, 0]
    assert matrix[katze, 1] == pytest.approx(2 * matrix[hund, 0].item())
    fresh = 3**0.5 if scale == "none" else 1.0
    assert matrix[[hund, katze]].norm(dim=1).mean() == pytest.approx(fresh, rel=0.35)
    assert matrix[maus].norm() > 0.1  # a vector of zeros says nothing
    assert notes("run")[0]["message"].startswith("source vectors from words.vec: 2 of 8 source pieces, 2")
    assert "model.embedding" not in path and weft.recipe.load(Path("runs/run/recipe.yaml")).model.embedding.source_width
    Path("words.vec").unlink()
    assert len(weft.load("runs/run").predict(["hund katze"])) == 1
    weft.train(path, "training.steps=10", say=quiet)
    assert len(notes("run")) == 1


def test_frozen_vectors_stay_through_training_and_resuming(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the model's own width they need no other; with embedding.share: target the output is frozen with them."""
    write_vectors(width=8)
    began = Weights(monkeypatch)
    path = write("run", start={"target_vectors": {"file": "words.vec", "freeze": True}})
    weft.train(path, say=quiet)
    first = began.first["target_input.embedding.weight"]
    weft.train(path, "training.steps=16", say=quiet)
    after = directory.read_tensors(states(Path("runs/run"))[-1] / directory.WEIGHTS)
    assert torch.equal(after["target_input.embedding.weight"], first)
    assert not torch.equal(after["output.projection.bias"], began.first["output.projection.bias"])
    assert weft.recipe.load(Path("runs/run/recipe.yaml")).model.embedding.target_width is None
    assert notes("run")[0]["message"].endswith("; the whole matrix stays as it is")


def test_pieces_that_begin_a_word_and_others_are_spelt_alike(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("words.vec").write_text("h 1 0 0 0 0 0 0 0\n")
    sides = {"kind": "bpe", "byte_fallback": False, "size": 50}
    began = Weights(monkeypatch)
    start = {"source_vectors": {"file": "words.vec"}}
    weft.train(write("run", vocabulary={"source": sides, "target": sides}, start=start), say=quiet)
    source = Vocabulary.load(Path("runs/run/source.model"))
    matrix = began.first["source_input.embedding.weight"]
    found = [piece for piece, row in zip(source.pieces(range(source.size)), matrix, strict=True) if not row[1:].any()]
    assert set(found) == {"h", "▁h"} & set(source.pieces(range(source.size)))


def test_vectors_go_to_the_sides_of_the_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe from target to source has its sides exchanged, and the vectors with them."""
    write_vectors()
    began = Weights(monkeypatch)
    data = {"train": "pairs.tsv", "direction": "backward"}
    weft.train(write("run", data=data, start={"target_vectors": {"file": "words.vec"}}), say=quiet)
    assert began.first["source_input.embedding.weight"].shape[1] == 3
    assert began.first["target_input.embedding.weight"].shape[1] == 8


STARTS: dict[str, dict[str, Any]] = {
    "model": {"model": "runs/old"},
    "decoder and frozen vectors": {
        "decoder": "runs/old",
        "source_vectors": {"file": "words.vec", "freeze": True},
    },
}


@pytest.mark.parametrize("dies_at", [2, 6])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_a_run_that_was_killed_goes_on_as_if_it_had_not(
    place: Path, monkeypatch: pytest.MonkeyPatch, start: dict[str, Any], dies_at: int
) -> None:
    """Before its first state it starts anew, from the same; after it needs nothing of what it started from."""
    write_vectors()
    weft.train(write("old"), say=quiet)
    data = {"train": "more.tsv"}
    weft.train(write("whole", data=data, start=start), say=quiet)
    update = Trainer.update

    def dies(self: Trainer, *given: Any) -> None:
        update(self, *given)
        if self.progress.step == dies_at:
            raise Killed

    cut = write("cut", data=data, start=start)
    monkeypatch.setattr(Trainer, "update", dies)
    with pytest.raises(Killed):
        weft.train(cut, say=quiet)
    monkeypatch.setattr(Trainer, "update", update)
    if dies_at > 4:  # it has a state
        shutil.rmtree("runs/old")
        Path("words.vec").unlink()
        shutil.move("runs/cut", "elsewhere")
        weft.train("elsewhere", say=quiet)
    else:
        weft.train("runs/cut", say=quiet)
        shutil.move("runs/cut", "elsewhere")
    assert tensors(Path("elsewhere")) == tensors(Path("runs/whole"))
    assert weft.load("elsewhere").predict(["hund"])


def test_random_numbers_are_the_same_with_and_without(place: Path) -> None:
    """What the run draws after does not depend on how large the model was that it started from."""
    weft.train(write("old"), say=quiet)
    torch.manual_seed(5)
    Start(weft.recipe.load(Path(write("new", start={"decoder": "runs/old"}))), Path("runs/new"))
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)


def test_a_language_model_goes_on(place: Path) -> None:
    weft.train(write("lm", language_model=True), say=quiet)
    weft.train(write("tuned", language_model=True, start={"model": "runs/lm"}), say=quiet)
    assert notes("tuned")[0]["message"] == "model from runs/lm: 32 of 32 tensors; 12 of 12 target pieces"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no run": ({"start": {"decoder": "runs/older"}}, "start.decoder: runs/older: no such model directory"),
    "no weights": ({"start": {"model": "runs/begun"}}, "start.model: runs/begun/model.safetensors is missing"),
    "another model": (
        {"start": {"model": "runs/old"}, "model": {"width": 16}},
        "start.model: runs/old is another model: model.width is 8 there and 16 here",
    ),
    "more than a model": (
        {"start": {"model": "runs/old", "decoder": "runs/old"}},
        "start.model takes all weights over, so start.decoder has no place beside it",
    ),
    "another kind": (
        {"start": {"decoder": "runs/old"}, "model": {"decoder": {"kind": "rnn"}}},
        "start.decoder: runs/old cannot start this decoder: model.decoder.kind is 'transformer' there and 'rnn' here",
    ),
    "other heads": (
        {"start": {"encoder": "runs/lm"}, "model": {"encoder": {**STACKS["transformer"], "heads": 4}}},
        "start.encoder: runs/lm cannot start this encoder: "
        "model.decoder.heads is 2 there and model.encoder.heads 4 here",
    ),
    "another scale": (
        {"start": {"decoder": "runs/old"}, "model": {"embedding": {"scale": "none"}}},
        "start.decoder: runs/old cannot start this decoder: model.embedding.scale is 'up' there and 'none' here",
    ),
    "no vectors": (
        {"start": {"source_vectors": {"file": "word.vec"}}},
        "start.source_vectors: word.vec: no such file; did you mean 'words.vec'?",
    ),
    "no vectors at all": ({"start": {"source_vectors": {"file": "pairs.tsv"}}}, "pairs.tsv:1: not known as word"),
    "another width": (
        {"start": {"source_vectors": {"file": "words.vec"}}, "model": {"embedding": {"source_width": 4}}},
        "start.source_vectors: words.vec is of width 3, but model.embedding.source_width is 4",
    ),
    "a shared matrix": (
        {"start": {"target_vectors": {"file": "words.vec"}}},
        "start: words.vec is of width 3, and model.width is 8: "
        "model.embedding.target_width needs a matrix of its own, but share is 'target'",
    ),
    "vectors of no word": ({"start": {"source_vectors": {"file": "other.vec"}}}, "has a vector for none of 8 source p"),
    "vectors without a source": (
        {"start": {"source_vectors": {"file": "words.vec"}}, "language_model": True},
        "start.source_vectors: model.encoder.kind is none, so there is no source",
    ),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_started_from(place: Path, settings: dict[str, Any], message: str) -> None:
    write_vectors()
    Path("other.vec").write_text("elephant 1 2 3\n")
    vocabulary = Vocabulary.learn(TARGETS, weft.recipe.Vocabulary(kind="word"), "identity", place / "words.model")
    Path("runs").mkdir()
    run_of(recipe_of("transformer"), vocabulary, vocabulary, Path("runs/old"))
    run_of(recipe_of("transformer", language_model=True), vocabulary, vocabulary, Path("runs/lm"))
    shutil.copytree("runs/old", "runs/begun")
    Path("runs/begun/model.safetensors").unlink()
    path = write("new", **settings)
    with pytest.raises(WeftError) as error:
        weft.train(path, say=quiet)
    assert message in str(error.value)
    assert not [file for file in Path("runs/new").rglob("*") if file.name != ".training"]


def test_settings_that_say_nothing_of_matrices_may_differ(place: Path) -> None:
    vocabulary = Vocabulary.learn(TARGETS, weft.recipe.Vocabulary(kind="word"), "identity", place / "words.model")
    recipe = recipe_of("transformer")
    recipe.model.embedding.tokens = 0.3
    run_of(recipe, vocabulary, vocabulary, place / "old")
    stack = {**STACKS["transformer"], "dropout": 0.3, "layer_drop": 0.1}
    settings = {"encoder": stack, "decoder": {**stack, "attention_dropout": 0.1}}
    start = Start(recipe_of("transformer", model=settings, start={"model": str(place / "old")}), place / "new")
    assert start.vocabularies is not None and not start.moments


@pytest.mark.parametrize("start", ["target", "source"])
def test_a_vocabulary_of_another_run(place: Path, start: str) -> None:
    weft.train(write("first"), "name=first", "data.train=more.tsv", say=quiet)
    other = {"source": {"kind": "character", "size": 60}, "target": {"kind": "character", "size": 60}}
    other[start] = {}
    recipe = write("second", vocabulary=other, start={f"{start}_vocabulary": "runs/first"})
    model = weft.train(recipe, say=quiet)
    first = weft.load("runs/first")
    assert getattr(model, start).model_bytes == getattr(first, start).model_bytes
    learnt = "source" if start == "target" else "target"
    assert getattr(model, learnt).model_bytes != getattr(first, learnt).model_bytes
    assert getattr(model.recipe.vocabulary, start).kind == "word"
    assert f"{start} vocabulary from runs/first: " in notes("second")[0]["message"]
    if start == "target":
        weft.load(["runs/second", "runs/first"]).predict(["w1"])
    shutil.rmtree("runs/first")  # what is needed of it is in the run
    weft.train(recipe, "training.steps=10", say=quiet)
    assert len(notes("second")) == 1


def test_a_language_model_takes_the_vocabulary_of_the_model_beside_it(place: Path) -> None:
    weft.train(write("pairs"), say=quiet)
    lm = write("lm", language_model=True, vocabulary={}, start={"target_vocabulary": "runs/pairs"})
    weft.train(lm, say=quiet)
    weft.load("runs/pairs").predict(["w1"], language_model="runs/lm")


def test_another_vocabulary_is_other_data(place: Path) -> None:
    weft.train(write("first"), say=quiet)
    weft.train(write("second"), "data.train=more.tsv", say=quiet)
    recipes = [
        weft.recipe.load(Path(write("third", start={"target_vocabulary": f"runs/{run}"})))
        for run in ("first", "second")
    ]
    starts = [Start(recipe, Path("runs/third")) for recipe in recipes]
    prepared = [prepare(recipe, target=start.target) for recipe, start in zip(recipes, starts, strict=True)]
    assert prepared[0].fingerprint != prepared[1].fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary": {"target": {"kind": "character"}}}, "vocabulary.target.kind is 'word' in runs/first and 'cha"),
        ({"vocabulary": {"normalization": "nfkc"}}, "vocabulary.normalization is identity in runs/first and nfkc here"),
        ({"start": {"target_vocabulary": "runs/none"}}, "start.target_vocabulary: runs/none/recipe.yaml: no such"),
        ({"vocabulary": {"shared": True}}, "is taken by start.source_vocabulary"),
        ({"language_model": True, "start": {"source_vocabulary": "runs/first"}}, "is taken by start.target_vocab"),
    ],
)
def test_a_vocabulary_that_cannot_be_taken(place: Path, settings: dict[str, Any], message: str) -> None:
    weft.train(write("first"), say=quiet)
    settings = {"vocabulary": {}, "start": {"target_vocabulary": "runs/first"}} | settings
    with pytest.raises((WeftError, ValueError), match=re.escape(message)):
        weft.train(write("second", **settings), say=quiet)


def test_a_vocabulary_without_a_mark_between_turns_is_not_for_conversations(place: Path) -> None:
    Path("talk.jsonl").write_text("".join(f'["w{n}", "w3", "w2", "w1"]\n' for n in range(20)))
    talk = ("data.train=talk.jsonl", "data.columns.turns=2")
    weft.train(write("first"), "training.steps=1", say=quiet)
    weft.train(write("talk"), *talk, "training.steps=1", say=quiet)
    starts = [write(f"from-{run}", start={"source_vocabulary": f"runs/{run}"}) for run in ("first", "talk")]
    recipes = [weft.recipe.load(Path(start), talk) for start in starts]
    with pytest.raises(WeftError) as caught:
        Start(recipes[0], Path("runs/new"))
    assert str(caught.value).startswith(
        "start.source_vocabulary: the vocabulary of runs/first has no piece <turn>, which stands between turns"
    )
    assert Start(recipes[1], Path("runs/new")).source is not None
    before = weft.recipe.load(Path("runs/first/recipe.yaml"))
    assert not same_pieces_asked(before, recipes[1]) and same_pieces_asked(before, before)


def test_a_recipe_without_a_start_stays_as_it_is(place: Path) -> None:
    recipe = recipe_of("transformer")
    assert resolved(recipe, place / "new") is recipe
    start = Start(recipe, place / "new")
    data = prepare(weft.recipe.load(Path(write("new"))), start.vocabularies)
    network = Seq2Seq(recipe.model, data.source.size, data.target.size)
    before = {name: tensor.detach().clone() for name, tensor in all_names(network).items()}
    start.put(network, data)
    assert all(torch.equal(tensor, before[name]) for name, tensor in all_names(network).items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_recipes_of_the_page(place: Path) -> None:
    """The language model of docs/start.md starts the decoder of its translation model, and the log says so."""
    text = PAGE.read_text("utf-8")
    recipes = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    for recipe in recipes:
        weft.recipe.checked(recipe, "the page")
    Path("text.txt").rename("text.en")
    small = ["model.width=8", "model.decoder.feed_forward=8", "training.steps=1", "validation.every=1"]
    small += [f"vocabulary.{side}.size=290" for side in ("source", "target")]
    for name, recipe in zip(("lm", "started"), recipes, strict=False):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(recipe))
        weft.train(f"{name}.yaml", *small, "training.device=cpu", "validation.items=2", say=quiet)
    (printed,) = re.findall(r"^(decoder from runs/lm: .*)$", text, re.MULTILINE)
    told = notes("started")[0]["message"]
    assert [part for part in told.split("; ") if "pieces" not in part] == [
        part for part in printed.split("; ") if "pieces" not in part
    ]
