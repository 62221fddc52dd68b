"""Tiny encoders of Hugging Face transformers with tokenizers of their own, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from learning import LETTERS

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SHAPE: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}


def tokenizer(words: list[str], **options: Any) -> Any:
    """Of whole words, with a habit of its own to cut at 5 pieces and to pad, which is not to be heard."""
    transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate([*SPECIAL, *words])}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_truncation(5)
    made.enable_padding(length=5)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **{**names, **options})


def write_bert(folder: Path, words: list[str] | None = None, positions: int = 20, seed: int = 3) -> Path:
    """A BERT of two layers of width 16, with random weights and dropout, as `save_pretrained` writes it."""
    transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")
    words = list(LETTERS) if words is None else words
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = transformers.BertConfig(
            vocab_size=len(SPECIAL) + len(words), max_position_embeddings=positions, **SHAPE
        )
        transformers.BertForMaskedLM(config).save_pretrained(folder)
    tokenizer(words).save_pretrained(folder)
    return folder
