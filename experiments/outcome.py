"""How runs ended, in words that fit the exit status."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.command import complain
from imug_tts.contracts import Summary

__all__ = ["report", "report_scores"]

_TRY_AGAIN = "mend what the reasons name, then run the same command again: it tries these turns again"
_ANSWER_FIRST = (
    "turns that have no answer are tried again by the command that answered them; then score again"
)


def report(summaries: Sequence[Summary]) -> int:
    """Say what is missing and why; the exit status is 1 if another invocation would try any turn again."""
    from imug_tts.runs import said_of

    lines = list(said_of(summaries, _TRY_AGAIN))
    missing = sum(summary.missing for summary in summaries)
    if lines:
        complain("\n".join(lines), 1)
    return 1 if missing else 0


def report_scores(summary: Summary) -> int:
    """Say what has no score and why; the exit status is 1 if another invocation could score any of it."""
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
            f"{summary.unscored} turns wait for a judge; choose one, and another folder for the scores: "
            "judge=openai judge.base_url=URL judge.model=NAME output=DIR"
        )
    if lines:
        complain("\n".join(lines), 1)
    return 1 if summary.missing or summary.unscored else 0
