"""A decoder started from a language model against one from scratch, on few pairs: trained, scored and drawn.

    python recipes/start/compare.py

Needs Multi30k under data/ (recipes/README.md). Runs, start.md and start.png go to runs/start; stopped, it goes on.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import weft
from weft.data.lines import read_lines
from weft.data.read import read_pairs
from weft.files import write_text
from weft.look.canvas import ACCENT, INK, QUIET, SECOND, new_figure, save, style
from weft.look.curves import read_log
from weft.tasks.evaluate import evaluate, items

HERE = Path(__file__).resolve().parent
OUT = Path("runs/start")
PAIRS = 2000
FROM = f"start.decoder={OUT / 'lm'}"
WAYS: dict[str, tuple[str, list[str]]] = {  # title, settings
    "scratch": ("from scratch", []),
    "started": ("decoder from the language model", [FROM]),
    "same": ("decoder and vocabulary from it", [FROM, f"start.target_vocabulary={OUT / 'lm'}"]),
}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for language in ("de", "en"):
        lines = islice(read_lines(f"data/multi30k/tok/train.lc.norm.tok.{language}.gz"), PAIRS)
        write_text(OUT / f"few.{language}", "".join(f"{line}\n" for line in lines))
    weft.train(HERE / "language-model.yaml", "name=lm", f"out={OUT}")
    rows = ["| decoder | BLEU, development | BLEU, test |", "|---|---|---|"]
    for name, (title, settings) in WAYS.items():
        model = weft.train(HERE / "translate.yaml", f"name={name}", f"out={OUT}", *settings)
        data = model.recipe.data
        assert data.test is not None
        found = evaluate(model, items(read_pairs(data.test, data.columns), False), ["bleu_tokenized"])
        rows.append(f"| {title} | {max(value for _, value in curve(name)):.2f} | {found.scores[0].value:.2f} |")
    write_text(OUT / "start.md", "\n".join(rows) + "\n")
    draw()
    print("\n".join(rows))


def curve(name: str) -> list[tuple[int, float]]:
    """BLEU on the development set by step."""
    records = read_log(OUT / name / "log.jsonl")
    return [
        (record["step"], record["scores"]["bleu_tokenized"]) for record in records if record["event"] == "validation"
    ]


def draw() -> None:
    figure = new_figure(6.0, 3.8)
    axes = figure.subplots()
    for (name, (title, _)), color in zip(WAYS.items(), (SECOND, ACCENT, QUIET), strict=True):
        steps, values = zip(*curve(name), strict=True)
        axes.plot(steps, values, color=color, linewidth=1.8, marker="o", markersize=4, label=title)
    style(axes, f"BLEU on the development set, {PAIRS:,} pairs")
    axes.set_xlabel("steps", fontsize=8.5, color=QUIET)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    figure.tight_layout(pad=1.4)
    save(figure, OUT / "start.png")


if __name__ == "__main__":
    main()
