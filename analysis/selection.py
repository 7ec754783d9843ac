"""Quality of the judge inside a strategy: as a verifier, and as a selector among candidates.

Both are measured against the scorer's grades of the candidates that the strategy itself drew, on own history.
Neither changes a score of the ablation table.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analysis.auc import Auc
from analysis.bootstrap import Floats
from analysis.inference import Estimate, Inference, undefined
from analysis.judge_intervals import auc_interval, share_interval
from analysis.panel import Panel
from analysis.qualified import known_agreement
from analysis.records import Record, SampleKey, Study
from analysis.responses import Judged, Kind
from analysis.statistic import ratio, share

__all__ = ["Accuracy", "Bin", "Selection", "Verdicts", "Verifier", "selections", "verifiers"]

DEFAULT_THRESHOLD = 0.5
NUM_BINS = 10
LIMITS: Mapping[Kind, str] = {
    "reward": "Rewards have an order and no threshold: no TPR, TNR or ECE.",
    "rank": "Ranks hold within a pool of candidates alone: no TPR, TNR, AUC or ECE.",
}
"""The measures that a kind of verdict does not support, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Candidates with similar verdicts. For a calibrated judge, `verdict` (mean verdict) equals `grade` (mean
    grade).
    """

    verdict: float
    grade: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How well verdicts separate perfect images from other images."""

    true_positive_rate: Estimate
    true_negative_rate: Estimate
    auc: Estimate
    """P(verdict of a perfect candidate > verdict of another one), ties counted half."""
    num_positive: int
    num_negative: int


@dataclass(frozen=True, kw_only=True)
class Verifier(Accuracy):
    """Accuracy of one strategy's judge; an image is perfect if the scorer gives full marks."""

    strategy: str
    kind: Kind
    threshold: float
    """A candidate is accepted if its verdict is at least this."""
    calibration: tuple[Bin, ...]
    """Candidates in bins of their verdict."""
    num_unparsable: int
    by_step: Accuracy | None
    """The accuracy when an image is perfect if it has the full step score: the turn's request was carried out
    without error, whatever the previous image looked like. None if images have no step score.
    """

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: |mean verdict - mean grade|, averaged over the candidates; NaN without
        candidates.
        """
        sizes = [b.count for b in self.calibration]
        if not sizes:
            return float("nan")
        return float(np.average([abs(b.verdict - b.grade) for b in self.calibration], weights=sizes))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The value of selecting among candidates; all scores are means over the same pools."""

    strategy: str
    oracle: bool
    layer: str
    num_pools: int
    candidates_per_pool: float
    random: Estimate
    """Mean score of all candidates: the expected score of a random choice."""
    arm: Estimate
    best: Estimate
    """Mean score of the best candidates: the score of a perfect selector."""
    regret: Estimate
    """best - arm."""
    share: Estimate
    """(arm - random) / (best - random); undefined if the denominator is not clearly above 0."""
    people: str
    """Agreement of the selecting judge with human preferences, in percent of pairs; empty if not measured."""


def verifiers(study: Study, panel: Panel, inference: Inference) -> tuple[Verifier, ...]:
    """The verifier accuracy of each strategy with judged images, for each kind of verdict.

    Oracle arms are excluded, because their judge is the scorer.
    """
    own, rows = _own_records(study), _rows(panel)
    found = []
    for strategy in panel.strategies:
        judged = [(rows[r.key.sample], j) for r in own[strategy] for j in r.judged]
        for kind in sorted({j.kind for _, j in judged}) if strategy not in panel.oracles else ():
            same = [(row, j) for row, j in judged if j.kind == kind]
            found.append(_verifier(strategy, kind, same, panel, inference))
    return tuple(found)


def selections(study: Study, panel: Panel, inference: Inference) -> tuple[Selection, ...]:
    """The value of selection of each strategy, for each Best-of-N layer with graded images."""
    own, people = _own_records(study), known_agreement(study.folder)
    said = {
        (strategy, judge.layer): people.get(judge.identity, "")
        for strategy, judges in study.judges.items()
        for judge in judges
    }
    return tuple(
        _selection(strategy, layer, own[strategy], panel, inference, said.get((strategy, layer), ""))
        for strategy in panel.strategies
        for layer in sorted({pool.layer for r in own[strategy] for pool in r.pools})
    )


