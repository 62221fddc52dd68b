"""A small model with random weights, saved as the directory that a run leaves, and pairs to try it on."""

import pytest
import torch

import weft.recipe
from weft.cli.main import main
from weft.data.vocabulary import Vocabulary
from weft.files import write_text
from weft.models import directory
from weft.models.seq2seq import Seq2Seq

PAIRS = [
    ("phone", "F OW N"),
    ("cat", "K AE T"),
    ("tomato", "T AH M EY T OW"),
    ("tomato", "T AH M AA T OW"),
    ("a", "AH"),
    ("potatoes", "P AH T EY T OW Z"),
]
WIDTH = 8


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory):
    """Six pairs of five different words."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    return path


@pytest.fixture(scope="module")
def make_model(tmp_path_factory):
    """Saves a model of letters, or of words, to phonemes, and gives its folder."""

    def make(test=None, several_references=False, source="character"):
        folder = tmp_path_factory.mktemp("model")
        settings = {
            "data": {"train": "nowhere.tsv", "test": test and str(test)},
            "vocabulary": {"source": {"kind": source}, "target": {"kind": "word"}},
            "model": {
                "width": WIDTH,
                "encoder": {"kind": "rnn", "width": WIDTH},
                "decoder": {"kind": "rnn", "width": WIDTH},
            },
            "validation": {"several_references": several_references},
            "search": {"beam": 2, "min_length": 3},
        }
        recipe = weft.recipe.checked(settings, "test")
        sides = recipe.vocabulary
        source = Vocabulary.learn([pair[0] for pair in PAIRS], sides.source, "identity", folder / directory.SOURCE)
        target = Vocabulary.learn([pair[1] for pair in PAIRS], sides.target, "identity", folder / directory.TARGET)
        torch.manual_seed(1)
        directory.save_weights(Seq2Seq(recipe.model, source.size, target.size), folder / directory.WEIGHTS)
        write_text(folder / directory.RECIPE, weft.recipe.dump(recipe))
        return folder

    return make


@pytest.fixture(scope="module")
def model(make_model):
    return make_model()


@pytest.fixture
def run_weft(capsys):
    """Runs a command line in this process; gives exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    return run
