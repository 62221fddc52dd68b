"""What is chosen for a file that comes without a recipe."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from weft.errors import WeftError
from weft.training.precision import fastest
from weft.training.preset import suggest

WORDS = [
    "ein",
    "zwei",
    "drei",
    "vier",
    "haus",
    "hund",
    "katze",
    "maus",
    "läuft",
    "schläft",
    "isst",
    "trinkt",
    "schnell",
    "langsam",
    "rot",
    "grün",
]


def write(path: Path, pairs: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    return str(path)


def test_spelling_to_phonemes(tmp_path: Path) -> None:
    rng = random.Random(0)
    pairs = [("".join(rng.choices("abcdefg", k=6)), " ".join(rng.choices(["AE1", "B", "K"], k=5))) for _ in range(300)]
    recipe = suggest(write(tmp_path / "g2p.tsv", pairs), [], [].append)
    assert recipe.name == "g2p"
    assert (recipe.vocabulary.source.kind, recipe.vocabulary.target.kind) == ("character", "word")
    assert recipe.validation.metric == "line_error_rate"
    assert not recipe.vocabulary.shared


def test_running_text_with_one_alphabet_shares_its_pieces(tmp_path: Path) -> None:
    rng = random.Random(0)
    words = [first + second for first in WORDS for second in WORDS + ["e" + word for word in WORDS]]
    lines = [" ".join(rng.choices(words, k=12)) for _ in range(800)]
    recipe = suggest(write(tmp_path / "t.tsv", list(zip(lines[::2], lines[1::2], strict=True))), [], [].append)
    assert recipe.vocabulary.shared and recipe.model.embedding.share == "all"
    assert recipe.validation.metric == "bleu"


def test_what_is_chosen_is_said_and_what_is_asked_wins(tmp_path: Path) -> None:
    said: list[str] = []
    data = write(tmp_path / "t.tsv", [("ab", "cd")] * 20)
    recipe = suggest(data, ["model.width=64", "vocabulary.target.kind=word", "name=mine"], said.append)
    assert recipe.model.width == 64 and recipe.name == "mine" and recipe.vocabulary.target.kind == "word"
    assert any("20 pairs" in line for line in said) and any("width 64" in line for line in said)


def test_larger_data_gets_a_larger_model(tmp_path: Path) -> None:
    small = suggest(write(tmp_path / "s.tsv", [("abc", "cd")] * 200), [], [].append)
    large = suggest(write(tmp_path / "l.tsv", [("abc", "cd")] * 30_000), [], [].append)
    assert large.model.width > small.model.width and large.data.dev_fraction < small.data.dev_fraction


def test_nothing_usable_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match="no usable pair"):
        suggest(write(tmp_path / "t.tsv", [("", "x"), ("y", "")]), [], [].append)


@pytest.mark.parametrize(
    "override",
    ["model.encoder.kind=rnn", "model.decoder.kind=rnn", "model.encoder.layers=6", "model.encoder={kind: rnn}"],
)
def test_what_it_says_can_be_changed_can_be_changed(tmp_path: Path, override: str) -> None:
    data = write(tmp_path / "t.tsv", [("ab", "cd")] * 20)
    before, after = suggest(data, [], [].append).model, suggest(data, [override], [].append).model
    changed, other = ("decoder", "encoder") if "decoder" in override else ("encoder", "decoder")
    assert getattr(after, changed) != getattr(before, changed)
    assert getattr(after, other) == getattr(before, other)


def test_all_characters_of_a_large_script_have_room(tmp_path: Path) -> None:
    hanzi = [chr(0x4E00 + i) for i in range(4000)]
    lines = [" ".join(hanzi[i : i + 20]) for i in range(0, 4000, 20)]
    recipe = suggest(write(tmp_path / "t.tsv", [(line, line) for line in lines]), [], [].append)
    assert recipe.vocabulary.source.size > 4000 + 256


def tagged_line(draw: random.Random) -> tuple[str, str]:
    words = draw.choices(WORDS, k=draw.randint(2, 6))
    return " ".join(words), " ".join("B-NP" if len(word) > 4 else "O" for word in words)


def test_a_tag_for_each_word(tmp_path: Path) -> None:
    draw = random.Random(0)
    told: list[str] = []
    recipe = suggest(write(tmp_path / "chunks.tsv", [tagged_line(draw) for _ in range(200)]), [], told.append)
    assert (recipe.tags, recipe.search.tags, recipe.validation.metric) == ("words", "bio", "span_f1")
    assert any("a tag for each word is read" in line for line in told)


def test_a_label_for_each_line(tmp_path: Path) -> None:
    draw = random.Random(0)
    pairs = [(tagged_line(draw)[0], draw.choice(["good", "bad"])) for _ in range(200)]
    recipe = suggest(write(tmp_path / "labels.tsv", pairs), ["model.encoder.kind=conv"], [].append)
    assert (recipe.tags, recipe.validation.metric) == ("line", "exact_match")
    assert recipe.model.encoder.kind == "conv"


def labelled_line(draw: random.Random) -> tuple[str, str]:
    return tagged_line(draw)[0], " ".join(label for label in ("fare", "time", "way") if draw.random() < 0.5)


def test_any_number_of_labels_for_each_line(tmp_path: Path) -> None:
    draw = random.Random(0)
    path, told = write(tmp_path / "sets.tsv", [labelled_line(draw) for _ in range(200)]), list[str]()
    recipe = suggest(path, ["model.encoder.kind=windows"], told.append)
    assert (recipe.tags, recipe.validation.metric) == ("labels", "micro_f1")
    assert (recipe.model.encoder.kind, recipe.model.context.of) == ("windows", "max")
    assert any("any number of labels a line are read" in line for line in told)


def test_labels_in_either_order_are_text_unless_they_are_asked_for(tmp_path: Path) -> None:
    draw = random.Random(0)
    pairs = [(source, " ".join(draw.sample(target.split(), k=len(target.split())))) for source, target in
             (labelled_line(draw) for _ in range(200))]  # fmt: skip
    path = write(tmp_path / "orders.tsv", pairs)
    assert suggest(path, [], [].append).tags is None
    assert suggest(path, ["model.decoder.kind=labels"], [].append).tags == "labels"


def test_text_where_it_is_asked_for(tmp_path: Path) -> None:
    draw = random.Random(0)
    path = write(tmp_path / "chunks.tsv", [tagged_line(draw) for _ in range(200)])
    recipe = suggest(path, ["model.decoder.kind=transformer"], [].append)
    assert recipe.tags is None


def test_units_in_another_order_are_text(tmp_path: Path) -> None:
    draw = random.Random(0)
    pairs = [(" ".join(line), " ".join(line[::-1])) for line in (draw.choices("abcdefg", k=5) for _ in range(200))]
    assert suggest(write(tmp_path / "turned.tsv", pairs), [], [].append).tags is None


def test_a_warm_up_ends_before_the_steps_do(tmp_path: Path) -> None:
    data = write(tmp_path / "t.tsv", [("ab", "cd")] * 20)
    warmups = {
        steps: suggest(data, [f"training.steps={steps}"], [].append).training.schedule.warmup
        for steps in (2, 300, 5000)
    }
    assert warmups == {2: 0, 300: 75, 5000: 400}
    asked = suggest(data, ["training.steps=300", "training.schedule.warmup=250"], [].append)
    assert asked.training.schedule.warmup == 250


@pytest.mark.parametrize(
    ("device", "gpu", "gpu_units", "cpu_units", "expected"),
    [
        ("auto", True, True, False, "bf16"),
        ("auto", True, False, True, "float32"),
        ("cuda:0", True, True, False, "bf16"),
        ("cpu", True, True, False, "float32"),
        ("cpu", True, False, True, "bf16"),
        ("auto", False, False, True, "bf16"),
        ("mps", False, False, True, "float32"),
    ],
)
def test_bf16_where_the_device_has_units_for_it(
    monkeypatch: pytest.MonkeyPatch, device: str, gpu: bool, gpu_units: bool, cpu_units: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu_units)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: cpu_units)
    assert fastest(device) == expected


def test_tags_beside_a_pretrained_encoder(tmp_path: Path) -> None:
    draw = random.Random(0)
    lines = [tagged_line(draw) for _ in range(200)]
    pretrained = ["model.encoder={kind: pretrained, folder: bert}"]
    labels = write(tmp_path / "labels.tsv", [(source, draw.choice(["good", "bad"])) for source, _ in lines])
    assert suggest(labels, pretrained, [].append).tags == "line"
    words = suggest(write(tmp_path / "chunks.tsv", lines), pretrained, [].append)
    assert (words.tags, words.vocabulary.target.kind) == (None, "word")


@pytest.mark.parametrize("tags", ["words", "line"])
def test_tags_that_are_asked_for(tmp_path: Path, tags: str) -> None:
    draw = random.Random(0)
    lines = [tagged_line(draw) for _ in range(200)]
    pairs = lines if tags == "words" else [(source, target.split()[0]) for source, target in lines]
    recipe = suggest(write(tmp_path / "tags.tsv", pairs), ["model.decoder.kind=tags"], [].append)
    assert recipe.tags == tags


def test_a_part_that_is_asked_for_has_settings_of_its_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.tsv", [(f"{word} {word}s", f"{word}a {word}b") for word in WORDS])
    assert suggest(path, ["model.encoder.kind=identity"], [].append).model.encoder.kind == "identity"
    with pytest.raises(WeftError, match=r"model.encoder.kind is none, so there is nothing to look at"):
        suggest(path, ["model.encoder.kind=none"], [].append)
