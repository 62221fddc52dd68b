"""CTranslate2 with weft's weights. Arguments: folder, compute type, workers (of as many threads as OpenMP is given)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drivers.sentences import Sentences
from benchmarks.turns import Turns, read_ids, read_work

BATCHES = (32, 64, 128, 256)  # sentences
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
Weights = Mapping[str, np.ndarray[Any, Any]]


def convert(work: dict[str, Any], weights: Weights, folder: Path) -> None:
    """Write a pre-norm Transformer with sinusoids and one shared embedding as a CTranslate2 model in float32."""
    from ctranslate2.specs import TransformerSpec

    spec = TransformerSpec.from_config((work["layers"], work["layers"]), work["heads"], pre_norm=True)
    embedding = weights["target_input.embedding.weight"]
    sinusoids = table(1024, work["width"])
    for side in (spec.encoder, spec.decoder):
        side.scale_embeddings = True
        side.position_encodings.encodings = sinusoids
    spec.encoder.embeddings[0].weight = embedding
    spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding
    spec.decoder.projection.bias = weights["output.projection.bias"]
    for side, name in ((spec.encoder, "encoder"), (spec.decoder, "decoder")):
        norm(side.layer_norm, weights, f"{name}.norm")
        for number, layer in enumerate(side.layer):
            fill(layer, weights, f"{name}.layers.{number}", name == "decoder")
    words = [str(number) for number in range(work["vocabulary"])]
    words[work["bos"]], words[work["eos"]], words[work["unk"]] = BEGIN, END, UNKNOWN
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = BEGIN, END, UNKNOWN
    spec.config.decoder_start_token, spec.config.add_source_eos = BEGIN, True
    spec.config.layer_norm_epsilon = 1e-5
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def fill(layer: Any, weights: Weights, name: str, decodes: bool) -> None:
    """One layer; of self-attention, queries, keys and values are one matrix."""
    own, around = ("self_attention", "around_self") if decodes else ("attention", "around")
    three, out = layer.self_attention.linear
    three.weight, three.bias = (
        np.concatenate([weights[f"{name}.{own}.{part}.{what}"] for part in ("query", "key_value")])
        for what in ("weight", "bias")
    )
    linear(out, weights, f"{name}.{own}.out")
    norm(layer.self_attention.layer_norm, weights, f"{name}.{around}.norm")
    if decodes:
        for part, into in zip(("query", "key_value", "out"), layer.attention.linear, strict=True):
            linear(into, weights, f"{name}.attention.{part}")
        norm(layer.attention.layer_norm, weights, f"{name}.around_attention.norm")
    linear(layer.ffn.linear_0, weights, f"{name}.feed_forward.wide")
    linear(layer.ffn.linear_1, weights, f"{name}.feed_forward.narrow")
    norm(layer.ffn.layer_norm, weights, f"{name}.feed_forward.around.norm")


def linear(into: Any, weights: Weights, name: str) -> None:
    into.weight, into.bias = weights[f"{name}.weight"], weights[f"{name}.bias"]


def norm(into: Any, weights: Weights, name: str) -> None:
    into.gamma, into.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def table(length: int, width: int) -> np.ndarray[Any, Any]:
    """Sines on even and cosines on odd dimensions, (length, width)."""
    angle = np.arange(length)[:, None] * np.exp(np.arange(0, width, 2) * (-np.log(10000.0) / width))
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(length, width).astype(np.float32)


def main(folder: Path, kind: str, workers: int) -> None:
    turns = Turns()
    import ctranslate2

    work = read_work(str(folder))
    target = folder / "ctranslate2"
    if not (target / "model.bin").exists():
        convert(work, np.load(folder / "weights.npz"), target)
    translator = ctranslate2.Translator(
        str(target), compute_type=kind, inter_threads=workers, intra_threads=int(os.environ["OMP_NUM_THREADS"])
    )
    longest = work["longest"]

    def translate(sentences: Sequence[list[str]], beam: int, batch: int) -> list[list[str]]:
        found = translator.translate_batch(
            sentences,
            max_batch_size=batch,
            beam_size=beam,
            length_penalty=1,
            max_decoding_length=longest,
            min_decoding_length=0,
            max_input_length=0,
        )
        return [one.hypotheses[0] for one in found]

    sentences = [[str(i) for i in ids] for ids in read_ids(folder / "test.source")]
    turns.serve(Sentences(sentences, work["single"], BATCHES, translate, work.get("timed")).decode)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
