"""What all pictures share: colours, fonts that have the characters, and files written whole."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.errors import WeftError
from weft.files import replaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#262a3b"
QUIET = "#7d8296"
HAIR = "#e4e6ef"
ACCENT = "#4047ab"
SECOND = "#d9722e"
PALE = "#ced6f9"
# One hue, lightness falling evenly from 97 to 28 of 100 in OKLCH (Ottosson 2020), so that twice the weight looks it.
SHADES = ("#f2f4fc", "#ced6f9", "#acb9f3", "#8d9be9", "#707ed9", "#5662c5", "#4047ab", "#2c2e8d", "#1b1b64")
BASE_FONT = "DejaVu Sans"
CJK_FONTS = (
    "Noto Sans CJK", "Source Han Sans", "Noto Sans", "PingFang", "Hiragino", "Apple SD Gothic", "Microsoft YaHei",
    "Yu Gothic", "Malgun", "SimHei", "WenQuanYi", "IPA", "Nanum", "Droid Sans Fallback", "Arial Unicode",
)  # fmt: skip
UNSEEN = "\u200c\u200d\u200e\u200f"  # joiners and marks of direction, which belong to the letters around them
FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 160


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of so many inches, outside pyplot and its global state; WeftError without matplotlib."""
    return figure_class()(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")


def figure_class() -> type[Figure]:
    """matplotlib's; WeftError where that is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise WeftError("pictures need matplotlib, which is not installed: pip install 'weft[look]'") from None
    return Figure


def check_format(path: Path) -> str:
    """The format that the suffix names; WeftError where it names another than PNG, SVG or PDF."""
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise WeftError(f"{path}: a picture's name ends in .png, .svg or .pdf")
    return form


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format that the suffix names; WeftError where it names another than PNG, SVG or PDF."""
    form = check_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
    with replaced(path) as beside, without_glyph_warnings():
        figure.savefig(beside, format=form, dpi=DOTS_PER_INCH, metadata=undated)


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Of characters that no font has, `fonts_for` has warned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def style(axes: Axes, title: str) -> None:
    """A quiet panel: title at the left, hair lines behind the data, no box."""
    axes.set_title(title, loc="left", fontsize=10, color=INK, pad=8, **lettering([title], bold=True))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(HAIR)
    axes.grid(axis="y", color=HAIR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=QUIET, pad=4)


def written(axes: Axes, text: str, at: tuple[float, float], above: int, size: float = 8.5, color: str = INK) -> None:
    """A value over a point of the data, `above` points of type higher."""
    axes.annotate(text, at, (0, above), textcoords="offset points", ha="center", fontsize=size, color=color)


def tidy(piece: str) -> str:
    """A piece as a reader should see it: `·` for a space that SentencePiece marks, nothing that moves a cursor."""
    shown = "".join(map(seen, piece))
    if piece and not piece.strip(UNSEEN):
        return "\N{REPLACEMENT CHARACTER}"
    return "␣" if shown.strip("▁ ") == "" and piece not in ("", " ") else shown.replace("▁", "·")


def seen(mark: str) -> str:
    """A character, a space for one of another width, and what stands for one that cannot be shown."""
    if mark.isprintable() or mark in UNSEEN:
        return mark
    return " " if unicodedata.category(mark) == "Zs" else "\N{REPLACEMENT CHARACTER}"


def lettering(texts: Iterable[str], bold: bool = False) -> dict[str, Any]:
    """How texts of users are set: in fonts that have their characters, `bold` where the base font is enough."""
    fonts = fonts_for(texts)
    weight = "bold" if bold and fonts == [BASE_FONT] else "normal"
    return {"fontfamily": fonts, "fontweight": weight, "parse_math": False}


def fonts_for(texts: Iterable[str]) -> list[str]:
    """Font families that together have the characters of `texts`; warns, once, where this machine has none."""
    missing = {ord(character) for text in texts for character in text} - characters_of(BASE_FONT)
    families = [BASE_FONT]
    for family in other_families() if missing else ():
        found = missing & characters_of(family)
        if found:
            families.append(family)
            missing -= found
        if not missing:
            break
    if missing:
        warn_of_missing_font()
    return families


@cache
def other_families() -> list[str]:
    """Every installed family, those known for Chinese, Japanese and Korean first."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    listed = {font.fname for font in fontManager.ttflist}
    for file in findSystemFonts():
        if file not in listed:  # matplotlib keeps its list, and this font was installed after it was made
            with suppress(OSError, RuntimeError):  # not every file there is a font that it can draw
                fontManager.addfont(file)
    names = {font.name for font in fontManager.ttflist if not font.name.startswith((BASE_FONT, "Last Resort"))}
    rank = {name: next((n for n, known in enumerate(CJK_FONTS) if name.startswith(known)), 99) for name in names}
    return sorted(names, key=lambda name: (rank[name], name))


@cache
def characters_of(family: str) -> frozenset[int]:
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    files = [font.fname for font in fontManager.ttflist if font.name == family and font.style == "normal"]
    return frozenset(FT2Font(files[0]).get_charmap()) if files else frozenset()


@cache
def warn_of_missing_font() -> None:
    warnings.warn(
        "no font on this machine has all characters of this picture, so some are drawn as boxes; "
        "installing a font such as Noto Sans CJK mends that",
        stacklevel=3,
    )
