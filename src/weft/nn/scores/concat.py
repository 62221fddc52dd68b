"""v . tanh(W [s; h])"""

from __future__ import annotations

from weft.nn.scores import additive


class Score(additive.Score):
    """score(s, h) = v . tanh(W [s; h]) (Luong et al. 2015, section 3.1).

    W [s; h] = W_s s + W_h h, which is additive attention; computed so, the part of h is made once for a sentence.
    """
