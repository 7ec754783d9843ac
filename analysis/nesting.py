"""The gain of a nested strategy over its parts, and the synergy of two layers beyond the sum of their
gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from analysis.inference import Estimate, Inference, holm, undefined
from analysis.names import is_part_of, label_of, layers, setting_of
from analysis.panel import Panel
from analysis.statistic import mean

__all__ = ["Nesting", "Synergy", "nestings", "synergies"]

Verdict = Literal["gain", "none", "loss", "void"]
_PLAIN = "direct"
"""The label of the strategy without layers."""


@dataclass(frozen=True, kw_only=True)
class Nesting:
    """A nested strategy compared with one of its parts, on the same cells."""

    strategy: str
    part: str
    oracle: bool
    difference: Estimate
    """Score of the strategy minus that of the part. The p-value is adjusted (Holm) over all nestings of the
    study; oracle arms form a separate family.
    """
    finding: Verdict
    """ "gain" or "loss" if the adjusted p-value is below .05; "void" if nothing may be claimed; else
    "none".
    """
    void: str = ""
    """The reason why nothing may be claimed; empty if claims are allowed."""


@dataclass(frozen=True, kw_only=True)
class Synergy:
    """The joint gain of two layers minus the sum of their separate gains."""

    strategy: str
    parts: tuple[str, str]
    difference: Estimate
    """Score of the whole - part - part + the strategy without both layers; undefined if the study lacks the
    latter.
    """


def nestings(panel: Panel, inference: Inference) -> tuple[Nesting, ...]:
    """Comparisons of every nested strategy of the study with each of its parts."""
    found = list(_nestings(panel, inference))
    adjusted: dict[tuple[str, str], Estimate] = {}
    for is_oracle in (False, True):
        family = [n for n in found if n.oracle is is_oracle]
        differences = holm([n.difference for n in family])
        adjusted |= {(n.strategy, n.part): e for n, e in zip(family, differences, strict=True)}
    return tuple(_judged(n, adjusted[n.strategy, n.part]) for n in found)


def synergies(panel: Panel, inference: Inference) -> tuple[Synergy, ...]:
    """The synergies of all strategies whose layers are exactly those of two parts."""
    return tuple(
        Synergy(strategy=whole, parts=parts, difference=_synergy(panel, inference, whole, parts))
        for whole in panel.strategies
        for parts in combinations((s for s in panel.strategies if is_part_of(s, whole)), 2)
        if sorted((*layers(parts[0]), *layers(parts[1]))) == sorted(layers(whole))
    )


def _nestings(panel: Panel, inference: Inference) -> Iterator[Nesting]:
    for whole in panel.strategies:
        for part in (s for s in panel.strategies if len(layers(whole)) > 1 and is_part_of(s, whole)):
            void = panel.void(whole, part)
            difference = inference.closed_form(mean(panel.scores(whole) - panel.scores(part)))
            yield Nesting(
                strategy=whole,
                part=part,
                oracle=whole in panel.oracles,
                difference=undefined(void) if void else difference,
                finding="void" if void else "none",
                void=void,
            )


def _judged(nesting: Nesting, difference: Estimate) -> Nesting:
    finding, is_exact = nesting.finding, difference.standard_error == 0
    if difference.is_shown or (is_exact and difference.value != 0):
        finding = "gain" if difference.value > 0 else "loss"
    return replace(nesting, difference=difference, finding=finding)


def _synergy(panel: Panel, inference: Inference, whole: str, parts: tuple[str, str]) -> Estimate:
    """The synergy estimate. It uses the strategy without both layers, whichever baseline other gains use."""
    without = _without_layers(whole, panel.strategies)
    if without is None:
        return undefined(f'the study has no arm without both layers (label "{_PLAIN}", same settings)')
    if void := panel.void(whole, *parts, without):
        return undefined(void)
    alone = panel.scores(parts[0]) + panel.scores(parts[1])
    return inference.closed_form(mean(panel.scores(whole) + panel.scores(without) - alone))


def _without_layers(whole: str, strategies: Sequence[str]) -> str | None:
    """The plain strategy under the settings of `whole`, or the only plain strategy of the study; None if
    there is none.
    """
    plain = [name for name in strategies if label_of(name) == _PLAIN]
    alike = [name for name in plain if setting_of(name) == setting_of(whole)]
    return next(iter(alike or (plain if len(plain) == 1 else [])), None)
