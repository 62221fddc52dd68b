"""JoeyNMT's own training loop, or its search with weft's weights.

Arguments: folder, then `training` and a model, or `decoding`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.drivers.sentences import Sentences
from benchmarks.turns import StepTurns, Turns, read_ids, read_work

BATCHES = (64, 128)  # sentences
SPECIAL = {"unk": "<unk>", "pad": "<pad>", "bos": "<s>", "eos": "</s>"}
LAYER = {
    "self_attention.query": "src_src_att.q_layer",
    "self_attention.out": "src_src_att.output_layer",
    "around_self.norm": "layer_norm",
    "feed_forward.wide": "feed_forward.pwff_layer.0",
    "feed_forward.narrow": "feed_forward.pwff_layer.3",
    "feed_forward.around.norm": "feed_forward.layer_norm",
}
DECODER_LAYER = LAYER | {
    "self_attention.query": "trg_trg_att.q_layer",
    "self_attention.out": "trg_trg_att.output_layer",
    "around_self.norm": "x_layer_norm",
    "attention.query": "src_trg_att.q_layer",
    "attention.out": "src_trg_att.output_layer",
    "around_attention.norm": "dec_layer_norm",
}
ENCODER_NAMES = {"attention": "self_attention", "around": "around_self"}


def words(work: dict[str, Any]) -> list[str]:
    found = [str(number) for number in range(work["vocabulary"])]
    for name, sign in SPECIAL.items():
        found[work[name]] = sign
    return found


def model(work: dict[str, Any], name: str) -> dict[str, Any]:
    """The configuration's section of the same model as weft's."""
    if name == "transformer":
        stack = {
            "type": "transformer", "num_layers": work["layers"], "num_heads": work["heads"],
            "hidden_size": work["width"], "ff_size": work["feed_forward"], "dropout": work["dropout"],
            "layer_norm": "pre", "activation": "relu",
            "embeddings": {"embedding_dim": work["width"], "scale": True, "dropout": work["dropout"]},
        }  # fmt: skip
        return {"encoder": stack, "decoder": stack} | SHARED
    width, cell = work["recurrent"], name.split("_")[0]
    common = {"type": "recurrent", "rnn_type": cell, "num_layers": 1, "dropout": work["dropout"]} | {
        "embeddings": {"embedding_dim": width, "scale": False, "dropout": work["dropout"]}
    }
    attention = "bahdanau" if "additive" in name else "luong"
    more = {"input_feeding": "_" in name, "init_hidden": "bridge", "attention": attention}
    return {
        "encoder": common | {"hidden_size": width // 2, "bidirectional": True},
        "decoder": common | {"hidden_size": width, "hidden_dropout": work["dropout"]} | more,
    } | SHARED


SHARED = {
    "initializer": "xavier_uniform", "bias_initializer": "zeros", "embed_initializer": "xavier_uniform",
    "tied_embeddings": True, "tied_softmax": True,
}  # fmt: skip


def configuration(folder: Path, work: dict[str, Any], name: str) -> dict[str, Any]:
    """Batches of as many pairs as weft's have on average, for it does not put like lengths together."""
    batches = json.loads((folder / "batches.json").read_text("utf-8"))
    vocabulary = folder / "joeynmt.vocabulary"
    if not vocabulary.exists():
        ordinary = [word for word in words(work) if word not in SPECIAL.values()]
        vocabulary.write_text("".join(f"{word}\n" for word in [*SPECIAL.values(), *ordinary]), "utf-8")
    side = {"max_length": 512, "lowercase": False, "normalize": False, "level": "word", "voc_file": str(vocabulary)}
    ids = {f"{sign}_id": place for place, sign in enumerate(SPECIAL)} | {
        f"{sign}_token": token for sign, token in SPECIAL.items()
    }
    files = {part: str(folder / "train") for part in ("train", "dev")}
    return {
        "name": name,
        "model_dir": str(folder / "joeynmt" / name),
        "use_cuda": False,
        "fp16": False,
        "random_seed": 1,
        "data": files
        | {
            "dataset_type": "plain",
            "src": side | {"lang": "source"},
            "trg": side | {"lang": "target"},
            "special_symbols": ids,
            "sample_dev_subset": 10,
        },
        "testing": {"n_best": 1, "beam_size": 1, "batch_size": 10, "batch_type": "sentence", "max_output_length": 60},
        "training": {
            "optimizer": "adam", "adam_betas": [0.9, 0.98], "learning_rate": 0.0005, "learning_rate_min": 1e-9,
            "scheduling": "exponential", "decrease_factor": 0.99, "loss": "crossentropy",
            "label_smoothing": work["smoothing"], "clip_grad_norm": 1.0, "normalization": "tokens",
            "batch_size": round(sum(map(len, batches)) / len(batches)), "batch_type": "sentence",
            "epochs": 1000, "updates": 1000000, "validation_freq": 1000000, "logging_freq": 1000000,
            "early_stopping_metric": "loss", "shuffle": True, "overwrite": True, "print_valid_sents": [],
            "keep_best_ckpts": 1,
        },
        "model": model(work, name),
    }  # fmt: skip


