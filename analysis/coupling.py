"""How errors of image generation affect understanding: text turns after the model's own images.

Static questions ask about what the image should show, so a wrong image makes them harder. Dynamic questions
are keyed to what the model actually drew, so they measure reading only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.inference import Estimate, Inference, holm, undefined
from analysis.panel import Panel, Quantity
from analysis.propagation import before_image
from analysis.statistic import mean, within_regression

__all__ = ["KINDS", "Coupling", "coupling"]

FEWEST = 10
"""Minimum number of dialogues for a slope within dialogues."""
KINDS: tuple[Quantity, ...] = ("text", "static", "dynamic", "free")


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """Estimates for one kind of text turn of one strategy."""

    strategy: str
    kind: str
    """ "text": all text turns; "static" and "dynamic": multiple choice; "free": free text."""
    gap: Estimate
    """Text score on gold minus own history, paired, turns 2 and later."""
    slope: Estimate
    """Change of the text score per unit of error (1 - score) of the latest own image before it, within
    dialogues.
    """


def coupling(panel: Panel, inference: Inference) -> tuple[Coupling, ...]:
    """The estimates of each strategy and each kind of text turn that has a score.

    p-values of one kind are adjusted over the strategies (Holm). Oracle arms form a separate family.
    """
    found = [c for strategy in panel.strategies for c in _kinds(panel, inference, strategy)]
    adjusted: dict[tuple[str, str], Coupling] = {}
    for kind in KINDS:
        for is_oracle in (False, True):
            family = [c for c in found if c.kind == kind and (c.strategy in panel.oracles) is is_oracle]
            adjusted |= {(c.strategy, c.kind): c for c in _adjusted(family)}
    return tuple(adjusted[c.strategy, c.kind] for c in found)


def _adjusted(family: Sequence[Coupling]) -> Iterator[Coupling]:
    gaps, slopes = holm([c.gap for c in family]), holm([c.slope for c in family])
    for found, gap, slope in zip(family, gaps, slopes, strict=True):
        yield replace(found, gap=gap, slope=slope)


def _kinds(panel: Panel, inference: Inference, strategy: str) -> Iterator[Coupling]:
    error = before_image(panel, 1 - panel.scores(strategy))
    for kind in KINDS:
        own = panel.scores(strategy, "own", kind)
        if np.isfinite(own).any():
            gap = panel.replayed(strategy, "gold", kind) - own
            yield Coupling(
                strategy=strategy,
                kind=kind,
                gap=inference.closed_form(mean(gap)),
                slope=_slope(inference.closed_form(within_regression(own, error))),
            )


def _slope(estimate: Estimate) -> Estimate:
    if estimate.num_samples >= FEWEST:
        return estimate
    few = (
        f"{estimate.num_samples} dialogues have two such turns after images of different error; "
        f"{FEWEST} are needed"
    )
    return replace(undefined(few), num_samples=estimate.num_samples, num_units=estimate.num_units)
