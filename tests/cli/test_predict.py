"""weft predict and weft evaluate --score, from the command line."""

import json
import math

import pytest
import torch

import weft
import weft.recipe
from weft.models import directory
from weft.models.quantized import Int8Linear
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Search


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with three lines, and files that belong to them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text("cat\nphone\ntomato\n")
    (tmp_path / "prefix.txt").write_text("K\n\nT AH\n")
    (tmp_path / "must.txt").write_text("OW N\tAE\n\nM\t\n")
    (tmp_path / "never.txt").write_text("\nAH\tT\nZ\n")
    return tmp_path


def test_every_search_setting_has_an_option(run_weft, model, files):
    from weft.cli.predict import parser, search_options

    given = {"kind": "sample", "language_model": "runs/lm"} | {
        name: 2 if field.annotation is int else 0.5
        for name, field in Search.model_fields.items()
        if field.annotation in (int, float)
    }
    words = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert search_options(parser().parse_args([str(model), *words])) == given
    assert search_options(parser().parse_args([str(model)])) == {}


def test_a_model_of_pairs_has_no_gaps_to_fill(run_weft, model, files):
    for form in ((), ("--jsonl",)):
        code, out, err = run_weft("predict", model, "lines.txt", "--fill", *form)
        assert (code, out) == (2, "") and "--fill is for models that fill gaps, which are trained with data.gaps" in err


def test_each_output_holds_what_its_line_says(run_weft, model, files):
    options = ("--beam", 6, "--prefix", "prefix.txt", "--must", "must.txt", "--never", "never.txt")
    code, out, _ = run_weft("predict", model, "lines.txt", *options)
    outputs = out.splitlines()
    assert code == 0
    assert outputs == [
        str(p)
        for p in weft.load(model).predict(
            ["cat", "phone", "tomato"],
            beam=6,
            prefix=["K", "", "T AH"],
            must=[["OW N", "AE"], [], ["M"]],
            never=[[], ["AH", "T"], ["Z"]],
        )
    ]
    first, second, third = (f" {output} " for output in outputs)
    assert first.startswith(" K ") and " OW N " in first and " AE " in first
    assert " AH " not in second and " T " not in second
    assert third.startswith(" T AH ") and " M " in third and " Z " not in third


def test_samples_are_told_apart_by_seed(run_weft, model, files):
    options = ("--kind", "sample", "--temperature", 2, "--n-best", 3)
    outputs = [run_weft("predict", model, "lines.txt", *options, "--seed", seed)[1] for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]
    assert [line.count("\t") for line in outputs[0].splitlines()] == [2, 2, 2]


def test_minimum_bayes_risk_says_what_its_choice_is_worth(run_weft, model, files):
    _, out, _ = run_weft("predict", model, "lines.txt", "--minimum-bayes-risk", 8, "--jsonl")
    assert all(0 <= json.loads(line)["utility"] <= 100 for line in out.splitlines())


def test_several_models_answer_as_one(run_weft, make_model, model, files):
    other = make_model()
    code, out, _ = run_weft("predict", model, "lines.txt", "--with", other, "--with", other)
    assert code == 0
    assert out.splitlines() == [str(p) for p in weft.load([model, other, other]).predict(["cat", "phone", "tomato"])]
    code, told, _ = run_weft("evaluate", model, "--with", other, "--source", "lines.txt", "--target", "lines.txt")
    assert code == 0 and "3 items" in told


def test_given_pairs_are_scored(run_weft, model, pairs_file, tmp_path):
    found = tmp_path / "scored.jsonl"
    code, out, err = run_weft("evaluate", model, pairs_file, "--score", "--jsonl", found)
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    pairs = [tuple(row[3:]) for row in rows]
    assert pairs == [tuple(line.split("\t")) for line in pairs_file.read_text().splitlines()]
    scored = weft.load(model).score(pairs)
    assert [float(row[0]) for row in rows] == [pytest.approx(one.log_probability, abs=1e-4) for one in scored]
    assert [float(row[1]) for row in rows] == [pytest.approx(one.perplexity, abs=1e-3) for one in scored]
    assert [len(row[2].split(" ")) for row in rows] == [len(target.split(" ")) + 1 for _, target in pairs]
    records = [json.loads(line) for line in found.read_text().splitlines()]
    assert [(r["source"], r["target"]) for r in records] == pairs
    assert [r["token_scores"] for r in records] == [pytest.approx(one.token_scores) for one in scored]
    tokens = sum(len(one.token_scores) for one in scored)
    mean = math.exp(-sum(one.log_probability for one in scored) / tokens)
    assert err.endswith(f"\nweft: 6 pairs, {tokens} tokens with their ends: perplexity {mean:.4f}\n")


@pytest.fixture(scope="module")
def language_model(model, tmp_path_factory):
    """The folder of a language model in the target pieces of the model."""
    folder = tmp_path_factory.mktemp("language")
    target = weft.load(model).target
    parts = {"encoder": {"kind": "none"}, "context": {"given": "none"}, "decoder": {"kind": "rnn", "attention": None}}
    shared = {"shared": True, "source": {"kind": "word"}}
    recipe = weft.recipe.checked({"data": {"train": "x"}, "model": {"width": 8, **parts}, "vocabulary": shared}, "test")
    torch.manual_seed(1)
    directory.save_weights(Seq2Seq(recipe.model, target.size, target.size), folder / directory.WEIGHTS)
    directory.save_vocabularies(folder, target, target, recipe)
    (folder / directory.RECIPE).write_text(weft.recipe.dump(recipe))
    return folder


