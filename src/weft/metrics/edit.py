"""Levenshtein distance, and which unit became which."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Operation:
    """One column of an alignment; `hypothesis` is None where a unit is missing, `reference` where one is too many."""

    kind: Literal["keep", "substitute", "insert", "delete"]
    hypothesis: Hashable | None
    reference: Hashable | None


def distance(hypothesis: Sequence[Hashable], reference: Sequence[Hashable]) -> int:
    """The least number of insertions, deletions and substitutions of units that make one sequence the other.

    A column of the dynamic programme is held as the bits of two integers, those of the cells one above and one below
    the cell before (Myers 1999; the recurrences are those of Hyyrö 2003, figure 7), so that a column costs a dozen
    operations whatever its length.
    """
    if hypothesis == reference:
        return 0
    if not hypothesis or not reference:
        return len(hypothesis) + len(reference)
    positions: dict[Hashable, int] = {}
    for position, unit in enumerate(reference):
        positions[unit] = positions.get(unit, 0) | 1 << position
    column = (1 << len(reference)) - 1
    bottom = 1 << (len(reference) - 1)
    up, down = column, 0
    edits = len(reference)
    for unit in hypothesis:
        match = positions.get(unit, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        right_up = down | ~(diagonal | up)
        right_down = diagonal & up
        if right_up & bottom:
            edits += 1
        elif right_down & bottom:
            edits -= 1
        right_up = right_up << 1 | 1
        up = (right_down << 1 | ~(diagonal | right_up)) & column
        down = right_up & diagonal & column
    return edits


def alignment(hypothesis: Sequence[Hashable], reference: Sequence[Hashable]) -> list[Operation]:
    """The operations, left to right, of one cheapest edit; all but the kept units count towards `distance`.

    Of several cheapest edits, the one that pairs units as early from the right end as it can.
    """
    table = [list(range(len(reference) + 1))]
    for row, unit in enumerate(hypothesis, start=1):
        above, here = table[-1], [row]
        for column, other in enumerate(reference, start=1):
            here.append(min(above[column - 1] + (unit != other), above[column] + 1, here[-1] + 1))
        table.append(here)
    operations = []
    row, column = len(hypothesis), len(reference)
    while row or column:
        cost = table[row][column]
        unit = hypothesis[row - 1] if row else None
        other = reference[column - 1] if column else None
        if row and column and cost == table[row - 1][column - 1] + (unit != other):
            operations.append(Operation("keep" if unit == other else "substitute", unit, other))
            row, column = row - 1, column - 1
        elif row and cost == table[row - 1][column] + 1:
            operations.append(Operation("insert", unit, None))
            row -= 1
        else:
            operations.append(Operation("delete", None, other))
            column -= 1
    return operations[::-1]
