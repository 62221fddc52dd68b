"""The English captions of Multi30k that have at most 10 words: python recipes/captions/short.py

Writes <out>/{train,dev,test}.tsv, lower-cased and tokenised, each caption once.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

PARTS = {"train": "train", "dev": "val", "test": "test_2016_flickr"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, default=Path("data/multi30k/tok"), help="folder of the files *.en.gz")
    parser.add_argument("--out", type=Path, default=Path("data/captions"))
    parser.add_argument("--words", type=int, default=10, help="the most that a caption has, marks counted")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for part, name in PARTS.items():
        lines = gzip.decompress((options.text / f"{name}.lc.norm.tok.en.gz").read_bytes()).decode().splitlines()
        short = dict.fromkeys(line for line in lines if len(line.split()) <= options.words)
        (options.out / f"{part}.tsv").write_text("".join(f"{line}\n" for line in short), "utf-8")
        print(f"{options.out / part}.tsv: {len(short):,} of {len(lines):,} captions")


if __name__ == "__main__":
    main()
