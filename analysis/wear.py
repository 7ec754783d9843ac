"""Do scores fall with the number of the model's own images in the history, or with the number of other turns?

Within dialogues, the score of an image turn is regressed on the number of own images before it and on the
number of other turns before it. Both counts grow with the turn, so only dialogues that mix images with other
turns separate the two effects. If too few dialogues do, there is no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.estimands import of_design
from analysis.inference import Estimate, Inference, holm, undefined
from analysis.panel import Panel
from analysis.statistic import Formula, Statistic, centered

__all__ = ["MOST_CORRELATED", "Wear", "wear"]

MOST_CORRELATED = 0.95
"""Above this within-dialogue correlation of the two counts (variance inflation of 10) there is no
estimate.
"""


@dataclass(frozen=True, kw_only=True)
class Wear:
    """The change of the image score on own history per earlier turn, within dialogues."""

    strategy: str
    per_image: Estimate
    """The change per own image before the turn, with the number of other turns held fixed."""
    per_other: Estimate
    """The change per other turn before it, with the number of own images held fixed."""
    difference: Estimate
    """`per_image` - `per_other`: below 0 if own images lower later scores more than other turns do."""
    correlation: float
    """The within-dialogue correlation of the two counts; NaN if one of them never varies."""


def wear(panel: Panel, inference: Inference) -> tuple[Wear, ...]:
    """The estimates of each strategy that has scores on own history.

    p-values are adjusted over the strategies (Holm). Oracle arms form a separate family.
    """
    found = [w for strategy in panel.strategies for w in _wear(panel, inference, strategy)]
    oracles = [w for w in found if w.strategy in panel.oracles]
    return (*_adjusted([w for w in found if w not in oracles]), *_adjusted(oracles))


def _wear(panel: Panel, inference: Inference, strategy: str) -> Iterator[Wear]:
    own = panel.scores(strategy)
    known = np.isfinite(own)
    if not known.any():
        return
    is_image = panel.design("own").astype(np.int64)
    images = np.cumsum(is_image, axis=1) - is_image
    others = np.arange(own.shape[1]) - images
    x, z = (centered(grid.astype(np.float64), known) for grid in (images, others))
    correlation = _correlation(x, z)
    columns = _products(x, z, np.where(known, own, 0.0))
    units = np.where((x**2).sum(axis=1) > 0, known.sum(axis=1), 0.0)
    losses = panel.losses((strategy, "own"))

    def estimate(formula: Formula) -> Estimate:
        statistic = Statistic(columns=columns, formula=formula, units=units, num_parameters=2)
        return inference.closed_form(of_design(statistic, losses))

    why = _why_not(correlation)
    per_image, per_other, difference = (
        undefined(why) if why else estimate(formula) for formula in (_per_image, _per_other, _difference)
    )
    yield Wear(
        strategy=strategy,
        per_image=per_image,
        per_other=per_other,
        difference=difference,
        correlation=correlation,
    )


def _products(x: Floats, z: Floats, y: Floats) -> Floats:
    return np.stack([(pair[0] * pair[1]).sum(axis=1) for pair in ((x, x), (x, z), (z, z), (x, y), (z, y))], 1)


def _correlation(x: Floats, z: Floats) -> float:
    spread = math.sqrt(float((x**2).sum() * (z**2).sum()))
    return float((x * z).sum()) / spread if spread > 0 else float("nan")


def _why_not(correlation: float) -> str:
    if math.isnan(correlation):
        return "dialogues do not mix images with other turns, so the two cannot be told apart"
    if abs(correlation) > MOST_CORRELATED:
        return (
            f"within dialogues images and other turns grow together (correlation {correlation:.2f}), "
            "so the two cannot be told apart"
        )
    return ""


def _per_image(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    xx, xz, zz, xy, zy = np.moveaxis(s, -1, 0)
    return np.asarray((zz * xy - xz * zy) / (xx * zz - xz * xz))


def _per_other(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    xx, xz, zz, xy, zy = np.moveaxis(s, -1, 0)
    return np.asarray((xx * zy - xz * xy) / (xx * zz - xz * xz))


def _difference(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(_per_image(s) - _per_other(s))


def _adjusted(found: list[Wear]) -> list[Wear]:
    columns = (
        holm([w.per_image for w in found]),
        holm([w.per_other for w in found]),
        holm([w.difference for w in found]),
    )
    return [
        replace(w, per_image=image, per_other=other, difference=difference)
        for w, image, other, difference in zip(found, *columns, strict=True)
    ]
