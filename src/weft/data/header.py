"""Whether the first row of a TSV or CSV file names its columns, where nobody has said so."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

LOOKED_AT = 100  # rows after the first
RUNNING = 10  # characters, on average, of what is more than words
ROLES = {
    ("source", "target"),
    ("src", "tgt"),
    ("src", "trg"),
    ("input", "output"),
    ("word", "pronunciation"),
    ("word", "phonemes"),
    ("grapheme", "phoneme"),
    ("graphemes", "phonemes"),
    ("question", "answer"),
    ("prompt", "response"),
    ("text", "label"),
    ("text", "labels"),
    ("text", "summary"),
}
CODES_AND_NAMES = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg
ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn
no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta
te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
arabic bengali bulgarian catalan chinese croatian czech danish dutch english estonian farsi finnish french german
greek hebrew hindi hungarian icelandic indonesian irish italian japanese korean latin latvian lithuanian malay
norwegian persian polish portuguese romanian russian serbian slovak slovenian spanish swahili swedish tamil thai
turkish ukrainian urdu vietnamese welsh
"""
LANGUAGES = frozenset(CODES_AND_NAMES.split())


def is_header(source: str, target: str, backward: bool, following: Iterator[tuple[str, str]]) -> bool:
    """Whether two cells name what is below them: the two sides of a pair, or two languages over lines of text.

    Names of languages may be words as well (`to` and `zu`), so they are a header only where what follows is longer
    than words and no other row is like the first. `backward`: the source stands after the target.
    """
    names = source.lower(), target.lower()
    if names in ROLES or (backward and names[::-1] in ROLES):
        return True
    if not are_languages(*names):
        return False
    rows = list(islice(following, LOOKED_AT))
    letters = sum(len(one) + len(other) for one, other in rows)
    return letters >= 2 * RUNNING * max(1, len(rows)) and not any(are_languages(*row) for row in rows)


def are_languages(one: str, other: str) -> bool:
    """Two different ones, perhaps of a region: `en` and `pt-BR`."""
    first, second = (name.strip().lower().replace("_", "-").partition("-")[0] for name in (one, other))
    return one != other and {first, second} <= LANGUAGES
