"""P(yes) from the logits of a model's first token."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor

from imug_tts.contracts import ConfigurationError

__all__ = ["YesNo"]

_WORDS: Final = {"yes": ("yes", "Yes", " yes", " Yes", "YES"), "no": ("no", "No", " no", " No", "NO")}


class YesNo:
    """The tokens with which an answer of yes or no begins, in all spellings that a tokenizer tells apart.

    A token with which both begin counts for neither.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Raises ConfigurationError where yes and no begin with the same tokens."""
        yes, no = ({_first(tokenizer, word) for word in words} for words in _WORDS.values())
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


def _first(tokenizer: Any, word: str) -> int:
    return int(tokenizer.encode(word, add_special_tokens=False)[0])
