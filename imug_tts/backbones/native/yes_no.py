"""Answers of yes/no calls: P(yes) from the logits of a model's first token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from imug_tts.contracts import ConfigurationError

__all__ = ["YesNo", "only_yes_or_no"]

_YES: Final = ("yes", "Yes", "YES", " yes", " Yes", " YES")
_NO: Final = ("no", "No", "NO", " no", " No", " NO")


class YesNo:
    """The tokens with which an answer of yes or no begins, in all spellings that a tokenizer tells apart.

    A token with which both begin counts for neither.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Raises ConfigurationError where yes and no begin with the same tokens."""
        yes, no = ({_first(tokenizer, word) for word in words} for words in (_YES, _NO))
        self._yes, self._no = sorted(yes - no), sorted(no - yes)
        if not self._yes or not self._no:
            raise ConfigurationError(
                "the tokenizer of this model does not tell yes from no by the first token"
            )

    def p_yes(self, logits: Tensor) -> list[float]:
        """P(yes) / (P(yes) + P(no)) for each row of logits of the first token, shape (rows, width)."""
        wide = logits.double()
        yes, no = (wide[:, tokens].logsumexp(dim=1) for tokens in (self._yes, self._no))
        shares: list[float] = (yes - no).sigmoid().tolist()
        return shares


def only_yes_or_no(logits: Tensor, tokenizer: Any) -> tuple[Tensor, list[float]]:
    """Logits (rows, vocabulary) that allow nothing but yes and no, and P(yes) of each row by their softmax.

    P(yes) is rounded to six places, because later ones depend on the batch.

    Raises:
        ConfigurationError: the tokenizer has no single token for yes, or none for no.
    """
    yes, no = (_word_ids(words, tokenizer) for words in (_YES, _NO))
    allowed = torch.full_like(logits, float("-inf"))
    allowed[:, [*yes, *no]] = logits[:, [*yes, *no]]
    shares = allowed.double().softmax(-1)[:, yes].sum(-1)
    return allowed, [round(share, 6) for share in shares.tolist()]


def _first(tokenizer: Any, word: str) -> int:
    return int(tokenizer.encode(word, add_special_tokens=False)[0])


def _word_ids(words: Sequence[str], tokenizer: Any) -> list[int]:
    """The tokens that are one of the words."""
    encoded = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    single = sorted({ids[0] for ids in encoded if len(ids) == 1})
    if not single:
        raise ConfigurationError(
            f"the tokenizer has no single token for {words[0]!r}, so yes/no calls have no P(yes)"
        )
    return single