def train(turns: Turns, folder: Path, name: str) -> None:
    import joeynmt.__main__
    from joeynmt.training import TrainManager

    steps = StepTurns(turns)
    file = folder / f"joeynmt-{name}-{os.getpid()}.json"
    file.write_text(json.dumps(configuration(folder, read_work(str(folder)), name)), "utf-8")
    step = TrainManager._train_step

    def counted(self: Any, batch: Any) -> Any:
        steps.add(int(batch.ntokens))
        return step(self, batch)

    TrainManager._train_step = counted
    steps.follow_optimizers()
    sys.argv = ["joeynmt", "train", str(file), "--skip-test"]
    joeynmt.__main__.main()


def decode(turns: Turns, folder: Path) -> None:
    import torch
    from joeynmt.model import build_model
    from joeynmt.search import beam_search, greedy
    from joeynmt.vocabulary import Vocabulary

    work = read_work(str(folder))
    settings = configuration(folder, work, "transformer")
    ordinary = [word for word in words(work) if word not in SPECIAL.values()]
    special = SimpleNamespace(**settings["data"]["special_symbols"], sep_token=None, sep_id=None, lang_tags=[])
    vocabulary = Vocabulary(ordinary, special)
    network = build_model(settings["model"], src_vocab=vocabulary, trg_vocab=vocabulary).eval()
    rows = [work[sign] for sign in SPECIAL] + [int(word) for word in ordinary]
    put(network, np.load(folder / "weights.npz"), rows)

    @torch.inference_mode()
    def translate(sentences: Sequence[list[int]], beam: int, batch: int) -> list[list[str]]:
        said: list[list[str]] = [[] for _ in sentences]
        order = sorted(range(len(sentences)), key=lambda n: -len(sentences[n]))
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            lengths = torch.tensor([len(sentences[n]) + 1 for n in places])
            source = torch.full((len(places), int(lengths.max())), network.pad_index)
            for row, n in enumerate(places):
                source[row, : len(sentences[n]) + 1] = torch.tensor([*(number[i] for i in sentences[n]), end])
            mask = (source != network.pad_index).unsqueeze(1)
            memory, hidden, _, _ = network(return_type="encode", src=source, src_length=lengths, src_mask=mask)
            if beam == 1:
                found, _, _ = greedy(mask, work["longest"] + 1, network, memory, hidden)
            else:
                found, _, _ = beam_search(network, beam, memory, hidden, mask, work["longest"] + 1, 1.0)
            for place, ids in zip(places, found.tolist(), strict=True):
                ids = ids[: ids.index(end)] if end in ids else ids
                said[place] = [str(rows[i]) for i in ids]
        return said

    number = {row: place for place, row in enumerate(rows)}
    end = number[work["eos"]]
    turns.serve(Sentences(read_ids(folder / "test.source"), work["single"], BATCHES, translate).decode)


def put(network: Any, weights: Any, rows: list[int]) -> None:
    """weft's weights by JoeyNMT's names; its vocabulary has other numbers, `rows` are ours in its order."""
    import torch

    named = {f"{side}_embed.lut.weight": weights["target_input.embedding.weight"][rows] for side in ("src", "trg")} | {
        "decoder.output_layer.weight": weights["target_input.embedding.weight"][rows]
    }
    for name in weights.files:
        side, _, rest = name.partition(".")
        if side not in ("encoder", "decoder"):
            continue
        part, _, what = rest.rpartition(".")
        if part == "norm":
            named[f"{side}.layer_norm.{what}"] = weights[name]
            continue
        _, number, part = part.split(".", 2)
        if side == "encoder" and not part.startswith("feed_forward"):
            first, _, more = part.partition(".")
            part = f"{ENCODER_NAMES[first]}.{more}"
        names, layer = DECODER_LAYER if side == "decoder" else LAYER, f"{side}.layers.{number}"
        if part.endswith("key_value"):
            attention = names[part.replace("key_value", "query")].removesuffix("q_layer")
            for key, half in zip("kv", np.split(weights[name], 2), strict=True):
                named[f"{layer}.{attention}{key}_layer.{what}"] = half
        else:
            named[f"{layer}.{names[part]}.{what}"] = weights[name]
    tensors = {name: torch.from_numpy(array) for name, array in named.items()}
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    if unexpected or [name for name in missing if not name.endswith("pe.pe")]:
        raise ValueError(f"weights that do not fit: {missing} {unexpected}")


WORK: dict[str, Callable[..., None]] = {"training": train, "decoding": decode}

if __name__ == "__main__":
    WORK[sys.argv[2]](Turns(), Path(sys.argv[1]), *sys.argv[3:])
