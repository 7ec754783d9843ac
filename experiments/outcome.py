"""Messages about how runs ended, consistent with the exit status."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.command import complain
from imug_tts.contracts import Summary

__all__ = ["report", "report_scores"]

_TRY_AGAIN = "fix the causes named above, then run the same command again: it retries these turns"
_ANSWER_FIRST = "retry unanswered turns with the command that made the run; then score again"


def report(summaries: Sequence[Summary]) -> int:
    """Print which turns are missing and why; return the exit status, 1 if another invocation would retry a
    turn.
    """
    from imug_tts.runs import said_of

    lines = list(said_of(summaries, _TRY_AGAIN))
    missing = sum(summary.missing for summary in summaries)
    if lines:
        complain("\n".join(lines), 1)
    return 1 if missing else 0


def report_scores(summary: Summary) -> int:
    """Print which turns have no score and why; return the exit status, 1 if another invocation could score
    one.
    """
    from imug_tts.runs.outcome import said_of_elsewhere, said_of_missing, said_of_refused

    failed = summary.outcomes.get("judge_error", 0)
    advice = [_TRY_AGAIN] if failed else []
    if summary.missing > failed:
        advice.append(_ANSWER_FIRST)
    lines = [
        *said_of_missing([summary], "\n".join(advice)),
        *said_of_elsewhere([summary]),
        *said_of_refused([summary]),
    ]
    if summary.unscored:
        lines.append(
            f"{summary.unscored} turns need a judge; choose one, and another folder for the scores: "
            "judge=openai judge.base_url=URL judge.model=NAME output=DIR"
        )
    if lines:
        complain("\n".join(lines), 1)
    return 1 if summary.missing or summary.unscored else 0
