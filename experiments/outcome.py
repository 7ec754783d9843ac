"""How runs ended, in words that fit the exit status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from experiments.command import complain
from imug_tts.contracts import Summary

__all__ = ["report", "said_of"]

_MOST_REASONS = 8


def report(summaries: Sequence[Summary]) -> int:
    """Say what is missing and why; the exit status is 1 if another invocation would try any turn again."""
    lines = list(said_of(summaries))
    missing = sum(summary.missing for summary in summaries)
    if lines:
        complain("\n".join(lines), 1)
    return 1 if missing else 0


def said_of(summaries: Sequence[Summary]) -> Iterator[str]:
    """Sentences about turns without a score, unread verdicts and equal candidates; none if all is well."""
    yield from _missing(summaries)
    refused, unasked = (sum(getattr(s, key) for s in summaries) for key in ("refused", "unasked"))
    if refused:
        after = f", and {unasked} turns after them cannot be asked" if unasked else ""
        yield f"{refused} turns were refused by the model{after}; refusals are final, and missing in tables"
    verdicts, unread = (sum(getattr(s, key) for s in summaries) for key in ("verdicts", "unread_verdicts"))
    if unread:
        yield (
            f"{unread} of {verdicts} verdicts could not be read from the judge's replies and ranked nothing; "
            "look at `detail` of the verdicts in turns.jsonl"
        )
    pools, identical = (sum(getattr(s, key) for s in summaries) for key in ("pools", "identical_pools"))
    if identical == pools > 0:
        yield (
            f"in all {pools} pools the candidate images are identical, so nothing was selected: the model "
            "ignores the seed, or its temperature is too low for these turns"
        )


def _missing(summaries: Sequence[Summary]) -> Iterator[str]:
    missing = sum(summary.missing for summary in summaries)
    if not missing:
        return
    reasons: Counter[str] = Counter()
    for summary in summaries:
        reasons.update(
            {reason: n for reason, n in summary.failures.items() if not reason.startswith("refused")}
        )
    failed = reasons.total()
    after = f", {missing - failed} of them after a failed one" if missing > failed else ""
    yield f"{missing} turns are missing{after}; the reasons:"
    for reason, count in reasons.most_common(_MOST_REASONS):
        yield f"  {count} x {reason}"
    if len(reasons) > _MOST_REASONS:
        yield f"  and {len(reasons) - _MOST_REASONS} other reasons; see log.txt in the run's folder"
    yield "mend what the reasons name, then run the same command again: it tries these turns again"
