"""Running totals over the records of a run."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from imug_tts.contracts import Cost, Record, count_pools, count_verdicts

__all__ = ["Tally"]

_NUMBERS: Final = re.compile(r"[0-9a-f]{12,}|\d+(\.\d+)?")
_LONGEST: Final = 300
_MOST_REASONS: Final = 50


class Tally:
    """Totals of a run's records: outcomes, scores, cost, failures, verdicts, pools."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.intrinsic = Cost()
        self.failures: Counter[str] = Counter()
        """Turns without a score by reason; reasons that differ only in numbers are counted together."""
        self.unasked = 0
        """Turns that are skipped because they need the answer of a refused turn."""
        self.verdicts = 0
        self.unread_verdicts = 0
        self.pools = 0
        self.identical_pools = 0
        self._scores: dict[str, list[float]] = {}
        self._words: dict[str, str] = {}

    def count(self, record: Record) -> None:
        self.outcomes[record["outcome"]] += 1
        for cost in record["cost"].values():
            self.intrinsic += Cost(**cost)
        if record["outcome"] == "scored":
            self._scores.setdefault(record["modality"], []).append(record["score"])
        elif record["outcome"] != "unscored":
            self._count_failure(record)
        verdicts, unread = count_verdicts(record)
        self.verdicts += verdicts
        self.unread_verdicts += unread
        pools, identical = count_pools(record)
        self.pools += pools
        self.identical_pools += identical

    @property
    def scores(self) -> dict[str, float]:
        """Mean score in [0, 1] by modality, over scored turns."""
        # fsum: the order in which dialogues finish must not change the last digits.
        return {m: math.fsum(scores) / len(scores) for m, scores in sorted(self._scores.items())}

    def _count_failure(self, record: Record) -> None:
        if record["outcome"] == "refused" and record["history"] == "own":
            self.unasked += record["n_turns"] - record["turn"]
        said = f"{record['outcome']}: {record['error'] or 'no reason was given'}"[:_LONGEST]
        kind = _NUMBERS.sub("#", said)
        if kind not in self._words and len(self._words) >= _MOST_REASONS:
            said = kind = f"{record['outcome']}: other reasons"
        self.failures[self._words.setdefault(kind, said)] += 1
