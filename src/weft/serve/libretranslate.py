"""LibreTranslate's interface, as far as a model of one language pair can answer it: `/translate` and `/languages`.

A text may have several lines. Each is predicted by itself, and the answer has as many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from weft.recipe import Recipe
from weft.serve.request import Limits, check_beam, check_lines, check_names, invalid, missing
from weft.tasks.text import Prediction

PARAMETERS = ("q", "source", "target", "format", "alternatives", "api_key")
UNDETERMINED = "und"  # ISO 639-2
NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian",
    "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician",
    "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian",
    "mk": "Macedonian", "ms": "Malay", "mt": "Maltese", "nb": "Norwegian Bokmål", "nl": "Dutch", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian",
    "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese", UNDETERMINED: "Undetermined",
}  # fmt: skip


@dataclass(frozen=True)
class Translate:
    """A request to `/translate`, checked."""

    texts: list[str]
    several: bool  # q was a list
    alternatives: int

    @property
    def lines(self) -> list[str]:
        return [line for text in self.texts for line in lines_of(text)]

    def answer(self, predictions: list[Prediction]) -> dict[str, Any]:
        """The response body, from one prediction a line."""
        rest = iter(predictions)
        parts = [[next(rest) for _ in lines_of(text)] for text in self.texts]
        best = ["\n".join(line.text for line in part) for part in parts]
        answer: dict[str, Any] = {"translatedText": best if self.several else best[0]}
        if self.alternatives:
            others = [alternatives(part) for part in parts]
            answer["alternatives"] = others if self.several else others[0]
        return answer


def lines_of(text: str) -> list[str]:
    """Lines end at LF or CR LF, and nowhere else."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def alternatives(lines: list[Prediction]) -> list[str]:
    """The nth has each line's nth alternative; a line that has no more goes on with its last."""
    choices = [[line.text, *(other.text for other in line.alternatives)] for line in lines]
    return [
        "\n".join(choice[min(number, len(choice) - 1)] for choice in choices)
        for number in range(1, max(map(len, choices)))
    ]


def translate(given: dict[str, Any], recipe: Recipe, limits: Limits) -> Translate:
    """What the parameters ask for; raises HTTPException 400."""
    for name in ("q", "source", "target"):
        if not given.get(name):
            raise missing(name)
    check_names(given, PARAMETERS)
    if given.get("api_key"):
        raise invalid("api_key is not supported: this server has no keys")
    check_language("source", given["source"], recipe.source_language)
    check_language("target", given["target"], recipe.target_language)
    text_format = given.get("format") or "text"
    if text_format != "text":
        raise HTTPException(400, f"{shown(text_format)} format is not supported")
    several = isinstance(given["q"], list)
    texts = given["q"] if several else [given["q"]]
    if not all(isinstance(text, str) for text in texts):
        raise invalid("q is neither a string nor a list of strings")
    asked = Translate(texts, several, whole_number("alternatives", given.get("alternatives") or 0))
    check_beam("alternatives", asked.alternatives + 1, limits)
    check_lines(asked.lines, limits)
    return asked


def check_language(side: str, code: Any, expected: str) -> None:
    if not isinstance(code, str) or code == "auto" or code != (expected or code):
        only = f"; the {side} of this model is {expected}" if expected else ""
        raise HTTPException(400, f"{shown(code)} is not supported{only}")


def whole_number(name: str, value: Any) -> int:
    """`value` from JSON or from a form."""
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or not (text.isascii() and text.isdigit()):
        raise invalid(f"{name} is {shown(value)}; expected a whole number, 0 or more")
    if len(text) > 9:
        raise invalid(f"{name} is too large")
    return int(text)


def shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def languages(recipe: Recipe) -> list[dict[str, Any]]:
    """Both languages of the model; `und` stands for one that its recipe does not name."""
    source = recipe.source_language or UNDETERMINED
    target = recipe.target_language or UNDETERMINED
    return [
        {"code": code, "name": NAMES.get(code, code), "targets": [target] if code == source else []}
        for code in dict.fromkeys((source, target))
    ]
