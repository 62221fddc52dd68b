"""weft's search, from lines to text. Arguments: folder; weights, and the models that answer as one (float32, model)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.drivers.sentences import Sentences
from benchmarks.turns import Turns, read_work

if TYPE_CHECKING:
    from weft.models.product import Weights

BATCH_TOKENS = (1024, 2048, 4096)


def main(folder: Path, weights: Weights = "float32", *models: str) -> None:
    turns = Turns()
    from weft.tasks.text import load

    model = load(models or [folder / "model"], weights=weights)
    numbers = {piece: str(number) for number, piece in enumerate(model.target.pieces(range(model.target.size)))}

    def translate(lines: Sequence[str], beam: int, batch: int) -> list[list[str]]:
        said = model.predict(lines, beam=beam, batch_tokens=max(batch, 64))
        return [[numbers[piece] for piece in one.tokens] for one in said]

    lines = (folder / "lines.txt").read_text("utf-8").splitlines()
    work = read_work(str(folder))
    decoder = Sentences(lines, work["single"], BATCH_TOKENS, translate, work.get("timed"))
    translate(lines[:4], 2, 1024)
    turns.serve(decoder.decode)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])  # type: ignore[arg-type]
