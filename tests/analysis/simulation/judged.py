"""Candidates with grades and a judge's verdicts, and what the judge is worth in the whole population."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.panel import Panel
from analysis.records import Key, Record, Study
from analysis.responses import Judged, Pool
from analysis.selection import Selection, Verifier, selections, verifiers
from tests.analysis.simulation.outcome import COVERAGE, Outcome, Tally
from tests.analysis.simulation.worlds import FULL_MARKS, Floats, expit, record, sample_key, study_of

POPULATION = 100_000
"""Dialogues from which the truth is computed: its error is a twentieth of a study's of 200."""
THRESHOLD = 0.5


class Drawn(NamedTuple):
    """Grades and verdicts, shape (dialogues, turns, candidates), and the turns that each dialogue has."""

    grades: Floats
    verdicts: Floats
    lengths: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A population of dialogues in which a judge picks one of several candidates at each turn."""

    num_samples: int = 200
    num_turns: int = 5
    num_candidates: int = 4
    level: float = 2.2
    between: float = 1.0
    """Standard deviation of dialogues, in logits of a candidate's points."""
    insight: float = 1.5
    """Logits by which the verdict of a perfect candidate is higher."""
    mood: float = 0.7
    """Standard deviation over dialogues of the judge's verdicts, in logits."""
    doubt: float = 1.0
    """The same over candidates."""

    def draw(self, rng: np.random.Generator) -> Drawn:
        shape = self.num_samples, self.num_turns, self.num_candidates
        effect = rng.normal(0, self.between, (self.num_samples, 1, 1))
        chance = expit(self.level + effect + rng.normal(0, 0.5, (*shape[:2], 1)))
        points = rng.binomial(FULL_MARKS, np.broadcast_to(chance, shape))
        mood = rng.normal(0, self.mood, (self.num_samples, 1, 1))
        verdicts = mood + self.insight * (2.0 * (points == FULL_MARKS) - 1) + rng.normal(0, self.doubt, shape)
        lengths = rng.integers(1, self.num_turns + 1, self.num_samples)
        return Drawn(points / FULL_MARKS, expit(verdicts), lengths)

    def study(self, seed: int) -> Study:
        """A study of one arm, best_of_N."""
        return study_of(tuple(self._records(self.draw(np.random.default_rng(seed)))))

    def truth(self, seed: int = 0) -> dict[str, float]:
        """What the judge and its picks are worth in a large population."""
        whole = replace(self, num_samples=POPULATION).draw(np.random.default_rng(seed))
        has = np.arange(self.num_turns) < whole.lengths[:, None]
        grades, verdicts = whole.grades[has], whole.verdicts[has]
        picked = np.take_along_axis(grades, verdicts.argmax(axis=1)[:, None], axis=1).mean()
        random, best = grades.mean(), grades.max(axis=1).mean()
        return _rates(grades.ravel(), verdicts.ravel()) | {
            "regret": float(best - picked),
            "share": float((picked - random) / (best - random)),
        }

    def _records(self, drawn: Drawn) -> Iterator[Record]:
        strategy = f"best_of_{self.num_candidates}"
        for row, length in enumerate(drawn.lengths.tolist()):
            for column in range(length):
                grades, verdicts = drawn.grades[row, column].tolist(), drawn.verdicts[row, column].tolist()
                chosen = int(np.argmax(verdicts))
                yield record(
                    Key(strategy, "own", 0, sample_key(row), column + 1),
                    grades[chosen],
                    judged=tuple(map(Judged, verdicts, grades)),
                    pools=(Pool(strategy, tuple(grades), tuple(verdicts), chosen),),
                )


def _rates(grades: Floats, verdicts: Floats) -> dict[str, float]:
    is_perfect = grades == 1
    high, low = verdicts[is_perfect], np.sort(verdicts[~is_perfect])
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return {
        "TPR": float((high >= THRESHOLD).mean()),
        "TNR": float((low < THRESHOLD).mean()),
        "AUC": float(below.mean() / 2 / len(low)),
    }


def of_judges(bench: Bench, name: str, studies: int, first_seed: int = 0) -> Iterator[Outcome]:
    """How often the intervals of table T6 hold their truth; undefined ones do not count."""
    truth, tally = bench.truth(), Tally("coverage", COVERAGE)
    for seed in range(first_seed, first_seed + studies):
        study = bench.study(seed)
        panel = Panel.of(study)
        inference = panel.inference("sample", 400, seed)
        (judge,), (picks,) = verifiers(study, panel, inference), selections(study, panel, inference)
        for what, (low, high) in _intervals(judge, picks).items():
            if np.isfinite(low):
                tally.add(f"{what}, {name}", low <= truth[what] <= high)
    yield from tally.outcomes()


def _intervals(judge: Verifier, picks: Selection) -> dict[str, tuple[float, float]]:
    found = {
        "TPR": judge.true_positive_rate,
        "TNR": judge.true_negative_rate,
        "AUC": judge.auc,
        "regret": picks.regret,
        "share": picks.share,
    }
    return {what: (estimate.low, estimate.high) for what, estimate in found.items()}