def _own_records(study: Study) -> dict[str, list[Record]]:
    own = defaultdict(list)
    for record in study.records:
        if record.key.history == "own":
            own[record.key.strategy].append(record)
    return own


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The parsed verdicts of one kind; arrays of shape (verdicts,)."""

    kind: Kind
    threshold: float
    cluster: npt.NDArray[np.int64]
    """The row of each verdict's sample."""
    verdict: Floats

    def accuracy(self, positive: npt.NDArray[np.bool_], num_samples: int, inference: Inference) -> Accuracy:
        """TPR, TNR and AUC, where verdicts of this kind support them. `positive` marks perfect images."""
        sizes = _per_sample(num_samples, self.cluster, [positive, ~positive])
        found = {name: undefined(LIMITS.get(self.kind, "")) for name in ("tpr", "tnr", "auc")}
        if self.kind != "rank":
            auc = Auc(num_samples=num_samples, sample=self.cluster, verdict=self.verdict, positive=positive)
            rarer = int(np.count_nonzero(inference.by_cluster(sizes), axis=0).min())
            found["auc"] = auc_interval(inference.resampled(auc), rarer)
        if self.kind == "probability":
            accepted = self.verdict >= self.threshold
            right = _per_sample(num_samples, self.cluster, [accepted & positive, ~accepted & ~positive])
            rates = {name: share(right[:, i], sizes[:, i]) for i, name in enumerate(("tpr", "tnr"))}
            found |= inference.estimates(rates)
        return Accuracy(
            true_positive_rate=found["tpr"],
            true_negative_rate=found["tnr"],
            auc=found["auc"],
            num_positive=int(positive.sum()),
            num_negative=int((~positive).sum()),
        )

    def among(self, chosen: npt.NDArray[np.bool_]) -> Verdicts:
        return replace(self, cluster=self.cluster[chosen], verdict=self.verdict[chosen])


def _verifier(
    strategy: str, kind: Kind, judged: Sequence[tuple[int, Judged]], panel: Panel, inference: Inference
) -> Verifier:
    known = [(row, j) for row, j in judged if j.verdict is not None]
    verdict, grade, step = (
        np.array([getattr(j, name) for _, j in known], dtype=np.float64)
        for name in ("verdict", "grade", "step")
    )
    rows, num_samples = np.array([row for row, _ in known], dtype=np.int64), len(panel.samples)
    read = Verdicts(kind=kind, threshold=_threshold(strategy), cluster=rows, verdict=verdict)
    has_step = np.isfinite(step)
    return Verifier(
        strategy=strategy,
        kind=kind,
        threshold=read.threshold,
        calibration=_calibration(verdict, grade) if kind == "probability" else (),
        num_unparsable=len(judged) - len(known),
        by_step=read.among(has_step).accuracy(step[has_step] == 1, num_samples, inference)
        if has_step.any()
        else None,
        **vars(read.accuracy(grade == 1, num_samples, inference)),
    )


def _calibration(verdict: Floats, grade: Floats) -> tuple[Bin, ...]:
    edges = np.clip((verdict * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    members = (edges == index for index in range(NUM_BINS))
    return tuple(
        Bin(verdict=float(verdict[m].mean()), grade=float(grade[m].mean()), count=int(m.sum()))
        for m in members
        if m.any()
    )


def _selection(
    strategy: str, layer: str, records: Sequence[Record], panel: Panel, inference: Inference, people: str
) -> Selection:
    rows, num_samples = _rows(panel), len(panel.samples)
    pools = [(rows[r.key.sample], p) for r in records for p in r.pools if p.layer == layer]
    cluster = np.array([row for row, _ in pools])
    chosen = np.array([p.grades[p.chosen] for _, p in pools])
    best = np.array([max(p.grades) for _, p in pools])
    random = np.array([np.mean(p.grades) for _, p in pools])
    names = {"random": random, "arm": chosen, "best": best, "regret": best - chosen}
    names |= {"gained": chosen - random, "possible": best - random}
    sums = dict(zip(names, _per_sample(num_samples, cluster, list(names.values())).T, strict=True))
    (size,) = _per_sample(num_samples, cluster, [np.ones(len(pools))]).T
    possible = ratio(sums["possible"], size)
    gained = ratio(sums["gained"], sums["possible"])
    gained = replace(gained, units=size, is_ratio=True, must_exceed_zero=possible)
    levels = {name: share(sums[name], size) for name in ("random", "arm", "best", "regret")}
    found = inference.estimates(levels | {"share": gained})
    found["share"] = share_interval(found["share"], int(np.count_nonzero(inference.by_cluster(size))))
    return Selection(
        strategy=strategy,
        oracle=layer.startswith("oracle_"),
        layer=layer,
        num_pools=len(pools),
        candidates_per_pool=float(np.mean([len(p.grades) for _, p in pools])),
        people=people,
        **found,
    )


def _rows(panel: Panel) -> dict[SampleKey, int]:
    return {sample: row for row, sample in enumerate(panel.samples)}


def _per_sample(
    num_samples: int, cluster: npt.NDArray[np.int64], columns: Sequence[npt.NDArray[np.generic]]
) -> Floats:
    """The sums of each column by sample, shape (samples, columns)."""
    sums = (np.bincount(cluster, c.astype(np.float64), minlength=num_samples) for c in columns)
    return np.stack(list(sums), axis=1)


def _threshold(strategy: str) -> float:
    """The acceptance threshold: the one in the label, or else the default."""
    stated = re.search(r"[\[,]threshold=([^,\]]+)", strategy)
    return float(stated[1]) if stated else DEFAULT_THRESHOLD
