"""Tokens with the features of their words.

B sentences, S source length, F factors, E width of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from weft.data.batch import Factored, Padded
from weft.nn.ends import TokenInput
from weft.recipe import Embedding


class FactoredInput(TokenInput):
    """Each token's embedding with those of its features beside it, or all of them added (Sennrich and Haddow 2016).

    Whole embeddings are dropped of tokens alone, for a feature stands beside a great part of the words.
    """

    def __init__(self, size: int, width: int, settings: Embedding, own_width: int | None, sizes: Sequence[int]) -> None:
        """`sizes` (F,) are how many features each factor has."""
        widths = settings.factors.widths(len(sizes), width)
        self.beside = settings.factors.combine == "concat"
        super().__init__(size, width - sum(widths) if self.beside else width, settings, own_width)
        of_features = settings.model_copy(update={"tokens": 0.0})
        self.factors = nn.ModuleList(TokenInput(*each, of_features) for each in zip(sizes, widths, strict=True))

    def sequence(self, source: Padded) -> Padded:
        """source.data (B,S), factors (B,S,F) -> data (B,S,E)."""
        assert isinstance(source, Factored)
        features = [factor(ids) for factor, ids in zip(self.factors, source.factors.unbind(-1), strict=True)]
        parts = [self(source.data), *features]
        return Padded(torch.cat(parts, -1) if self.beside else torch.stack(parts).sum(0), source.lengths)
