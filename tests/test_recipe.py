"""Recipes: what is read, what is refused, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from weft import recipe
from weft.errors import WeftError

ROOT = Path(__file__).parent.parent
RUNGS = ROOT / "recipes/ladder/rungs.yaml"
PLANS = ROOT / "recipes/ett/plans.yaml"


def load(tmp_path: Path, text: str, *overrides: str) -> recipe.Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return recipe.load(path, overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {train: x}\ntraining:\n  stpes: 3", "r.yaml:3: unknown key 'training.stpes'; did you mean 'steps'?"),
        ("data: {train: x}\nmodle: {}", "r.yaml:2: unknown key 'modle'; did you mean 'model'?"),
        ("data: {train: x}\nepochs: 3", "r.yaml:2: unknown key 'epochs'; there is training.epochs"),
        (
            "data: {train: x}\nmodel: {layers: 3}",
            "there are model.encoder.layers, model.decoder.layers",
        ),
        (
            "data: {train: x}\nmodel: {encoder: {kind: rnn, heads: 8}}",
            "r.yaml:2: unknown key 'model.encoder.heads'; another kind of model.encoder has it",
        ),
        ("data: {train: x}\ntraining: {metric: bleu}", "'training.metric'; there is validation.metric"),
        (
            "data: {train: x}\nmodel:\n  encoder:\n    kind: rnn\n    layer: 2",
            "r.yaml:5: unknown key 'model.encoder.layer'; did you mean 'layers'?",
        ),
        (
            "data: {train: x}\ntraining:\n  seed: abc",
            "r.yaml:3: 'training.seed' is 'abc': input should be a valid integer",
        ),
        ("data: {train: x}\ntraining: {steps: 0}", "'training.steps' is 0: input should be greater than or equal to 1"),
        ("training: {steps: 3}", "'data' is missing"),
        (
            "data: {train: x}\ntraining: {steps: 3}\nmodel: {width: 8}\ntraining:\n  seed: 2",
            "r.yaml:4: 'training' is there twice, the first on line 2",
        ),
        ("data: {train: x}\nmodel:\n  width: 8\n  width: 8", "r.yaml:4: 'model.width' is there twice"),
        ("data: &data {train: *data}", "r.yaml: YAML nested too deeply"),
        ("name: 2024-13-01", "r.yaml: not YAML: month must be in 1..12; text stands in quotes"),
        (
            "data:\n  train: x\n  columns: {source: en, target: no}",
            "r.yaml:3: 'data.columns.target' is False: a truth value",
        ),
        ("data: {train: x}\ntraining:\n  steps: yes", "r.yaml:3: 'training.steps' is True: a truth value"),
        ("data: {train: x, columns: {source: [no, en]}}", "'data.columns.source' is [False, 'en']: a truth value"),
        ("data: {train: x}\nsearch: {tags: any, tags: x}", "'search.tags' is there twice"),
        ("data: {train: x}\nsearch: {tags: x}", "r.yaml:2: 'search.tags' is 'x': input should be"),
        ("data: {train: x}\nmodel: {embedding: {tokens: 2}}", "'model.embedding.tokens' is 2: input should be"),
        ("data: {train: x}\nmodel: {decoder: {kind: tags, of: x}}", "'model.decoder.of' is 'x': input should be"),
        (
            "data: {train: x}\nmodel:\n  width: 100\n  encoder: {kind: transformer, heads: 3}",
            "r.yaml:2: model.encoder.heads is 3",
        ),
        ("data: {train: x}\nmodel: {embedding: {share: all}}", "needs vocabulary.shared: true"),
        ("data: {train: x}\nmodel: {encoder: {kind: rn}}", "'rn'"),
        ("- a\n- b", "a recipe is a mapping"),
        ("data: {train: x", "not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WeftError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)


def test_every_mistake_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(WeftError) as caught:
        load(tmp_path, "data: {train: x}\ntraining: {stpes: 3, seed: a}")
    assert len(str(caught.value).splitlines()) == 2


def test_overrides_win_and_are_read_as_yaml(tmp_path: Path) -> None:
    changed = load(
        tmp_path, "data: {train: x}", "training.steps=7", "model.encoder={kind: rnn, cell: lstm}", "name=no_7"
    )
    assert changed.training.steps == 7
    assert load(tmp_path, "data: {train: x}", "name=2024-13-01").name == "2024-13-01"
    assert isinstance(changed.model.encoder, recipe.RecurrentEncoder) and changed.model.encoder.cell == "lstm"
    assert changed.name == "no_7"


@pytest.mark.parametrize(
    "override",
    [
        "vocabulary.shared=true",
        "vocabulary.source={kind: word}",
        "data.noise.drop=0.1",
        "data.noise.mask=0.1",
        "data.noise.swap=2",
        "data.noise.characters=0.1",
        "start.encoder=runs/x",
        "start.source_vectors={file: x.vec}",
        "model.embedding={share: inputs}",
        "model.embedding={share: all}",
        "model.embedding={source_width: 8}",
        "model.copy_source=true",
    ],
)
def test_a_pretrained_encoder_needs_no_pieces_of_ours(tmp_path: Path, override: str) -> None:
    text = "data: {train: x}\nmodel: {encoder: {kind: pretrained, folder: bert}}"
    assert load(tmp_path, text, "data.noise.target_drop=0.1").model.encoder.kind == "pretrained"
    key = override.partition("=")[0]
    with pytest.raises(WeftError, match=rf"{key}.*model\.encoder\.kind(:| is) pretrained, which"):
        load(tmp_path, text, override)


def test_what_a_pretrained_encoder_writes_with_may_be_of_another_run_also_backward(tmp_path: Path) -> None:
    text = "data: {train: x, direction: backward}\nmodel: {encoder: {kind: pretrained, folder: bert}}"
    assert load(tmp_path, text, "start.target_vocabulary=runs/lm").start.target_vocabulary == "runs/lm"
    with pytest.raises(WeftError, match=r"start\.source_vocabulary has no place beside model\.encoder\.kind"):
        load(tmp_path, text, "start.source_vocabulary=runs/lm")


@pytest.mark.parametrize("override", ["training.steps", "=3", "training.stpes=3", "data.train.x.y=3"])
def test_an_override_that_cannot_be_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(WeftError):
        load(tmp_path, "data: {train: x}", override)


def test_what_is_dumped_is_the_same_recipe(tmp_path: Path) -> None:
    one = load(tmp_path, "data: {train: {source: [a, b], target: c}}\nmodel: {decoder: {kind: rnn, width: 12}}")
    assert load(tmp_path, recipe.dump(one)) == one


@given(
    steps=st.integers(1, 10**9),
    rate=st.floats(1e-8, 10),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
)
def test_any_value_survives_the_file(steps: int, rate: float, name: str) -> None:
    settings: dict[str, Any] = {"name": name, "data": {"train": "x"}}
    settings["training"] = {"steps": steps, "optimizer": {"learning_rate": rate}}
    one = recipe.checked(settings, "here")
    assert recipe.checked(yaml.safe_load(recipe.dump(one)), "there") == one


def test_the_schema_is_one_that_editors_take() -> None:
    schema = json.loads(recipe.json_schema())
    assert schema["additionalProperties"] is False
    assert "warm" in json.dumps(schema) and schema["properties"]["training"]
    assert schema["$defs"]["TransformerEncoder"]["required"] == ["kind"]
    assert schema["$defs"]["PretrainedEncoder"]["required"] == ["kind", "folder"]


@pytest.mark.parametrize(
    "path", sorted({*ROOT.glob("recipes/**/*.yaml"), *ROOT.glob("demo/*.yaml")} - {RUNGS, PLANS}), ids=lambda p: p.name
)
def test_every_recipe_in_the_repository_is_valid(path: Path) -> None:
    assert recipe.load(path).data.train


@pytest.mark.parametrize("plan", yaml.safe_load(PLANS.read_text()), ids=lambda plan: plan["name"])
def test_every_candidate_of_a_plan_is_valid(plan: dict[str, Any]) -> None:
    for candidate in plan["candidates"]:
        settings = [f"{key}={value}" for key, value in candidate.items()]
        for horizon in plan["horizons"]:
            recipe.load(PLANS.parent.parent / plan["base"], [*settings, f"data.series.horizon={horizon}"])


@pytest.mark.parametrize("base", ["multi30k.yaml", "scan.yaml"])
@pytest.mark.parametrize("rung", yaml.safe_load(RUNGS.read_text()), ids=lambda rung: rung["name"])
def test_every_rung_can_be_climbed(base: str, rung: dict[str, Any]) -> None:
    recipe.load(RUNGS.parent / base, rung["settings"])
