"""Write what the recipes of this folder are trained on: acts and sentences without their values.

    python recipes/rnnlg/prepare.py                  # data/rnnlg/*.tsv.gz -> runs/rnnlg/*.tsv

Each row is an act, as `inform area=_1 name=_1`, and a sentence, as `SLOT_NAME is in SLOT_AREA`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from acts import read_examples

from weft.data.lines import read_lines
from weft.files import write_text

DOMAINS = ("restaurant", "hotel")
PARTS = ("train", "valid", "test")


def main(data: str = "data/rnnlg", out: str = "runs/rnnlg") -> None:
    Path(out).mkdir(parents=True, exist_ok=True)
    for domain in DOMAINS:
        for part in PARTS:
            examples = read_examples(read_lines(f"{data}/{domain}.{part}.tsv.gz"))
            rows = [f"{act.features}\t{sentence}\n" for act, sentence in examples]
            write_text(Path(out) / f"{domain}.{part}.tsv", "".join(rows))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
