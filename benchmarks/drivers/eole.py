"""eole's own training loop. Arguments: folder, model."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.turns import StepTurns, Turns, read_work


def model(work: dict[str, Any], name: str) -> dict[str, Any]:
    """The configuration's section of the same model as weft's; its recurrent decoders always feed back."""
    if name == "transformer":
        return {
            "architecture": "transformer",
            "hidden_size": work["width"],
            "share_decoder_embeddings": True,
            "share_embeddings": True,
            "layers": work["layers"],
            "heads": work["heads"],
            "transformer_ff": work["feed_forward"],
            "embeddings": {"word_vec_size": work["width"], "position_encoding_type": "SinusoidalInterleaved"},
        }
    width, cell = work["recurrent"], name.split("_")[0].upper()
    common = {"rnn_type": cell, "layers": 1, "hidden_size": width}
    attention = "mlp" if "additive" in name else "general"
    return {
        "architecture": "custom",
        "hidden_size": width,
        "share_decoder_embeddings": True,
        "share_embeddings": True,
        "embeddings": {"word_vec_size": width, "position_encoding_type": None},
        "encoder": common | {"encoder_type": "brnn"},
        "decoder": common | {"decoder_type": "rnn", "global_attention": attention, "bidirectional_encoder": True},
    }


def configuration(folder: Path, work: dict[str, Any], name: str) -> dict[str, Any]:
    vocabulary = folder / "eole.vocabulary"
    special = {work[sign] for sign in ("pad", "unk", "bos", "eos")}
    vocabulary.write_text(
        "".join(f"{number}\t1\n" for number in range(work["vocabulary"]) if number not in special), "utf-8"
    )
    pairs = len((folder / "train.source").read_text("utf-8").splitlines())  # or it reads them again and again
    files = {"path_src": str(folder / "train.source"), "path_tgt": str(folder / "train.target")}
    return {
        "save_data": str(folder / "eole" / "data"),
        "overwrite": True,
        "seed": 1,
        "report_every": 1000000,
        "src_vocab": str(vocabulary),
        "tgt_vocab": str(vocabulary),
        "src_vocab_size": work["vocabulary"],
        "tgt_vocab_size": work["vocabulary"],
        "vocab_size_multiple": 1,
        "share_vocab": True,
        "n_sample": 0,
        "data": {"corpus": files, "valid": files},
        "training": {
            "model_path": str(folder / "eole" / name), "keep_checkpoint": 1, "save_checkpoint_steps": 1000000,
            "train_steps": 1000000, "valid_steps": 1000000, "bucket_size": pairs, "num_workers": 0,
            "world_size": 1, "gpu_ranks": [], "batch_type": "tokens", "batch_size": work["batch_tokens"],
            "batch_size_multiple": 1, "accum_count": [1], "accum_steps": [0], "dropout_steps": [0],
            "dropout": [work["dropout"]], "attention_dropout": [0.0], "compute_dtype": "fp32", "optim": "adam",
            "learning_rate": 0.0005, "decay_method": "none", "adam_beta2": 0.98, "max_grad_norm": 1.0,
            "label_smoothing": work["smoothing"], "param_init_method": "xavier_uniform", "normalization": "tokens",
            "log_attention_entropy": False,
        },
        "model": model(work, name),
    }  # fmt: skip


def main(folder: Path, name: str) -> None:
    turns = Turns()
    from eole.bin.main import main as run
    from eole.utils.loss import LossCompute

    steps = StepTurns(turns)
    file = folder / f"eole-{name}-{os.getpid()}.json"
    file.write_text(json.dumps(configuration(folder, read_work(str(folder)), name)), "utf-8")
    forward = LossCompute.forward

    def counted(self: Any, batch: Any, *arguments: Any, **more: Any) -> Any:
        steps.add(int(batch["tgt"][:, self.tgt_shift_index :].ne(self.padding_idx).sum()))
        return forward(self, batch, *arguments, **more)

    LossCompute.forward = counted
    steps.follow_optimizers()
    sys.argv = ["eole", "train", "-config", str(file)]
    run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
