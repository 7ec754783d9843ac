"""Dry runs of rescoring: count the calls of the scorer, and how many of them the journal answers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from imug_tts.calls import Brokers, Journal
from imug_tts.calls.seeds import branch_seed
from imug_tts.concurrency import run_blocking
from imug_tts.contracts import Backbone, JudgeError, Remote
from imug_tts.prompts import load
from imug_tts.runs.dry_run import RecordingScope
from imug_tts.runs.rescoring import Rescorer, Rescoring

__all__ = ["ScoringPlan", "plan_scoring"]


@dataclass(frozen=True, kw_only=True)
class ScoringPlan:
    """The number of calls of the scorer, if its first reply to each can be parsed."""

    calls: int
    """Distinct calls."""
    journaled: int
    """Calls that the journal answers."""
    dollars: float
    """Price of the calls that the journal does not answer; 0 without a configured price."""


def plan_scoring(work: Rescoring, journal: Journal) -> ScoringPlan:
    """Return the number of calls of the scorer, without making any of them."""
    if work.scorer is None:
        return ScoringPlan(calls=0, journaled=0, dollars=0.0)
    asked = run_blocking(_asked(work, work.scorer))
    journaled = sum(journal.get(call) is not None for call in asked)
    price = work.scorer.dollars_per_call if isinstance(work.scorer, Remote) else 0.0
    return ScoringPlan(calls=len(asked), journaled=journaled, dollars=price * (len(asked) - journaled))


async def _asked(work: Rescoring, scorer: Backbone) -> set[str]:
    """Return the identities of all calls of the scorer."""
    found: set[str] = set()
    prompts = load(scorer.capabilities.prompts)
    for sample in work.samples:
        rescorer = Rescorer(work, sample, Brokers(Journal()), lambda role, model, modality: None)
        for record in work.source.records(sample):
            scope = RecordingScope(prompts, branch_seed(0, sample.name, record["turn"], ()))
            with suppress(JudgeError):
                await rescorer.score(record, scope)
            found.update(call.identity(scorer.identity) for call in scope.calls)
    return found
