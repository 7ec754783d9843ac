"""Answers of yes/no calls: the first token is a yes or a no, and its probability is P(yes)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from imug_tts.contracts import ConfigurationError

__all__ = ["only_yes_or_no"]

_YES: Final = ("yes", "Yes", "YES", " yes", " Yes", " YES")
_NO: Final = ("no", "No", "NO", " no", " No", " NO")


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


def _word_ids(words: Sequence[str], tokenizer: Any) -> list[int]:
    """The tokens that are one of the words."""
    encoded = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    single = sorted({ids[0] for ids in encoded if len(ids) == 1})
    if not single:
        raise ConfigurationError(
            f"the tokenizer has no single token for {words[0]!r}, so yes/no calls have no P(yes)"
        )
    return single
