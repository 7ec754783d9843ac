"""The area under the ROC curve of a judge's verdicts, computed from counts per distinct verdict value
("height").

AUC = P(verdict of a positive > verdict of a negative), ties counted half, over all pairs. Counting per height
takes time linear in the number of verdicts; a table of pairs would be quadratic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.inference import Inference

__all__ = ["Auc"]

_AT_ONCE: Final = 10_000
"""Heights that are resampled at once, so that the memory does not grow with their number."""
_FEW: Final = 64
"""Heights up to which a dense matrix of counts is multiplied faster than a sparse one."""


@dataclass(frozen=True, kw_only=True)
class Auc:
    """The AUC statistic of a set of verdicts; arrays have shape (verdicts,)."""

    num_samples: int
    sample: npt.NDArray[np.int64]
    """The row of each verdict's sample."""
    verdict: Floats
    positive: npt.NDArray[np.bool_]

    @property
    def value(self) -> float:
        pairs = self._positives.sum() * self._negatives.sum()
        return float(self._positives @ self._outdone) / pairs if pairs else float("nan")

    @property
    def influence(self) -> Floats:
        """The influence of each sample on the AUC, shape (samples,)."""
        num_positive, num_negative = self._positives.sum(), self._negatives.sum()
        outdoing = num_positive - np.cumsum(self._positives) + self._positives / 2
        won = np.where(self.positive, self._outdone[self._height], outdoing[self._height])
        with np.errstate(invalid="ignore", divide="ignore"):
            size = np.where(self.positive, num_negative, num_positive)
            weights = (won - self.value * size) / (num_positive * num_negative)
            return np.asarray(np.bincount(self.sample, weights, minlength=self.num_samples), dtype=np.float64)

    @property
    def units(self) -> Floats:
        counts = np.bincount(self.sample, minlength=self.num_samples)
        return np.asarray(counts, dtype=np.float64)

    def draws(self, inference: Inference) -> Floats:
        """The AUC in each bootstrap resample, shape (resamples,)."""
        pieces = list(self._pieces(inference))

        def value(weights: Floats) -> Floats:
            won, num_positive, num_negative = np.zeros((3, len(weights)))
            for counts in pieces:
                positives, negatives = (each @ weights.T for each in counts)
                outdone = num_negative + np.cumsum(negatives, axis=0) - negatives / 2
                won += np.einsum("ij,ij->j", positives, outdone)
                num_positive += positives.sum(axis=0)
                num_negative += negatives.sum(axis=0)
            return np.asarray(won / (num_positive * num_negative))

        with np.errstate(invalid="ignore", divide="ignore"):
            return inference.bootstrap.each(value)

    def _pieces(self, inference: Inference) -> Iterator[list[Any]]:
        """Counts of positives and of negatives, shape (heights, clusters), in blocks, lowest first."""
        from scipy.sparse import csr_array

        shape = self._heights.size, len(inference.bootstrap.strata)
        both: list[Any] = []
        for kind in (self.positive, ~self.positive):
            places = self._height[kind], inference.clusters[self.sample[kind]]
            counts = csr_array((np.ones(places[0].size), places), shape=shape)
            both.append(counts.toarray() if self._heights.size <= _FEW else counts)
        for start in range(0, self._heights.size, _AT_ONCE):
            yield [counts[start : start + _AT_ONCE] for counts in both]

    @cached_property
    def _heights(self) -> Floats:
        return np.unique(self.verdict)

    @cached_property
    def _height(self) -> npt.NDArray[np.int64]:
        """The rank of each verdict's height; 0 is the lowest."""
        return np.searchsorted(self._heights, self.verdict)

    @cached_property
    def _positives(self) -> Floats:
        return self._at_each_height(self.positive)

    @cached_property
    def _negatives(self) -> Floats:
        return self._at_each_height(~self.positive)

    @cached_property
    def _outdone(self) -> Floats:
        """For each height, the number of negatives with a lower verdict; negatives with an equal verdict
        count half.
        """
        return np.cumsum(self._negatives) - self._negatives / 2

    def _at_each_height(self, kind: npt.NDArray[np.bool_]) -> Floats:
        return np.bincount(self._height[kind], minlength=self._heights.size).astype(np.float64)
