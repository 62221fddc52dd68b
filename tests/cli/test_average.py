"""What weft average says when it is done."""

from __future__ import annotations

import weft.recipe
from weft.cli.average import evaluation
from weft.files import write_text
from weft.models import directory


def test_the_suggested_command_works(run_weft, make_model, pairs_file):
    named, unnamed = make_model(test=pairs_file), make_model()
    assert evaluation(named) == f"weft evaluate {named}"
    assert evaluation(unnamed) == f"weft evaluate {unnamed} test.tsv"
    for model in (named, unnamed):
        words = evaluation(model).replace("test.tsv", str(pairs_file)).split()
        assert run_weft(*words[1:])[0] == 0


def test_the_run_may_be_the_folder_that_one_is_in(run_weft, model, monkeypatch):
    monkeypatch.chdir(model)
    code, _, err = run_weft("average", ".", "--best", 1)
    assert code == 2 and err.startswith(f"weft: {model}")


def test_a_language_model_is_scored(tmp_path):
    parts = {"encoder": {"kind": "none"}, "context": {"given": "none"}, "decoder": {"kind": "rnn", "attention": None}}
    recipe = weft.recipe.checked({"data": {"train": "x"}, "model": parts}, "test")
    write_text(tmp_path / directory.RECIPE, weft.recipe.dump(recipe))
    assert evaluation(tmp_path) == f"weft evaluate {tmp_path} --target test.txt --score"
