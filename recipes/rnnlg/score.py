"""BLEU and slot error of dialogue acts turned into sentences, by the protocol of the RNNLG toolkit.

    python recipes/rnnlg/score.py runs/rnnlg-restaurant data/rnnlg/restaurant.test.tsv.gz

Twenty sentences are searched for each act, ranked by their mean log10-probability less the open slots that are missing
or too many, and the best five are scored (`--best`). All sentences of the file with the same act, up to its values, are
the references of each of its lines, with that line's own values.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from math import exp, log
from pathlib import Path

from acts import Act, delexicalized, lexicalized, read_examples, slot_errors

import weft
from weft.data.lines import read_lines

SEARCHED = 20
NEVER_ZERO = 1e-7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a run's folder")
    parser.add_argument("file", help="acts and sentences as they come: DOMAIN.test.tsv.gz")
    parser.add_argument("--best", type=int, default=5, help="score so many sentences of each act (5)")
    options = parser.parse_args()
    domain = Path(options.file).name.partition(".")[0]
    examples = list(read_examples(read_lines(options.file)))
    references: dict[str, list[str]] = {}
    for act, sentence in examples:
        references.setdefault(act.features, []).append(sentence)
    ranked = ranked_sentences(options.model, {act.features: act for act, _ in examples})
    corpus, slots, errors, open_errors = [], 0, 0, 0
    for act, _ in examples:
        outputs = [lexicalized(sentence, act, domain) for sentence in ranked[act.features][: options.best]]
        corpus.append((outputs, [lexicalized(sentence, act, domain) for sentence in references[act.features]]))
        for output in outputs:
            counted = slot_errors(delexicalized(output, act), act)
            slots, errors, open_errors = slots + counted[0], errors + counted[1], open_errors + counted[2]
    print(f"{domain}, best {options.best} of {SEARCHED}: BLEU {bleu(corpus):.4f}, ", end="")
    print(f"slot error {100 * errors / slots:.2f} %, of open values {100 * open_errors / slots:.2f} % ", end="")
    print(f"({len(corpus):,} acts, {slots:,} slots)")


def ranked_sentences(folder: str, acts: dict[str, Act]) -> dict[str, list[str]]:
    """For each act, by its features, sentences without values, best first."""
    found = {}
    predictions = weft.load(folder).predict(acts, n_best=SEARCHED, beam=SEARCHED)
    for (features, act), prediction in zip(acts.items(), predictions, strict=True):
        outputs = [prediction, *prediction.alternatives]
        penalties = [slot_errors(output.text, act)[2] - output.score / log(10) for output in outputs]
        found[features] = [outputs[n].text for n in sorted(range(len(outputs)), key=penalties.__getitem__)]
    return found


def bleu(corpus: Iterable[tuple[Sequence[str], Sequence[str]]]) -> float:
    """BLEU-4 from 0 to 1 of (outputs, references): every output counts, and no n-gram at all is not quite zero."""
    matched, said = [0] * 4, [0] * 4
    length = wanted = 0
    for outputs, references in corpus:
        known = [[counts(reference, n) for reference in references] for n in range(1, 5)]
        lengths = [len(reference.split()) for reference in references]
        for output in outputs:
            size = len(output.split())
            length += size
            wanted += min(lengths, key=lambda one: abs(one - size))
            for n in range(4):
                grams = counts(output, n + 1)
                said[n] += sum(grams.values())
                matched[n] += sum(
                    min(count, max(ref.get(gram, 0) for ref in known[n])) for gram, count in grams.items()
                )
    brevity = 1.0 if length > wanted else exp(1 - wanted / length)
    precisions = [hits / (total + NEVER_ZERO) + NEVER_ZERO for hits, total in zip(matched, said, strict=True)]
    return brevity * exp(sum(map(log, precisions)) / 4)


def counts(sentence: str, n: int) -> dict[tuple[str, ...], int]:
    """How often each n-gram of words is there."""
    words = sentence.split()
    found: dict[tuple[str, ...], int] = {}
    for gram in zip(*(words[start:] for start in range(n)), strict=False):
        found[gram] = found.get(gram, 0) + 1
    return found


if __name__ == "__main__":
    main()
