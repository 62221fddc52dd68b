"""Transformers' M2M100, which has weft's shape. Arguments: folder, then `training` or `decoding`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drivers.ctranslate2 import table
from benchmarks.drivers.sentences import Sentences
from benchmarks.turns import Turns, read_ids, read_work

BATCHES = (64, 128)  # sentences
LAYER = {
    "self_attention.out": "self_attn.out_proj",
    "self_attention.query": "self_attn.q_proj",
    "attention.out": "encoder_attn.out_proj",
    "attention.query": "encoder_attn.q_proj",
    "around_self.norm": "self_attn_layer_norm",
    "around_attention.norm": "encoder_attn_layer_norm",
    "feed_forward.wide": "fc1",
    "feed_forward.narrow": "fc2",
    "feed_forward.around.norm": "final_layer_norm",
}
ENCODER_LAYER = {"attention": "self_attention", "around.norm": "around_self.norm"}


def model(work: dict[str, Any]) -> Any:
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    config = M2M100Config(
        vocab_size=work["vocabulary"],
        d_model=work["width"],
        dropout=work["dropout"],
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="relu",
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        scale_embedding=True,
        max_position_embeddings=1024,
        pad_token_id=work["pad"],
        bos_token_id=work["bos"],
        eos_token_id=work["eos"],
        decoder_start_token_id=work["bos"],
        **{f"{side}_layers": work["layers"] for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": work["heads"] for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": work["feed_forward"] for side in ("encoder", "decoder")},
    )
    return M2M100ForConditionalGeneration(config)


def put(network: Any, weights: Any, work: dict[str, Any]) -> None:
    """weft's weights by M2M100's names, and sinusoids where they begin after the padding's place."""
    import torch

    named = {"model.shared.weight": weights["target_input.embedding.weight"]}
    for name in weights.files:
        side, _, rest = name.partition(".")
        if side not in ("encoder", "decoder"):
            continue
        part, _, what = rest.rpartition(".")
        if part == "norm":
            named[f"model.{side}.layer_norm.{what}"] = weights[name]
            continue
        _, number, part = part.split(".", 2)
        if side == "encoder" and not part.startswith("feed_forward"):
            before = "around.norm" if part == "around.norm" else "attention"
            part = part.replace(before, ENCODER_LAYER[before], 1)
        layer = f"model.{side}.layers.{number}"
        if part.endswith("key_value"):
            attention = LAYER[part.replace("key_value", "query")].removesuffix("q_proj")
            for key, half in zip("kv", np.split(weights[name], 2), strict=True):
                named[f"{layer}.{attention}{key}_proj.{what}"] = half
        else:
            named[f"{layer}.{LAYER[part]}.{what}"] = weights[name]
    missing, unexpected = network.load_state_dict({k: torch.from_numpy(v) for k, v in named.items()}, strict=False)
    wanted = [name for name in missing if "embed_" not in name and name != "lm_head.weight"]
    if wanted or unexpected:
        raise ValueError(f"weights that do not fit: {wanted} {unexpected}")
    network.tie_weights()
    for side in (network.model.encoder, network.model.decoder):
        positions = side.embed_positions.weights
        first = work["pad"] + 1
        positions[first:] = torch.from_numpy(table(len(positions) - first, work["width"]))


def decode(turns: Turns, folder: Path) -> None:
    import torch

    work = read_work(str(folder))
    network = model(work).eval()
    put(network, np.load(folder / "weights.npz"), work)
    special = {work["pad"], work["bos"], work["eos"]}

    @torch.inference_mode()
    def translate(sentences: Sequence[list[int]], beam: int, batch: int) -> list[list[str]]:
        said: list[list[str]] = [[] for _ in sentences]
        order = sorted(range(len(sentences)), key=lambda n: -len(sentences[n]))
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            source = padded([[*sentences[n], work["eos"]] for n in places], work["pad"])
            found = network.generate(
                input_ids=source,
                attention_mask=(source != work["pad"]).long(),
                num_beams=beam,
                do_sample=False,
                max_new_tokens=work["longest"] + 1,
                early_stopping=beam > 1,
            )
            for place, ids in zip(places, found.tolist(), strict=True):
                said[place] = [str(i) for i in ids if i not in special]
        return said

    sentences = read_ids(folder / "test.source")
    turns.serve(Sentences(sentences, work["single"], BATCHES, translate).decode)


def padded(sentences: Sequence[list[int]], pad: int) -> Any:
    import torch

    longest = max(map(len, sentences))
    return torch.tensor([ids + [pad] * (longest - len(ids)) for ids in sentences])


def train(turns: Turns, folder: Path) -> None:
    from benchmarks.drivers.plain import Loop

    def scores(network: Any, source: Any, fed: Any, work: dict[str, Any]) -> Any:
        mask = (source != work["pad"]).long()
        return network(input_ids=source, attention_mask=mask, decoder_input_ids=fed, use_cache=False).logits

    turns.serve(Loop(folder, model(read_work(str(folder))), scores).steps)


WORK: dict[str, Callable[..., None]] = {"training": train, "decoding": decode}

if __name__ == "__main__":
    WORK[sys.argv[2]](Turns(), Path(sys.argv[1]))
