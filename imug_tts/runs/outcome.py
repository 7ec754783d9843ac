"""Sentences about ended runs: turns without a score and the reasons, unread verdicts, equal candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from imug_tts.contracts import Summary

__all__ = ["said_of", "said_of_elsewhere", "said_of_missing", "said_of_refused"]

_MOST_REASONS: Final = 8


def said_of(summaries: Sequence[Summary], advice: str) -> Iterator[str]:
    """Yield a sentence for each problem of ended runs that a reader should know; none if there is no problem.

    Args:
        advice: the sentence that says what to do about missing turns.
    """
    yield from said_of_missing(summaries, advice)
    yield from said_of_elsewhere(summaries)
    yield from said_of_refused(summaries)
    yield from _judging(summaries)


def said_of_elsewhere(summaries: Sequence[Summary]) -> Iterator[str]:
    """Yield a sentence with the number of turns that other processes are playing, if there are any."""
    elsewhere = sum(summary.elsewhere for summary in summaries)
    if elsewhere:
        yield f"{elsewhere} turns are being answered by other processes, which will write their records"


def said_of_refused(summaries: Sequence[Summary]) -> Iterator[str]:
    """Yield how many turns the model refused, with counted reasons; nothing if there are none."""
    refused, unasked = (sum(getattr(s, key) for s in summaries) for key in ("refused", "unasked"))
    if refused:
        reasons = _reasons(summaries, refused=True)
        after = f", and {unasked} later turns of these dialogues cannot be asked" if unasked else ""
        yield (
            f"{refused} turns were refused by the model{after}; refusals are final and count as missing in "
            f"tables{'; the reasons:' if reasons else ''}"
        )
        yield from _counted(reasons, "`error` in turns.jsonl")


def _judging(summaries: Sequence[Summary]) -> Iterator[str]:
    verdicts, unread = (sum(getattr(s, key) for s in summaries) for key in ("verdicts", "unread_verdicts"))
    if unread:
        yield (
            f"{unread} of {verdicts} verdicts could not be parsed from the judge's replies and were not "
            "used; see `detail` of the verdicts in turns.jsonl"
        )
    pools, identical = (sum(getattr(s, key) for s in summaries) for key in ("pools", "identical_pools"))
    if identical == pools > 0:
        yield (
            f"in all {pools} pools the candidate images are identical, so nothing was selected: the model "
            "ignores the seed, or its temperature is too low for these turns"
        )


def said_of_missing(summaries: Sequence[Summary], advice: str) -> Iterator[str]:
    """Yield sentences with the number of turns without a final outcome, the counted reasons, and the
    advice.
    """
    missing = sum(summary.missing for summary in summaries)
    if not missing:
        return
    reasons = _reasons(summaries, refused=False)
    failed = reasons.total()
    after = f", {missing - failed} of them not reached" if missing > failed else ""
    yield f"{missing} turns are missing{after}{'; the reasons:' if reasons else ''}"
    yield from _counted(reasons, "log.txt")
    yield advice


def _reasons(summaries: Sequence[Summary], *, refused: bool) -> Counter[str]:
    """Why turns have no score: the reasons of refusals, or those of all other turns."""
    reasons: Counter[str] = Counter()
    for summary in summaries:
        for reason, count in summary.failures.items():
            if reason.startswith("refused") == refused:
                reasons[reason.removeprefix("refused: ")] += count
    return reasons


def _counted(reasons: Counter[str], more_in: str) -> Iterator[str]:
    for reason, count in reasons.most_common(_MOST_REASONS):
        yield f"  {count} x {reason}"
    if len(reasons) > _MOST_REASONS:
        more = len(reasons) - _MOST_REASONS
        yield f"  and {more} other reasons; see {more_in} in the run's folder"
