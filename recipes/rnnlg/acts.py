"""Dialogue acts and sentences as the RNNLG toolkit reads them (Wen et al. 2015; github.com/shawnwun/RNNLG, loader/).

An act such as `inform(name='forbes island';kidsallowed=no)` is what it does and pairs of a slot and a value. Values
that can be any text are taken out of the act and its sentence, and put back into what a model says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

SPECIAL = {"none": "none", "true": "yes", "yes": "yes", "false": "no", "no": "no"}
SPECIAL |= {"dontcare": "dontcare", "dont_care": "dontcare"}
ASKED = "?"  # the value of a slot that is asked for
OPEN = "_"  # stands for a value that can be any text
UNSCORED = ("?select", "suggest")  # acts whose slots are not counted

COUNTED = (
    "address",
    "area",
    "count",
    "food",
    "goodformeal",
    "name",
    "near",
    "phone",
    "postcode",
    "price",
    "pricerange",
)
TOLD_BY = {
    "kidsallowed": ("child", "kid", "kids", "children"),
    "dogsallowed": ("dog", "dogs", "puppy"),
    "hasinternet": ("internet", "wifi"),
    "acceptscreditcards": ("card", "cards"),
    "isforbusinesscomputing": ("business", "nonbusiness", "home", "personal", "general"),
    "hasusbport": ("usb",),
}

PLURALS = ["restaurant", "hotel", "venue", "place", "card", "requirement", "include", "specification", "location"]
ADVERBS = ["typical", "certain", "actual", "total", "definite"]
REWRITTEN = {f"{word}s": f"{word} -s" for word in PLURALS} | {f"{word}ly": f"{word} -ly" for word in ADVERBS}
REWRITTEN |= {"children": "child -s", "teh": "the", "st": "street", "ave": "avenue", "pricerange": "price range"}
REWRITTEN |= {"doesn't": "does not", "don't": "do not", "wasn't": "was not", "can't": "cannot"}
REWRITTEN |= {"there's": "there is", "what's": "what is", ". .": "."}


@dataclass(frozen=True)
class Act:
    kind: str  # inform, ?request, ...
    slots: tuple[tuple[str, str], ...]  # slot, value

    @property
    def features(self) -> str:
        """The act without its open values, slots sorted: `inform kidsallowed=no name=_1`; what a model is given."""
        seen: Counter[str] = Counter()
        found = []
        for slot, value in self.slots:
            if is_open(value):
                seen[slot] += 1
                value = f"{OPEN}{seen[slot]}"
            found.append((slot, value))
        return " ".join([self.kind, *(f"{slot}={value}" for slot, value in sorted(found))])


def read_act(text: str) -> Act:
    kind, _, rest = text.partition("(")
    slots = []
    for part in rest.split("(")[0].replace(")", "").split(";"):
        if part:
            slot, equals, value = (side.strip("'\"") for side in part.partition("="))
            slots.append((slot.replace("_", "").replace(" ", ""), SPECIAL.get(value, value) if equals else ASKED))
    return Act(kind, tuple(slots))


def is_open(value: str) -> bool:
    return value != ASKED and value not in SPECIAL.values()


def normalized(sentence: str) -> str:
    """Lower case, single spaces, punctuation apart, endings apart; of the toolkit's table, the words of this data."""
    text = sentence.lower().strip()
    text = " ".join(re.sub(r"(?<!\d)([?.,!])|([?.,!])(?!\d)", r" \1\2 ", text).split())
    text = re.sub(r"^'|'$", "", text)
    text = re.sub(r"'\s|\s'", " ", text)
    for word, other in REWRITTEN.items():
        text = f" {text} ".replace(f" {word} ", f" {other} ")[1:-1]
    return " ".join(text.replace("'s", " 's ").split())


def delexicalized(sentence: str, act: Act) -> str:
    """The sentence with SLOT_NAME for the name and so on, longest values first; what is not found stays."""
    for slot, value in sorted(act.slots, key=lambda pair: -len(pair[1])):
        if not is_open(value):
            continue
        parts = value.replace(" or ", " and ").split(" and ")
        orders = [between.join(order) for between in (" and ", " or ") for order in permutations(parts)]
        if found := next((order for order in orders if order in sentence), None):
            sentence = f" {sentence} ".replace(f" {found} ", f" {slot_token(slot)} ", 1)[1:-1]
    return sentence


def lexicalized(sentence: str, act: Act, domain: str) -> str:
    """The sentence with the act's values; SLOT_TYPE becomes the domain, and a slot that the act lacks stays."""
    for slot, value in sorted(act.slots, key=lambda pair: -len(pair[0])):
        if is_open(value):
            sentence = f" {sentence} ".replace(f" {slot_token(slot)} ", f" {value} ", 1)[1:-1]
    return f" {sentence} ".replace(" SLOT_TYPE ", f" {domain} ")[1:-1]


def slot_token(slot: str) -> str:
    return f"SLOT_{slot.upper()}"


def slot_errors(sentence: str, act: Act) -> tuple[int, int, int]:
    """Of a sentence without values: the act's slots, those missing or too many, and of these those of open values.

    A slot that is not open is told by keywords, an approximation of the toolkit's (`TOLD_BY`).
    """
    if act.kind in UNSCORED:
        return 0, 0, 0
    words = Counter(sentence.split())
    of_open = Counter(slot for slot, value in act.slots if is_open(value))
    of_special = Counter(slot for slot, value in act.slots if not is_open(value) and value != ASKED)
    open_errors = sum(abs(of_open[slot] - words[slot_token(slot)]) for slot in COUNTED)
    special_errors = sum(abs(of_special[slot] - sum(words[word] for word in told)) for slot, told in TOLD_BY.items())
    slots = sum(of_open[slot] for slot in COUNTED) + sum(of_special[slot] for slot in TOLD_BY)
    return slots, open_errors + special_errors, open_errors


def read_examples(lines: Iterable[str]) -> Iterator[tuple[Act, str]]:
    """Each act with its sentence without values, of lines `act TAB sentence`."""
    for line in lines:
        text, _, sentence = line.partition("\t")
        act = read_act(text)
        yield act, delexicalized(normalized(sentence), act)
