"""Means of grades and paired differences, with cluster-robust intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Bootstrap, Floats
from analysis.drivebench.grades import Group, Key
from analysis.inference import Estimate, Inference
from analysis.statistic import Statistic

__all__ = ["CAPABILITIES", "Cluster", "Questions"]

Cluster = Literal["scene", "frame"]

CAPABILITIES: Mapping[str, str] = {
    "perception": "perception_mcq",
    "reasoning": "behavior_mcq",
    "planning": "planning_vqa",
}
"""The capabilities that Drive-KD reports, and the kind of questions that measures each."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The questions of all groups, and how intervals are computed: questions of one scene (or one frame) are
    a cluster.
    """

    keys: tuple[Key, ...]
    cluster: Cluster = "scene"
    resamples: int = 10_000
    seed: int = 0

    @property
    def kinds(self) -> list[str]:
        return sorted({key.kind for key in self.keys})

    @property
    def num_clusters(self) -> int:
        return len(self._inference.bootstrap.strata)

    def of(self, group: Group, field: str) -> Floats:
        """Return a field of `Grade` for every question, averaged over runs, (questions,); NaN for no
        value.
        """
        return np.array([group.mean(key, field) for key in self.keys])

    def means(self, values: Floats, *, is_bounded: bool = True) -> dict[str, Estimate]:
        """Return the mean by kind, and as "average" the mean over the three capabilities.

        Args:
            values: one value for each question, (questions,); NaN for no value.
            is_bounded: whether all values are in [0, 1]; false for differences.
        """
        sums = {kind: self._sums(values, kind) for kind in self.kinds}
        statistics = {kind: _mean_of([each]) for kind, each in sums.items()}
        if all(kind in sums for kind in CAPABILITIES.values()):
            statistics["average"] = _mean_of([sums[kind] for kind in CAPABILITIES.values()])
        bounded = {name: replace(each, is_bounded=is_bounded) for name, each in statistics.items()}
        return self._inference.estimates(bounded)

    def _sums(self, values: Floats, kind: str) -> Floats:
        """Return the value (0 for none) and the count (0 or 1) of each question of a kind, (questions, 2)."""
        known = np.array([key.kind == kind for key in self.keys]) & np.isfinite(values)
        return np.stack([np.where(known, values, 0.0), known.astype(np.float64)], axis=1)

    @cached_property
    def _inference(self) -> Inference:
        names = [key[1:2] if self.cluster == "scene" else key[1:3] for key in self.keys]
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        bootstrap = Bootstrap(strata=("",) * len(numbers), resamples=self.resamples, seed=self.seed)
        return Inference(clusters=np.array([numbers[name] for name in names]), bootstrap=bootstrap)


def _mean_of(sums: Sequence[Floats]) -> Statistic:
    """Return the mean of several means; each item of `sums` has the values and counts of one mean."""
    columns = np.hstack(sums)
    return Statistic(columns=columns, formula=_mean_of_quotients, units=columns[:, 1::2].sum(axis=1))


def _mean_of_quotients(totals: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray((totals[..., 0::2] / totals[..., 1::2]).mean(axis=-1))
