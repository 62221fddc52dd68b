"""Perplexity, length agreement, and twenty lines with what a model lets follow them.

    python recipes/poems.py runs/poems data/poems/test.tsv.gz

Length agreement is the part of outputs that have as many characters as their line. The twenty are evenly spread over
the file, and printed as line, output, and the line that follows in the poem.
"""

from __future__ import annotations

import sys

import weft
from weft.data.read import read_pairs
from weft.tasks.scored import perplexity

SHOWN = 20


def main(folder: str, file: str) -> None:
    model = weft.load(folder)
    pairs = list(read_pairs(file, model.recipe.data.columns))
    scored = model.score(pairs)
    tokens = sum(len(one.token_scores) for one in scored)
    ends = sum(one.token_scores[-1] for one in scored)
    said = sum(one.log_probability for one in scored)
    print(f"perplexity {perplexity(said, tokens):.2f} with the ends of lines, ", end="")
    print(f"{perplexity(said - ends, tokens - len(pairs)):.2f} of characters alone ", end="")
    print(f"({len(pairs):,} lines, {sum(one.unknown for one in scored)} characters unknown)")
    outputs = [prediction.text for prediction in model.predict([line for line, _ in pairs])]
    agree = sum(len(output.split()) == len(line.split()) for output, (line, _) in zip(outputs, pairs, strict=True))
    print(f"length agreement {100 * agree / len(pairs):.2f} %")
    for place in range(0, len(pairs), max(1, len(pairs) // SHOWN)):
        print(" | ".join(text.replace(" ", "") for text in (pairs[place][0], outputs[place], pairs[place][1])))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
