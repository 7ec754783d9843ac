"""Text generation after a context: a batch of rows, each with its own random stream."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from imug_tts.backbones.bagel.context import Context
from imug_tts.backbones.bagel.loading import Loaded
from imug_tts.backbones.bagel.model import Rows
from imug_tts.backbones.native.sampling import RowSampler, random_stream
from imug_tts.backbones.native.yes_no import only_yes_or_no

__all__ = ["Written", "answer_after_thought", "write"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A generated text."""

    text: str
    new_tokens: int
    """Number of sampled tokens, the end token included."""
    is_whole: bool
    """False if the token limit cut the text."""
    p_yes: float | None
    """P(yes) of the first token, for a yes/no call."""


def write(
    loaded: Loaded,
    context: Context,
    seeds: Sequence[int],
    temperature: float,
    max_tokens: int,
    *,
    is_check: bool = False,
) -> list[Written]:
    """A text for each seed. At temperature 0 one text is generated and used for all seeds.

    A check begins with yes or no, and has P(yes).

    Raises:
        ConfigurationError: the tokenizer has no token for yes or for no.
    """
    if temperature == 0:
        return _rows(loaded, context, seeds[:1], 0.0, max_tokens, is_check) * len(seeds)
    return _rows(loaded, context, seeds, temperature, max_tokens, is_check)


def _rows(
    loaded: Loaded,
    context: Context,
    seeds: Sequence[int],
    temperature: float,
    max_tokens: int,
    is_check: bool,
) -> list[Written]:
    sampler = RowSampler([random_stream(seed, "text") for seed in seeds], temperature)
    ends = (loaded.specials.text_end, loaded.specials.text_start)
    rows, tokens = Rows(context), [loaded.specials.text_start] * len(seeds)
    drawn: list[list[int]] = [[] for _ in seeds]
    shares: Sequence[float | None] = [None] * len(seeds)
    for step in range(max_tokens):
        logits, rows = loaded.model.next_logits(rows, tokens)
        if is_check and step == 0:
            logits, shares = only_yes_or_no(logits, loaded.tokenizer)
        tokens = sampler.pick(logits).tolist()
        for ids, token in zip(drawn, tokens, strict=True):
            if not ids or ids[-1] not in ends:
                ids.append(token)
        if all(ids[-1] in ends for ids in drawn):
            break
    return [_written(loaded, ids, ends, share) for ids, share in zip(drawn, shares, strict=True)]


def _written(loaded: Loaded, ids: list[int], ends: tuple[int, int], p_yes: float | None) -> Written:
    is_whole = ids[-1] in ends
    text = loaded.tokenizer.decode(ids[:-1] if is_whole else ids)
    return Written(text=text, new_tokens=len(ids), is_whole=is_whole, p_yes=p_yes)


def answer_after_thought(text: str) -> tuple[str, str | None]:
    """The answer and the thought in "<think> thought </think> answer"; the thought is None if it does not
    end.
    """
    found = re.fullmatch(r"\s*(?:<think>)?(.*?)</think>(.*)", text, re.DOTALL)
    return (found[2].strip(), found[1].strip()) if found else (text, None)
