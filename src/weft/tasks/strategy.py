"""From settings, and what is asked of single lines, to a chooser, rules and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import ValidationError

from weft.data.direction import TOKENS
from weft.data.vocabulary import SPACE, Vocabulary
from weft.errors import WeftError, nearest
from weft.recipe import ORDER_OF_SEARCH, WIDEST, Search
from weft.search.choosers import Beam, Chooser, Greedy
from weft.search.constraints import Constrained
from weft.search.diverse import Diverse
from weft.search.hypothesis import Limits
from weft.search.rules import Exactly, MinLength, Never, NoRepeat, Prefixed, Repetition, Rule, Spans, Without
from weft.search.sampling import Draw, Gumbel, Sample
from weft.tasks.line import Encoded, check_room

KINDS = {
    "beam": ("beam", "diverse", "gumbel"),
    "groups": ("diverse",),
    "diversity": ("diverse",),
    "temperature": ("sample", "gumbel"),
    "top_k": ("sample",),
    "top_p": ("sample",),
    "min_p": ("sample",),
    "seed": ("sample", "gumbel"),
}  # of search, that a setting has a part in; without a line: all


class Strategy:
    """How a batch of lines is searched."""

    def __init__(
        self,
        settings: Search,
        n_best: int,
        target: Vocabulary,
        of_labels: bool = False,
        longest: int | None = None,
    ) -> None:
        """WeftError where the settings contradict each other.

        `of_labels`: outputs are sets, to which the rules of order and the length penalty are nothing. `longest` is how
        many tokens an output may have, where positions are counted.
        """
        if not 1 <= n_best <= WIDEST:
            raise WeftError(f"n_best is {n_best}; expected 1 to {WIDEST}")
        if settings.minimum_bayes_risk and settings.kind in ("diverse", "gumbel"):
            raise WeftError(f"search.minimum_bayes_risk draws samples by itself; search.kind is '{settings.kind}'")
        self.settings = settings
        self.samples = settings.minimum_bayes_risk or (n_best if settings.kind == "sample" else 0)
        self.n_best = settings.minimum_bayes_risk or n_best
        self.target = target
        self.of_labels = of_labels
        self.longest = longest
        self.never = [*target.line_breaks, *controls(target)]  # that are no output, beside the special ones
        self.made_spans: Spans | None = None

    @property
    def width(self) -> int:
        """Hypotheses of a line at a time."""
        if self.samples:
            return self.samples
        wide = max(self.settings.beam, self.n_best)
        return wide + -wide % self.settings.groups if self.settings.kind == "diverse" else wide

    def limits(self, lines: Sequence[Encoded], attention: bool) -> Limits:
        """A cap by the source's length leaves room for what the output has to hold."""
        settings = self.settings
        least = [max(line.tokens or 0, held(line)) for line in lines]
        caps = [
            max(tokens, int(settings.max_ratio * line.length) + settings.max_extra)
            for tokens, line in zip(least, lines, strict=True)
        ]
        if self.longest is not None:
            check_room("decoder", lines, least, self.longest)
            caps = [min(cap, self.longest) for cap in caps]
        return Limits(
            begin=self.target.bos,
            end=self.target.eos,
            max_lengths=caps,
            length_penalty=0.0 if self.of_labels else settings.length_penalty,
            coverage_penalty=settings.coverage_penalty,
            n_best=self.n_best,
            attention=attention,
        )

    def chooser(self, lines: Sequence[Encoded], limits: Limits, device: torch.device) -> Chooser:
        settings, numbers, longest = self.settings, [line.number for line in lines], max(limits.max_lengths)
        if any(line.must for line in lines):
            return self.constrained(lines, limits, device)
        if self.samples:
            draw = Draw(settings.temperature, settings.top_k, settings.top_p, settings.min_p)
            return Sample(draw, self.samples, settings.seed, numbers, longest, device)
        if settings.kind == "gumbel":
            return Gumbel(settings.temperature, self.width, settings.seed, numbers)
        if settings.kind == "diverse":
            return Diverse(self.width // settings.groups, settings.groups, settings.diversity)
        return Greedy() if self.width == 1 else Beam(self.width)

    def constrained(self, lines: Sequence[Encoded], limits: Limits, device: torch.device) -> Chooser:
        kind = "sample" if self.samples else self.settings.kind
        if kind != "beam":
            raise WeftError(f"must needs search.kind beam, which looks for what is asked for; here it is {kind}")
        phrases = [line.must for line in lines]
        return Constrained(self.width, phrases, limits.begin, limits.end, limits.max_lengths, device)

    def rules(self, lines: Sequence[Encoded], device: torch.device, narrowed: bool = False) -> list[Rule]:
        """`narrowed`: no token that may not be said is left, but the special ones."""
        settings, target = self.settings, self.target
        rules: list[Rule] = []
        if self.of_labels:
            return [self.without(lines, device)] if any(line.never for line in lines) else []
        if settings.repetition_penalty != 1:
            rules.append(Repetition(settings.repetition_penalty))
        rules.append(Never([target.pad, target.unk, target.bos, *([] if narrowed else self.never)], device))
        if settings.min_length:
            rules.append(MinLength(settings.min_length, target.eos))
        if settings.no_repeat_ngram:
            rules.append(NoRepeat(settings.no_repeat_ngram))
        if settings.tags == "bio":
            rules.append(self.spans(device))
        if any(line.tokens is not None for line in lines):
            rules.append(Exactly([line.tokens or 0 for line in lines], target.eos, device))
        if any(line.never for line in lines):
            rules.append(self.without(lines, device))
        if any(line.prefix for line in lines):
            return [Prefixed([line.prefix for line in lines], rules, device)]
        return rules

    def without(self, lines: Sequence[Encoded], device: torch.device) -> Without:
        forms = [[form for phrase in line.never for form in phrase] for line in lines]
        return Without(forms, self.target.bos, device)

    def spans(self, device: torch.device) -> Spans:
        """The same for all batches: its table has a row for each tag and a column for each."""
        if self.made_spans is None:
            pieces = self.target.pieces(range(self.target.size))
            self.made_spans = Spans([piece.removeprefix(SPACE) for piece in pieces], device)
        return self.made_spans


def draws(settings: Search) -> bool:
    """Whether outputs go by chance, which comes from the seed and the number of the line."""
    return settings.minimum_bayes_risk > 0 or settings.kind in KINDS["seed"]


def controls(target: Vocabulary) -> list[int]:
    """Ids that a source may begin with, but no output holds."""
    found = (target.control(piece) for piece in TOKENS.values())
    return [i for i in found if i is not None]


def held(line: Encoded) -> int:
    """Tokens that an output has to hold."""
    return len(line.prefix) + sum(len(phrase.inside) for phrase in line.must)


def changed(settings: Search, options: dict[str, Any], of_labels: bool = False) -> Search:
    """Settings with these instead; WeftError for one that does not exist, cannot be, or would change nothing."""
    for name in options:
        if name not in Search.model_fields:
            raise WeftError(f"search has no setting '{name}'{nearest(name, Search.model_fields)}")
    try:
        found = Search.model_validate({**settings.model_dump(), **options})
    except ValidationError as error:
        item = error.errors()[0]
        if item["type"] == "value_error":
            raise WeftError(str(item["ctx"]["error"])) from None
        raise WeftError(f"search.{item['loc'][0]} is {item['input']!r}: {item['msg']}") from None
    options = {name: value for name, value in options.items() if value != getattr(settings, name)}
    refuse_idle(found, options)
    if of_labels:
        refuse_order(options)
    return found


def refuse_order(options: dict[str, Any]) -> None:
    """WeftError for an option that is about what follows what, for labels."""
    for name, value in options.items():
        if name in (*ORDER_OF_SEARCH, "length_penalty"):
            raise WeftError(
                f"search.{name} is {value}, which has no part in model.decoder.kind: labels, which are a set"
            )


def refuse_idle(settings: Search, options: dict[str, Any]) -> None:
    """WeftError for an option that has no part in such a search."""
    kind = "sample" if settings.minimum_bayes_risk else settings.kind
    for name, value in options.items():
        if kind not in (kinds := KINDS.get(name, (kind,))):
            if settings.minimum_bayes_risk:
                raise WeftError(
                    f"search.{name} is {value}, which has no part in search.minimum_bayes_risk, which draws samples; "
                    f"expected search.minimum_bayes_risk 0, or no search.{name}"
                )
            raise WeftError(
                f"search.{name} is {value}, which has no part in search.kind '{kind}'; expected search.kind "
                f"{' or '.join(kinds)}, or no search.{name}"
            )
    if "language_model_weight" in options and settings.language_model is None:
        raise WeftError(
            f"search.language_model_weight is {settings.language_model_weight}, but there is no search.language_model"
        )
