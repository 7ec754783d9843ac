"""The series of a run in wandb: totals over its turns so far, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from imug_tts.contracts import Cost, Record, count_pools, count_verdicts

__all__ = ["TURNS", "Series", "flat"]

TURNS = "turns/done"
"""The series on the x axis of all others."""


class Series:
    """Running totals of one run. Scores are means over scored turns, in [0, 1]; shares are in [0, 1]."""

    def __init__(self, planned: int) -> None:
        self.planned = planned
        self.turns = 0
        self.calls_made = 0
        """Calls of this invocation that the journal did not answer."""
        self._outcomes: Counter[str] = Counter()
        self._costs: defaultdict[str, Cost] = defaultdict(Cost)
        self._sums: Counter[str] = Counter()
        self._scored: Counter[str] = Counter()
        self._verdicts = _Share()
        self._pools = _Share()

    def take(self, record: Record) -> None:
        """Add the record of a turn to the totals."""
        self.turns += 1
        self._outcomes[record["outcome"]] += 1
        for payer, cost in record["cost"].items():
            self._costs[payer] += Cost(**cost)
        self._verdicts.add(*count_verdicts(record))
        self._pools.add(*count_pools(record))
        if record["outcome"] == "scored":
            for name in _score_names(record):
                self._sums[name] += record["score"]
                self._scored[name] += 1

    def row(self) -> dict[str, float]:
        """Return the current value of every series."""
        ends = {end: self._outcomes[end] for end in ("scored", "unscored", "refused")}
        row: dict[str, float] = {
            TURNS: self.turns,
            "turns/planned": self.planned,
            "turns/failed": self.turns - sum(ends.values()),
            **{f"turns/{end}": count for end, count in ends.items()},
            "calls/made": self.calls_made,
        }
        for payer, cost in self._costs.items():
            row |= {f"cost/{payer}/{kind}": amount for kind, amount in cost.to_json().items()}
        total = sum(self._costs.values(), Cost())
        row |= {f"cost/all/{kind}": amount for kind, amount in total.to_json().items()}
        row |= self._verdicts.row("verdicts", "unread") | self._pools.row("candidate_pools", "identical")
        return row | {name: total / self._scored[name] for name, total in self._sums.items()}


class _Share:
    """A total count, and the count of a part of it."""

    def __init__(self) -> None:
        self.whole = 0
        self.part = 0

    def add(self, whole: int, part: int) -> None:
        self.whole += whole
        self.part += part

    def row(self, what: str, which: str) -> dict[str, float]:
        if not self.whole:
            return {}
        share = self.part / self.whole
        return {f"{what}/all": self.whole, f"{what}/{which}": self.part, f"{what}/{which}_share": share}


def flat(values: Mapping[str, Any], head: str) -> dict[str, Any]:
    """Return nested values as one mapping with names such as "final/spent/calls"; "" puts no head on them."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{head}/{key}" if head else str(key)
        named |= flat(value, name) if isinstance(value, Mapping) else {name: value}
    return named


def _score_names(record: Record) -> tuple[str, str, str]:
    """Return the series that a turn's score belongs to: by history and modality, class, and turn number."""
    head = f"score/{record['history']}/{record['modality']}"
    return head, f"{head}/class/{record['class']}", f"{head}/turn/{record['turn']:02}"
