"""Whether the sentences of one report agree with each other and with the estimates that they rest on.

The rules here do not know how a sentence was chosen: they look at what it states.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from analysis.inference import Estimate
from analysis.wording import Finding

__all__ = ["contradictions"]

_GAPS = {"exposure_gap", "gap_not_beyond"}
_CHANGES = {"reduction", "increase"}
_Estimates = Mapping[str, Estimate]


def contradictions(
    findings: Mapping[str, Finding], estimates: Mapping[str, _Estimates], baseline: str | None
) -> tuple[str, ...]:
    """What does not hold together, one text for each case; empty where all does."""
    rules: tuple[Callable[[Finding, _Estimates, Finding | None], Iterator[str]], ...] = (
        _change_without_gap, _change_on_one_scale, _equivalent_and_more, _confound, _shares, _tiers,
    )  # fmt: skip
    reference = findings.get(baseline) if baseline else None
    return tuple(
        f"{name}: {text}"
        for name, found in findings.items()
        for rule in rules
        for text in rule(found, estimates[name], None if name == baseline else reference)
    )


def _change_without_gap(found: Finding, _: _Estimates, reference: Finding | None) -> Iterator[str]:
    if _CHANGES & set(found.rules) and not (reference and _GAPS & set(reference.rules)):
        yield "a reduction is claimed of a gap that is not shown"


def _change_on_one_scale(found: Finding, one: _Estimates, _: Finding | None) -> Iterator[str]:
    points, logit = one["eb_reduction"], one["eb_reduction_logit"]
    if "reduction" in found.rules and not (points.low > 0 and logit.low > 0):
        yield "a reduction is claimed that an interval, in points or logits, does not show"
    if "increase" in found.rules and not (points.high < 0 and logit.high < 0):
        yield "an increase is claimed that an interval, in points or logits, does not show"


def _equivalent_and_more(found: Finding, _: _Estimates, reference: Finding | None) -> Iterator[str]:
    said = set(found.rules)
    if "gap_equivalent" in said and said & _GAPS:
        yield "a gap is both equivalent to zero and shown"
    if "reduction_equivalent" in said and said & _CHANGES:
        yield "a change is both equivalent to zero and claimed"
    if said & _CHANGES and reference and "gap_equivalent" in reference.rules:
        yield "a gap that is equivalent to zero is said to change"


def _confound(found: Finding, one: _Estimates, _: Finding | None) -> Iterator[str]:
    difference = one["slope_composition"]
    if "composition_confound" in found.rules and difference.low <= 0 <= difference.high:
        yield "a composition confound is claimed of slopes that do not differ"


def _shares(found: Finding, one: _Estimates, _: Finding | None) -> Iterator[str]:
    printed = {
        "attributable_fraction": "this accounts for" in found.sentence,
        "eb_reduction_ratio": bool(_CHANGES & set(found.rules) and re.search(r" \(\d+ %\)", found.sentence)),
    }
    for name, is_printed in printed.items():
        share = one[name]
        if is_printed and not (share.low >= 0 and share.high <= 1):
            yield f"a share is printed whose interval leaves 0 to 100 % ({name})"
    if printed["attributable_fraction"] and "do not decay after gold history" in found.sentence:
        yield "scores do not decay after gold history, and a share of their decay is stated"


def _tiers(found: Finding, one: _Estimates, _: Finding | None) -> Iterator[str]:
    if found.tier != "A" and {*_GAPS, *_CHANGES, "gap_equivalent"} & set(found.rules):
        yield "exposure is spoken of without gold history"
    if found.tier == "A" and "decay" in found.rules:
        yield "with gold history at hand the cause of the decay is said to be unknown"
