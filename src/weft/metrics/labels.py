"""Labels: how many are right, and F1 over them. A line's units are its labels, in any order, or tags by place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product, zip_longest

from weft.recipe import GAP

Lines = Sequence[str]
References = Sequence[Sequence[str]]
NOTHING = "-"  # in a confusion, stands for a label that there is not


def tag_accuracy(hypotheses: Lines, references: References) -> float:
    """Percent of places whose tag is the first reference's; a place that only one of them has is wrong."""
    right = places = 0
    for hypothesis, alternatives in zip(hypotheses, references, strict=True):
        pairs = list(zip_longest(hypothesis.split(), alternatives[0].split()))
        right += sum(one == other for one, other in pairs)
        places += len(pairs)
    return 100 * right / places if places else 100.0


def first_accuracy(hypotheses: Lines, references: References) -> float:
    """Percent of lines whose first unit is that of the first reference: the line's own label before tags of words."""
    firsts = [
        (hypothesis.split()[:1], alternatives[0].split()[:1])
        for hypothesis, alternatives in zip(hypotheses, references, strict=True)
    ]
    return 100 * sum(one == other for one, other in firsts) / len(firsts)


def gap_accuracy(hypotheses: Lines, references: References) -> float:
    """Percent of gaps with the answer of the first reference; answers to several gaps stand between `GAP`."""
    right = gaps = 0
    for hypothesis, alternatives in zip(hypotheses, references, strict=True):
        said, wanted = ([answer.split() for answer in line.split(GAP)] for line in (hypothesis, alternatives[0]))
        right += sum(one == other for one, other in zip(said, wanted, strict=False))
        gaps += len(wanted)
    return 100 * right / gaps


def micro_f1(hypotheses: Lines, references: References) -> float:
    """100 * F1 of all labels together; with one label a line, the accuracy."""
    right, said, wanted = counts(hypotheses, references)
    return f1(right.total(), said.total(), wanted.total())


def macro_f1(hypotheses: Lines, references: References) -> float:
    """100 * the mean of F1 over the labels that were said or wanted; 100 where there are none."""
    right, said, wanted = counts(hypotheses, references)
    labels = said.keys() | wanted.keys()
    if not labels:
        return 100.0
    return sum(f1(right[label], said[label], wanted[label]) for label in labels) / len(labels)


def f1(right: int, said: int, wanted: int) -> float:
    return 100 * 2 * right / (said + wanted) if said + wanted else 100.0


def counts(hypotheses: Lines, references: References) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Of each label, how often it was right, said and wanted; twice in a line is once."""
    right: Counter[str] = Counter()
    said: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for ours, theirs in sets(hypotheses, references):
        right.update(ours & theirs)
        said.update(ours)
        wanted.update(theirs)
    return right, said, wanted


def sets(hypotheses: Lines, references: References) -> Iterator[tuple[set[str], set[str]]]:
    for hypothesis, alternatives in zip(hypotheses, references, strict=True):
        yield set(hypothesis.split()), set(alternatives[0].split())


def confusion_of_sets(hypotheses: Lines, references: References, most: int) -> tuple[list[str], list[list[int]]]:
    """As `confusion`, of lines that are sets of labels.

    A label that was wanted and said is on the diagonal. One that was missed counts against each that was said wrongly
    in its line, and where there was none against NOTHING, and so does one said wrongly where none was missed.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for ours, theirs in sets(hypotheses, references):
        pairs.update((label, label) for label in ours & theirs)
        missed, wrong = theirs - ours, ours - theirs
        if missed or wrong:
            pairs.update(product(missed or {NOTHING}, wrong or {NOTHING}))
    return matrix(pairs, most)


def confusion(hypotheses: Lines, references: References, most: int) -> tuple[list[str], list[list[int]]]:
    """The `most` most frequent units, and how often (row) each was wanted where (column) each was said, by place."""
    pairs: Counter[tuple[str, str]] = Counter()
    for hypothesis, alternatives in zip(hypotheses, references, strict=True):
        pairs.update(zip(alternatives[0].split(), hypothesis.split(), strict=False))
    return matrix(pairs, most)


def matrix(pairs: Counter[tuple[str, str]], most: int) -> tuple[list[str], list[list[int]]]:
    """The `most` most frequent units of pairs (wanted, said), sorted, and how often each pair of them is there."""
    units: Counter[str] = Counter()
    for pair, number in pairs.items():
        for unit in pair:
            units[unit] += number
    labels = sorted(label for label, _ in units.most_common(most))
    return labels, [[pairs[wanted, said] for said in labels] for wanted in labels]