def test_a_language_model_stands_beside_a_model_and_alone(run_weft, model, language_model, files):
    fusion = {"language_model": str(language_model), "language_model_weight": 2.5}
    found = [weft.load(model).predict(["cat", "phone", "tomato"], **options) for options in ({}, fusion)]
    options = ("--language-model", language_model, "--language-model-weight", 2.5)
    assert run_weft("predict", model, "lines.txt", *options)[1].splitlines() == [str(p) for p in found[1]]
    assert [p.score for p in found[0]] != [p.score for p in found[1]]
    (files / "begun.txt").write_text("K AE\n\n")
    code, out, _ = run_weft("predict", language_model, "begun.txt", "--kind", "sample")
    assert code == 0 and out.splitlines()[0].startswith("K AE")
    code, out, _ = run_weft("evaluate", language_model, "--target", "begun.txt", "--score")
    assert code == 0 and [line.split("\t")[3:] for line in out.splitlines()] == [["", "K AE"], ["", ""]]
    code, out, err = run_weft("evaluate", language_model, "--target", "begun.txt")
    assert (code, out) == (2, "") and "is a language model, which has nothing to answer" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "lines.txt", "--prefix", "none.txt"), "none.txt: no such file"),
        (("predict", "lines.txt", "--must", "-", "--never", "-"), "standard input ('-') can be read only once"),
        (("predict", "--prefix", "-"), "standard input ('-') can be read only once"),
        (("predict", "lines.txt", "--prefix", "two.txt"), "prefix ends after 2 lines, the input goes on"),
        (("predict", "two.txt", "--never", "never.txt"), "the input ends after 2 lines, never goes on"),
        (("predict", "lines.txt", "--must", "never.txt", "--kind", "gumbel"), "must needs search.kind beam"),
        (("predict", "lines.txt", "--prefix", "lines.txt"), "prefix of line 1 is 'cat', but the model's vocabulary"),
        (("predict", "lines.txt", "--must", "must.txt", "--never", "must.txt"), "line 1 must hold 'OW N', and never"),
        (("predict", "lines.txt", "--with", "nowhere"), "nowhere: no such model directory"),
        (("predict", "lines.txt", "--kind", "diverse", "--beam", "7"), "search.groups is 5, which does not divide"),
        (("predict", "lines.txt", "--top-p", "0"), "search.top_p is 0.0"),
        (("evaluate", "pairs.tsv", "--score", "--beam", "3"), "--score takes the targets as they are"),
        (("evaluate", "pairs.tsv", "--score", "--metrics", "chrf"), "--metrics has no part in it"),
        (("evaluate", "pairs.tsv", "--score", "--several-references"), "--several-references has no part in it"),
        (("evaluate", "empty.tsv", "--score"), "empty.tsv: there is no pair to score"),
    ],
)
def test_what_cannot_be_is_said(run_weft, model, files, arguments, message):
    (files / "two.txt").write_text("K\nT\n")
    (files / "empty.tsv").write_text("")
    (files / "pairs.tsv").write_text("cat\tK AE T\n")
    verb, *rest = arguments
    code, out, err = run_weft(verb, model, *rest)
    assert (code, out) == (2, "")
    assert message in err


def test_weights_in_integers_say_nearly_the_same(run_weft, model, files):
    found = {}
    for weights in ("float32", "int8"):
        code, out, _ = run_weft("predict", model, "lines.txt", "--weights", weights, "--jsonl", "--beam", 1)
        found[weights] = [json.loads(line)["token_scores"][0] for line in out.splitlines()]
        assert code == 0
    assert found["int8"] != found["float32"]
    assert found["int8"] == pytest.approx(found["float32"], abs=0.1)


def test_all_models_that_answer_together_have_weights_in_integers(make_model, model):
    together = weft.load([model, make_model()], weights="int8")
    assert together.weights == "int8"
    for member in together.members:
        assert isinstance(member.network.output.projection, Int8Linear)


def test_workers_say_the_same_in_order(run_weft, model, files):
    options = ("lines.txt", "--never", "never.txt", "--n-best", 2)
    alone, together = (run_weft("predict", model, *options, "--workers", count) for count in (1, 2))
    assert together == alone
    assert alone[0] == 0 and len(alone[1].splitlines()) == 3


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "runs", "lines.txt"),
        ("evaluate", "runs", "lines.txt"),
        ("serve", "runs", "--port", 0),
        ("average", "runs", "--best", 2),
        ("train", "runs"),
        ("look", "runs", "--attention", "cat"),
        ("look", "runs", "--curves"),
        ("look", "runs", "--forecast"),
    ],
)
def test_a_folder_of_models_names_them(run_weft, files, command):
    for name in ("a", "b"):
        (files / "runs" / name).mkdir(parents=True)
        (files / "runs" / name / directory.RECIPE).touch()
    code, out, err = run_weft(*command)
    assert (code, out) == (2, "")
    assert err.endswith("; the models in it are runs/a, runs/b\n")
