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
    """The logits (rows, vocabulary) with all tokens but yes and no set to -inf, and P(yes) of each row.

    P(yes) is rounded to six decimals, because further ones depend on the batch.

    Raises:
        ConfigurationError: the tokenizer has no single token for yes, or none for no.
    """
    yes, no = (_word_ids(words, tokenizer) for words in (_YES, _NO))
    allowed = torch.full_like(logits, float("-inf"))
    allowed[:, [*yes, *no]] = logits[:, [*yes, *no]]
    shares = allowed.double().softmax(-1)[:, yes].sum(-1)
    return allowed, [round(share, 6) for share in shares.tolist()]


def _word_ids(words: Sequence[str], tokenizer: Any) -> list[int]:
    """The ids of the words that are single tokens."""
    encoded = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    single = sorted({ids[0] for ids in encoded if len(ids) == 1})
    if not single:
        raise ConfigurationError(
            f"the tokenizer has no single token for {words[0]!r}, so P(yes) cannot be computed"
        )
    return single
