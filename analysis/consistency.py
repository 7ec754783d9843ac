"""Checks that the findings of one report agree with each other and with the estimates they are based on.

The rules know nothing of how a sentence was chosen: they only read what the sentence states.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from analysis.inference import Estimate
from analysis.wording import COMMON_TURNS, Finding

__all__ = ["contradictions"]

_GAPS = {"exposure_gap", "gap_not_beyond"}
_CHANGES = {"reduction", "increase"}
_COMPARED = {*_CHANGES, "level_may_explain", "no_gap_to_reduce"}


class _Case(NamedTuple):
    """A finding and the estimates of its strategy."""

    found: Finding
    numbers: Mapping[str, Estimate]

    def says(self, rules: set[str]) -> bool:
        return bool(rules & set(self.found.rules))


def contradictions(
    findings: Mapping[str, Finding], estimates: Mapping[str, Mapping[str, Estimate]], baseline: str | None
) -> tuple[str, ...]:
    """The contradictions found, one sentence for each; empty if there are none."""
    cases = {name: _Case(found, estimates[name]) for name, found in findings.items()}
    reference = cases.get(baseline) if baseline else None
    return tuple(
        f"{name}: {text}"
        for name, case in cases.items()
        for rule in _RULES
        for text in rule(case, None if name == baseline else reference)
    )


def _change_without_gap(one: _Case, reference: _Case | None) -> Iterator[str]:
    if one.says(_CHANGES) and not (reference and reference.says(_GAPS)):
        yield "a reduction is claimed of a gap that is not shown"
    if one.says(_CHANGES) and reference and reference.says({"gap_equivalent"}):
        yield "a gap that is equivalent to zero is said to change"


def _change_on_one_scale(one: _Case, _: _Case | None) -> Iterator[str]:
    points, logit = one.numbers["eb_reduction"], one.numbers["eb_reduction_logit"]
    if one.says({"reduction"}) and not (points.low > 0 and logit.low > 0):
        yield "a reduction is claimed that an interval, in points or logits, does not show"
    if one.says({"increase"}) and not (points.high < 0 and logit.high < 0):
        yield "an increase is claimed that an interval, in points or logits, does not show"


def _change_against_the_gaps(one: _Case, reference: _Case | None) -> Iterator[str]:
    if reference is None or not one.says(_COMPARED):
        return
    apart = reference.numbers["eb"].value - one.numbers["eb"].value
    if apart * one.numbers["eb_reduction"].value < 0 and COMMON_TURNS not in one.found.sentence:
        yield "the gaps as printed differ the other way than their difference"


def _equivalent_and_more(one: _Case, _: _Case | None) -> Iterator[str]:
    if one.says({"gap_equivalent"}) and one.says(_GAPS):
        yield "a gap is both equivalent to zero and shown"
    if one.says({"reduction_equivalent"}) and one.says(_COMPARED):
        yield "a change is both equivalent to zero and claimed"


def _confound(one: _Case, _: _Case | None) -> Iterator[str]:
    difference = one.numbers["slope_composition"]
    if one.says({"composition_confound"}) and difference.low <= 0 <= difference.high:
        yield "a composition confound is claimed of slopes that do not differ"


def _shares(one: _Case, _: _Case | None) -> Iterator[str]:
    sentence = one.found.sentence
    printed = {
        "attributable_fraction": "this accounts for" in sentence,
        "eb_reduction_ratio": one.says(_CHANGES) and bool(re.search(r" \(\d+ %\)", sentence)),
    }
    for name, is_printed in printed.items():
        share = one.numbers[name]
        if is_printed and not (share.low >= 0 and share.high <= 1):
            yield f"a share is printed whose interval leaves 0 to 100 % ({name})"
    if printed["attributable_fraction"] and "do not decay after gold history" in sentence:
        yield "scores do not decay after gold history, and a share of their decay is stated"


def _tiers(one: _Case, _: _Case | None) -> Iterator[str]:
    if one.found.tier != "A" and one.says({*_GAPS, *_COMPARED, "gap_equivalent"}):
        yield "exposure is spoken of without gold history"
    if one.found.tier == "A" and one.says({"decay"}):
        yield "with gold history at hand the cause of the decay is said to be unknown"


_RULES: tuple[Callable[[_Case, _Case | None], Iterator[str]], ...] = (
    _change_without_gap,
    _change_on_one_scale,
    _change_against_the_gaps,
    _equivalent_and_more,
    _confound,
    _shares,
    _tiers,
)
