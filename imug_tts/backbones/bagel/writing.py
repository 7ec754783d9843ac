"""Writing text after a context: rows side by side, each with a random stream of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from imug_tts.backbones.bagel.context import Context
from imug_tts.backbones.bagel.loading import Loaded
from imug_tts.backbones.bagel.model import Rows
from imug_tts.backbones.native.sampling import RowSampler, generator

__all__ = ["Written", "answer_after_thought", "write"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A text of the model."""

    text: str
    new_tokens: int
    """Tokens drawn, the one that ended the text included."""
    is_whole: bool
    """False where it was cut at the most tokens."""
    p_yes: float
    """P(yes) of its first token, among the tokens that begin a yes or a no."""


def write(
    loaded: Loaded, context: Context, seeds: Sequence[int], temperature: float, max_tokens: int
) -> list[Written]:
    """A text for each seed; at temperature 0 one is written and given to all seeds."""
    if temperature == 0:
        return _rows(loaded, context, seeds[:1], 0.0, max_tokens) * len(seeds)
    return _rows(loaded, context, seeds, temperature, max_tokens)


def _rows(
    loaded: Loaded, context: Context, seeds: Sequence[int], temperature: float, max_tokens: int
) -> list[Written]:
    sampler = RowSampler([generator(seed, "text") for seed in seeds], temperature)
    ends = (loaded.specials.text_end, loaded.specials.text_start)
    rows, tokens = Rows(context), [loaded.specials.text_start] * len(seeds)
    drawn: list[list[int]] = [[] for _ in seeds]
    p_yes = list[float]()
    for _ in range(max_tokens):
        logits, rows = loaded.model.next_logits(rows, tokens)
        p_yes = p_yes or [_p_yes(row, loaded.tokenizer) for row in logits]
        tokens = sampler.pick(logits).tolist()
        for ids, token in zip(drawn, tokens, strict=True):
            if not ids or ids[-1] not in ends:
                ids.append(token)
        if all(ids[-1] in ends for ids in drawn):
            break
    return [_written(loaded, ids, ends, p) for ids, p in zip(drawn, p_yes, strict=True)]


def _written(loaded: Loaded, ids: list[int], ends: tuple[int, int], p_yes: float) -> Written:
    is_whole = ids[-1] in ends
    text = loaded.tokenizer.decode(ids[:-1] if is_whole else ids)
    return Written(text=text, new_tokens=len(ids), is_whole=is_whole, p_yes=p_yes)


def _p_yes(logits: Tensor, tokenizer: Any) -> float:
    """P(yes) given that the answer begins with a form of yes or no."""
    shares = logits.softmax(-1)
    yes, no = (sum(float(shares[token]) for token in _beginnings(word, tokenizer)) for word in ("yes", "no"))
    return round(yes / (yes + no), 6) if yes + no > 0 else 0.5  # later digits depend on the batch


def _beginnings(word: str, tokenizer: Any) -> set[int]:
    """First tokens of the ways to write a word."""
    forms = (word, word.capitalize(), word.upper())
    return {tokenizer.encode(form)[0] for form in forms}


def answer_after_thought(text: str) -> tuple[str, str | None]:
    """The answer and the thought of "<think> thought </think> answer"; None where no thought ends."""
    found = re.fullmatch(r"\s*(?:<think>)?(.*?)</think>(.*)", text, re.DOTALL)
    return (found[2].strip(), found[1].strip()) if found else (text, None)
