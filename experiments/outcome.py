"""Messages about how runs ended, consistent with the exit status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from experiments.command import complain
from imug_tts.contracts import Summary

__all__ = ["report", "report_scores", "sentences"]

_MOST_REASONS = 8
_TRY_AGAIN = "fix the causes named above, then run the same command again: it retries these turns"
_ANSWER_FIRST = "retry unanswered turns with the command that made the run; then score again"


def report(summaries: Sequence[Summary]) -> int:
    """Print what is missing and why; returns the exit status, 1 if another invocation would retry any
    turn.
    """
    lines = list(sentences(summaries))
    missing = sum(summary.missing for summary in summaries)
    if lines:
        complain("\n".join(lines), 1)
    return 1 if missing else 0


def report_scores(summary: Summary) -> int:
    """Print which scores are missing and why; returns the exit status, 1 if another invocation could add
    any.
    """
    failed = summary.outcomes.get("judge_error", 0)
    advice = [_TRY_AGAIN] if failed else []
    if summary.missing > failed:
        advice.append(_ANSWER_FIRST)
    lines = [*_missing([summary], "\n".join(advice)), *_elsewhere([summary]), *_refused([summary])]
    if summary.unscored:
        lines.append(
            f"{summary.unscored} turns need a judge; choose one, and another folder for the scores: "
            "judge=openai judge.base_url=URL judge.model=NAME output=DIR"
        )
    if lines:
        complain("\n".join(lines), 1)
    return 1 if summary.missing or summary.unscored else 0


def sentences(summaries: Sequence[Summary]) -> Iterator[str]:
    """Sentences about missing turns, unparsed verdicts and identical candidates; none if all is well."""
    yield from _missing(summaries, _TRY_AGAIN)
    yield from _elsewhere(summaries)
    yield from _refused(summaries)
    yield from _judging(summaries)


def _elsewhere(summaries: Sequence[Summary]) -> Iterator[str]:
    elsewhere = sum(summary.elsewhere for summary in summaries)
    if elsewhere:
        yield f"{elsewhere} turns are being answered by other processes, which write them"


def _refused(summaries: Sequence[Summary]) -> Iterator[str]:
    refused, unasked = (sum(getattr(s, key) for s in summaries) for key in ("refused", "unasked"))
    if refused:
        after = f", and {unasked} later turns of these dialogues cannot be asked" if unasked else ""
        yield (
            f"{refused} turns were refused by the model{after}; refusals are final and count as missing in "
            "tables"
        )


def _judging(summaries: Sequence[Summary]) -> Iterator[str]:
    verdicts, unread = (sum(getattr(s, key) for s in summaries) for key in ("verdicts", "unread_verdicts"))
    if unread:
        yield (
            f"{unread} of {verdicts} verdicts could not be parsed from the judge's replies and were not "
            "used; "
            "see `detail` of the verdicts in turns.jsonl"
        )
    pools, identical = (sum(getattr(s, key) for s in summaries) for key in ("pools", "identical_pools"))
    if identical == pools > 0:
        yield (
            f"in all {pools} pools the candidate images are identical, so nothing was selected: the model "
            "ignores the seed, or its temperature is too low for these turns"
        )


def _missing(summaries: Sequence[Summary], advice: str) -> Iterator[str]:
    missing = sum(summary.missing for summary in summaries)
    if not missing:
        return
    reasons: Counter[str] = Counter()
    for summary in summaries:
        reasons.update(
            {reason: n for reason, n in summary.failures.items() if not reason.startswith("refused")}
        )
    failed = reasons.total()
    after = f", {missing - failed} of them not reached" if missing > failed else ""
    yield f"{missing} turns are missing{after}{'; the reasons:' if reasons else ''}"
    for reason, count in reasons.most_common(_MOST_REASONS):
        yield f"  {count} x {reason}"
    if len(reasons) > _MOST_REASONS:
        more = len(reasons) - _MOST_REASONS
        yield f"  and {more} other reasons; see log.txt in the run's folder"
    yield advice
