"""What a hypothesis may not say next, or not so easily. N hypotheses, t tokens so far, V vocabulary, P phrases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Rule(Protocol):
    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        """log_probs (N,V), said (N,t), sentences (N,) rows of the source -> (N,V), -inf where a token is forbidden.

        It may write into log_probs.
        """


class Never:
    """Tokens that are no output at any time."""

    def __init__(self, tokens: Sequence[int], device: torch.device | None = None) -> None:
        self.tokens = torch.tensor(tokens, dtype=torch.long, device=device)

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        return log_probs.index_fill_(1, self.tokens, -torch.inf)


class MinLength:
    """No end before so many tokens."""

    def __init__(self, length: int, end: int) -> None:
        self.length = length
        self.end = end

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        if said.size(1) < self.length:
            log_probs[:, self.end] = -torch.inf
        return log_probs


class Exactly:
    """So many tokens for each of the B sentences, and then the end."""

    def __init__(self, lengths: Sequence[int], end: int, device: torch.device) -> None:
        self.lengths = torch.tensor(lengths, device=device)
        self.end = end

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        over = said.size(1) >= self.lengths[sentences]
        ended = torch.where(over, log_probs[:, self.end], -torch.inf)
        log_probs = log_probs.masked_fill(over[:, None], -torch.inf)
        log_probs[:, self.end] = ended
        return log_probs


class Spans:
    """The inside of a span comes after its beginning: I-x after B-x or I-x only (Ramshaw & Marcus 1995)."""

    def __init__(self, tags: Sequence[str], device: torch.device) -> None:
        """`tags` (V,) by their ids."""
        before = [{f"B-{tag[2:]}", tag} if tag.startswith("I-") else None for tag in tags]
        allowed = [[wanted is None or other in wanted for wanted in before] for other in tags]
        self.allowed = torch.tensor(allowed, device=device)  # (V,V) the tag before, the tag

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        allowed = self.allowed[said[:, -1]] if said.size(1) else self.allowed[0]
        return log_probs.masked_fill(~allowed, -torch.inf)


class NoRepeat:
    """No run of `length` tokens twice in one hypothesis (Paulus et al. 2018, section 2.5)."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        before = self.length - 1
        if said.size(1) <= before:
            return log_probs
        windows = said.unfold(1, self.length, 1)  # (N,t-length+1,length)
        last = said[:, said.size(1) - before :]
        same = (windows[..., :before] == last[:, None]).all(-1)
        rows, places = same.nonzero(as_tuple=True)
        log_probs[rows, windows[rows, places, before]] = -torch.inf
        return log_probs


class Repetition:
    """Tokens said before are less probable: p^penalty, and what then sums to one (Keskar et al. 2019, section 4.1).

    The paper divides scores by the penalty, which makes those below zero more probable; log-probabilities are all
    below zero, and are multiplied by it.
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        if not said.size(1):
            return log_probs
        return log_probs.scatter(1, said, log_probs.gather(1, said) * self.penalty).log_softmax(-1)


class Without:
    """Phrases that a sentence's output must not hold."""

    def __init__(self, phrases: Sequence[Sequence[Sequence[int]]], begin: int, device: torch.device) -> None:
        """The phrases of each of the B sentences, as ids; one that starts with `begin` is the start of an output."""
        flat = [(row, list(ids)) for row, of_one in enumerate(phrases) for ids in of_one]
        reach = max(len(ids) for _, ids in flat) - 1
        self.heads = torch.tensor([[-1] * (reach + 1 - len(ids)) + ids[:-1] for _, ids in flat], device=device)
        self.last = torch.tensor([ids[-1] for _, ids in flat], device=device)  # (P,)
        self.owners = torch.tensor([row for row, _ in flat], device=device)  # (P,)
        self.begin = begin

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        reach = self.heads.size(1)
        before = torch.cat([said.new_full((len(said), reach), -2), said.new_full((len(said), 1), self.begin), said], 1)
        tail = before[:, before.size(1) - reach :]
        same = ((self.heads == tail[:, None]) | (self.heads < 0)).all(-1)  # (N,P)
        rows, phrases = (same & (self.owners == sentences[:, None])).nonzero(as_tuple=True)
        log_probs[rows, self.last[phrases]] = -torch.inf
        return log_probs


class Prefixed:
    """Each sentence's output begins as it is told to, whatever other rules say of that."""

    def __init__(self, prefixes: Sequence[Sequence[int]], others: Sequence[Rule], device: torch.device) -> None:
        longest = max(map(len, prefixes))
        rows = [list(prefix) + [-1] * (longest - len(prefix)) for prefix in prefixes]
        self.table = torch.tensor(rows, device=device)  # (B,T)
        self.others = others

    def __call__(self, log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
        if said.size(1) >= self.table.size(1):
            return obeyed(self.others, log_probs, said, sentences)
        told = self.table[sentences, said.size(1)]
        rows = (told >= 0).nonzero().squeeze(1)
        kept = log_probs[rows, told[rows]]
        log_probs = obeyed(self.others, log_probs, said, sentences)
        log_probs[rows] = -torch.inf
        log_probs[rows, told[rows]] = kept
        return log_probs


def obeyed(rules: Sequence[Rule], log_probs: Tensor, said: Tensor, sentences: Tensor) -> Tensor:
    """(N,V), what is left by one rule after the other."""
    for rule in rules:
        log_probs = rule(log_probs, said, sentences)
    return log_probs
