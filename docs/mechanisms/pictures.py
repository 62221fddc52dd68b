"""Draw the attention of the ladder's runs for the pages, and write down what the ladder measured.

    python recipes/ladder/climb.py
    python docs/mechanisms/pictures.py runs/ladder "ein hund läuft durch den schnee ."

Every model that the folder has, such as runs/ladder/dot-1, translates the same sentence. What comes of it stands in the
pages under its marker, `<!-- picture: dot -->` or `<!-- measured: dot -->`; where a run or a result is not there, a
page stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

HERE = Path(__file__).parent
LADDER = HERE.parents[1] / "recipes" / "ladder"
MARKER = re.compile(r"^(<!-- (picture|measured): (\S+) -->)\n((?:(?!<!--)\S[^\n]*\n)*)", re.MULTILINE)
SAME_BUT_FOR_THIS = {"every": "plain", "feeding": "general", "coverage": "additive"}  # not the rung below

Content = Callable[[str], str | None]  # of a rung's name; None where there is nothing to say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder that climb.py filled, such as runs/ladder")
    parser.add_argument("line", help="a source sentence, as the models know them: lower-cased and tokenised")
    parser.add_argument("--pages", type=Path, default=HERE, help="the folder of the pages (this one)")
    options = parser.parse_args()
    results = options.runs / "results.json"
    measured = values(json.loads(results.read_text("utf-8"))) if results.exists() else {}
    for page in sorted(options.pages.glob("*.md")):
        text = page.read_text("utf-8")
        filled = fill(
            text,
            picture=lambda rung: draw(
                options.runs / f"{rung}-1", options.line, options.pages / f"attention-{rung}.png"
            ),
            measured=lambda rung: sentence(rung, measured),
        )
        if filled != text:
            page.write_text(filled, "utf-8")
            print(page)


def fill(page: str, **contents: Content) -> str:
    """The page with what belongs under its markers, in the place of what stood there before."""

    def with_content(found: re.Match[str]) -> str:
        content = contents[found[2]](found[3])
        return f"{found[1]}\n{found[4]}" if content is None else f"{found[1]}\n{content}\n"

    return MARKER.sub(with_content, page)


def draw(run: Path, line: str, path: Path) -> str | None:
    """The link to a picture of what the run's model looks at."""
    if not run.is_dir():
        return None
    import weft
    from weft.cli.look import example_of
    from weft.look.attention import draw_grid

    model = weft.load(run)
    (prediction,) = model.predict([line], attention=True)
    example = example_of(line, prediction, model.recipe.vocabulary.of_words)
    draw_grid([replace(example, title="")], path)
    return f"![What the rung {run.name.rpartition('-')[0]} looks at]({path.name})"


def values(results: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The score of each seed of each rung, from results.json."""
    found: dict[str, list[float]] = {}
    for result in results:
        found.setdefault(result["rung"], []).append(result["value"])
    return found


def sentence(rung: str, measured: Mapping[str, list[float]]) -> str | None:
    """What the ladder measured of a rung, and beside it of the one below."""
    if rung not in measured:
        return None
    base = yaml.safe_load((LADDER / "multi30k.yaml").read_text("utf-8"))
    entries = {entry["name"]: entry for entry in yaml.safe_load((LADDER / "rungs.yaml").read_text("utf-8"))}
    titles = {name: entry["title"] for name, entry in entries.items()}
    order = list(entries)
    below = ([None, *order])[order.index(rung)]
    beside = entries[rung].get("beside")
    without = SAME_BUT_FOR_THIS.get(rung)
    other = without or beside or below
    seeds = len(measured[rung])
    task = (
        f"Multi30k {base['source_language']}→{base['target_language']}, {base['training']['epochs']} epochs, "
        f"{'one seed' if seeds == 1 else f'mean of {seeds} seeds'}"
    )
    told = (
        f"{'Beside' if beside else 'In'} [our ladder](../../recipes/README.md#the-ladder) ({task}) "
        f"{'' if beside else 'the rung '}*{titles[rung]}* reaches {mean(measured[rung]):.1f} BLEU"
    )
    if other is None or other not in measured:
        return f"{told}."
    relation = "the same without it," if without else "the same with" if beside else "the rung below,"
    return f"{told}; {relation} *{titles[other]}*, {mean(measured[other]):.1f}."


if __name__ == "__main__":
    main()
