"""Pieces of a pretrained encoder's tokenizer."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest
import yaml
from encoders import tokenizer, write_bert
from learning import write_pairs

import weft.recipe
from weft.data.corpus import prepare
from weft.data.tokenizer import Tokenizer
from weft.errors import WeftError
from weft.recipe import Recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "bert", ["the", "cat", "##s"])


def test_a_line_begins_as_the_tokenizer_begins_it_and_is_never_cut(folder: Path) -> None:
    pieces = Tokenizer.of(str(folder))
    ids = pieces.encode("The cats cat cat cat cat cat")
    assert pieces.pieces(ids) == ["[CLS]", "the", "cat", "##s", *["cat"] * 5]
    assert pieces.pieces([pieces.pad, pieces.unk, pieces.bos, pieces.eos]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    assert pieces.size == 4 + 8
    assert len(pieces.pieces(range(pieces.size))) == pieces.size
    assert pieces.decode([*ids[:4], pieces.eos]) == "the cat ##s"


def test_what_the_encoder_is_given_is_what_its_own_tokenizer_gives(folder: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")
    pieces, own = Tokenizer.of(str(folder)), transformers.AutoTokenizer.from_pretrained(folder)
    for line in ("the cat", "cat dog the"):
        given = [pieces.originals[i] for i in [*pieces.encode(line), pieces.eos]]
        assert given == [i for i in own(line).input_ids if i != own.pad_token_id]


def test_unknown_words_are_counted_and_nothing_stays_nothing(folder: Path) -> None:
    pieces = Tokenizer.of(str(folder))
    lines = pieces.encode_lines(["the dog [SEP] cat", "", "   "])
    assert lines[0].count(pieces.unk) == 2  # what is written like the end is text, which this vocabulary has not
    assert pieces.eos not in lines[0]
    assert lines[1:] == [[], []]
    assert pieces.encode_lines([]) == []


def test_a_tokenizer_without_a_beginning_of_texts_puts_none(tmp_path: Path, folder: Path) -> None:
    made = tokenizer(["a"], cls_token=None, pad_token=None, unk_token=None, sep_token=None, eos_token="[SEP]")
    made.backend_tokenizer.post_processor = None
    made.backend_tokenizer.no_padding()
    made.save_pretrained(folder)
    pieces = Tokenizer.of(str(folder))
    assert pieces.pieces(pieces.encode("a a")) == ["a", "a"]
    assert pieces.pieces([pieces.pad, pieces.eos]) == ["[SEP]", "[SEP]"]


def test_a_text_that_cannot_end_is_an_error(folder: Path) -> None:
    made = tokenizer(["a"], sep_token=None)
    made.save_pretrained(folder)
    with pytest.raises(WeftError, match=r"bert: its tokenizer has no token that ends a text, such as \[SEP\]"):
        Tokenizer.of(str(folder))


def test_a_tokenizer_that_is_not_fast_is_an_error(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")
    transformers.ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(WeftError, match=r"has a tokenizer in Python; expected one of the library tokenizers"):
        Tokenizer.of(str(tmp_path))


def test_bytes_leave_nothing_unknown(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    made = Backend(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=280, special_tokens=special, initial_alphabet=alphabet)
    made.train_from_iterator(["the cat sat on the mat"] * 5, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", **names).save_pretrained(tmp_path)
    pieces = Tokenizer.of(str(tmp_path))
    ids = pieces.encode("the 猫 sat</s>")
    assert pieces.pieces(ids)[:2] == ["<s>", "Ġthe"]
    assert pieces.unk not in ids and pieces.eos not in ids
    assert pieces.decode(ids[1:]) == " the 猫 sat</s>"


def test_is_kept_in_one_file_that_needs_no_folder(tmp_path: Path, folder: Path) -> None:
    pieces = Tokenizer.of(str(folder))
    pieces.save(tmp_path / "source.model")
    kept = Tokenizer.load(tmp_path / "source.model")
    assert kept.model_bytes == pieces.model_bytes
    assert kept.encode("the cats dog") == pieces.encode("the cats dog")
    assert pickle.loads(pickle.dumps(pieces)).encode("the cats dog") == pieces.encode("the cats dog")
    for damage in (b"", b"[]", b"{}", json.dumps({"tokenizer": {}}).encode()):
        (tmp_path / "source.model").write_bytes(damage)
        with pytest.raises(WeftError, match=r"source\.model: damaged, or not the tokenizer of a pretrained encoder"):
            Tokenizer.load(tmp_path / "source.model")


def recipe(tmp_path: Path, folder: Path) -> Recipe:
    write_pairs(tmp_path / "pairs.tsv", 60, lambda letters: letters[::-1])
    settings = {
        "data": {"train": str(tmp_path / "pairs.tsv"), "dev_fraction": 0.2},
        "vocabulary": {"target": {"kind": "word", "size": 20}},
        "model": {"encoder": {"kind": "pretrained", "folder": str(folder)}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    return weft.recipe.load(tmp_path / "recipe.yaml")


def test_data_is_prepared_once_for_a_tokenizer_and_again_for_another(tmp_path: Path) -> None:
    one, other = write_bert(tmp_path / "one"), write_bert(tmp_path / "other", [*"fedcba"])
    settings = recipe(tmp_path, one)
    told: list[str] = []
    first = prepare(settings, source=Tokenizer.of(str(one)))
    again = prepare(settings, report=told.append, source=Tokenizer.of(str(one)))
    assert told == [] and again.source.model_bytes == first.source.model_bytes
    third = prepare(settings, report=told.append, source=Tokenizer.of(str(other)))
    assert told and third.fingerprint != first.fingerprint
    for data in (first, again, third):
        line = data.dev.source_text(0)
        assert data.source.pieces(data.dev.source(0)) == ["[CLS]", *line.split()]
        assert "source vocabulary of 15 pieces" in data.counts.report()
        assert data.counts.unknown_source == 0


def test_only_what_can_come_back_is_tried(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert")
    settings = recipe(tmp_path, folder)
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text(pairs.read_text().upper())
    assert prepare(settings, source=Tokenizer.of(str(folder))).counts.round_trip_failures == 0


def test_a_folder_that_is_none_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match=r"model\.encoder\.folder: \S+/nothing: no such folder"):
        Tokenizer.of(str(tmp_path / "nothing"))


def test_a_folder_without_an_encoder_is_told_of(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs weft[contextual]")
    with pytest.raises(WeftError, match=rf"{tmp_path} cannot be read as an encoder of transformers: \w"):
        Tokenizer.of(str(tmp_path))


def test_a_name_that_the_hub_does_not_give_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")

    def refuse(name: str, **options: object) -> None:
        assert options == {"local_files_only": False, "trust_remote_code": False}
        raise OSError("not there")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    told = "some/bert is no folder here, and cannot be read as an encoder of transformers: not there"
    with pytest.raises(WeftError, match=told):
        Tokenizer.of("some/bert")


@pytest.mark.parametrize("missing", ["transformers", "tokenizers"])
def test_without_transformers_the_extra_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    make = {"transformers": lambda: Tokenizer.of(str(tmp_path)), "tokenizers": lambda: Tokenizer(b"{}")}
    with pytest.raises(WeftError, match=r"transformers, which are not installed: pip install 'weft\[contextual\]'"):
        make[missing]()
