"""The wording gate: fixed rules decide which sentence the evidence for a strategy supports.

Evidence tiers: A, the same turns were replayed on gold history, so the sentence may say "exposure". C, the
baseline answered on the strategy's history, so a gain can be attributed to history. D, own history only: the
fall over turns is called "decay", whatever its cause.

Every test that decides on a word is adjusted (Holm) over the strategies of the study; oracles form a separate
family.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from analysis.claims import REPORTED_SHARE
from analysis.inference import LEVEL, MARGIN, Estimate, holm
from analysis.phrases import adjusted, detectable, logits, percent, points, usable_share
from analysis.remarks import on_answers, on_wear
from analysis.wear import Wear

__all__ = ["COMMON_TURNS", "TIERS", "Evidence", "Finding", "Tier", "finding", "findings", "tier"]

Tier = Literal["A", "C", "D"]
Rule = Literal[
    "exposure_gap", "gap_not_beyond", "gap_equivalent", "gap_inconclusive", "skill", "no_step_scores",
    "reduction", "increase", "level_may_explain", "no_gap_to_reduce", "reduction_equivalent",
    "reduction_inconclusive", "history_gain", "history_inconclusive", "decay", "no_decay_shown",
    "composition_confound", "missing", "void", "caution",
    "answers_gap", "answers_unclear", "wear_images", "wear_turns", "wear_unclear",
]  # fmt: skip
CLAIMS = {
    "exposure_gap",
    "gap_not_beyond",
    "gap_equivalent",
    "reduction",
    "increase",
    "reduction_equivalent",
    "history_gain",
    "decay",
    "answers_gap",
    "wear_images",
    "wear_turns",
}
_QUALIFYING = {"void", "composition_confound"}
_CONFOUND = "composition confound: pooled slope not interpreted, as dialogues with late turns differ"

TIERS: Mapping[Tier, str] = {
    "A": "own history against replayed gold history, on the same turns",
    "C": "history swap: the baseline on another strategy's history; no gold history",
    "D": "own history only, so the fall over turns is decay, whatever causes it",
}
COMMON_TURNS = "on the turns that both answered on both histories"
"""States which turns gaps are compared on; added if the two printed gaps, each on its own turns, differ in
the other direction.
"""
_POINTS = f"{100 * MARGIN:g} points"
_Statement = tuple[Rule, str]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The sentences that the evidence for one strategy supports."""

    tier: Tier
    rules: tuple[Rule, ...]
    """The rules that applied."""
    statements: tuple[str, ...]
    """The statements, one sentence each."""

    @property
    def sentence(self) -> str:
        """The tier followed by all statements."""
        return f"Tier {self.tier}: {' '.join(self.statements)}"

    @property
    def claims(self) -> tuple[str, ...]:
        """The rules that state an effect, or the absence of one."""
        return tuple(rule for rule in self.rules if rule in CLAIMS)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The evidence for a strategy's finding."""

    estimates: Mapping[str, Estimate]
    is_oracle: bool = False
    void: str = ""
    """The reason why no gain or reduction may be claimed; empty if claims are allowed."""
    cautions: Sequence[str] = ()
    """Further sentences that a reader needs."""
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By estimand, its least and greatest value over all possible scores of the missing turns."""
    answers: Mapping[str, Estimate] = field(default_factory=dict)
    """The gap (gold minus own history) of text answers, by kind of question; "text" is all of them."""
    wear: Wear | None = None
    beyond: Mapping[str, float] = field(default_factory=dict)
    """By estimand, the adjusted p-value of the hypothesis |effect| <= MARGIN."""
    equivalent: Mapping[str, float] = field(default_factory=dict)
    """By estimand, the adjusted p-value of the hypothesis |effect| >= MARGIN."""

    def is_shown(self, name: str) -> bool:
        """Whether the estimand differs significantly from 0."""
        return self.estimates[name].is_shown

    def is_beyond(self, name: str) -> bool:
        return self.beyond.get(name, math.nan) < LEVEL

    def is_equivalent(self, name: str) -> bool:
        return self.equivalent.get(name, math.nan) < LEVEL

    @property
    def has_gap(self) -> bool:
        """Whether gold history significantly raises scores, and the gap is not equivalent to zero."""
        return self.estimates["eb"].value > 0 and _gap_rule(self) in ("exposure_gap", "gap_not_beyond")


def tier(estimates: Mapping[str, Estimate]) -> Tier:
    """The evidence tier of a strategy's estimates."""
    if estimates["eb"].is_defined:
        return "A"
    return "C" if estimates["history_gain"].is_defined else "D"


def findings(evidence: Mapping[str, Evidence], baseline: str | None) -> dict[str, Finding]:
    """The finding of every strategy, by its name. `baseline` names the strategy that others are compared
    with.
    """
    known = _adjusted(evidence)
    reference = known.get(baseline) if baseline else None
    return {
        name: finding(one, *((None, None) if name == baseline else (baseline, reference)))
        for name, one in known.items()
    }


def finding(one: Evidence, baseline: str | None, reference: Evidence | None) -> Finding:
    """The finding of one strategy. `baseline` and `reference` are None for the baseline itself."""
    evidence = tier(one.estimates)
    said = list(_on_gold(one, baseline, reference) if evidence == "A" else _on_own(one, baseline, evidence))
    if one.void:
        said.append(("void", f"gain and reduction n/a: {one.void}"))
    if _is_confounded(one):
        said.append(("composition_confound", _CONFOUND))
    said += [*_beside(one, evidence), *_missing(one, evidence)]
    said += [("caution", caution) for caution in one.cautions]
    return Finding(tier=evidence, rules=tuple(rule for rule, _ in said), statements=tuple(_statements(said)))


def _statements(said: Sequence[_Statement]) -> Iterator[str]:
    """The statements as sentences; a qualifying clause is joined to the statement before it."""
    parts: list[str] = []
    for rule, words in said:
        if parts and rule not in _QUALIFYING:
            yield f"{'; '.join(parts)}."
            parts = []
        parts.append(words if parts else f"{words[0].upper()}{words[1:]}")
    yield f"{'; '.join(parts)}."


def _adjusted(evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """The evidence with p-values adjusted over the strategies (Holm); oracle arms form a separate family."""
    known = dict(evidence)
    for is_oracle in (False, True):
        family = [name for name, one in evidence.items() if one.is_oracle == is_oracle]
        asked = [name for name in family if "text" in evidence[name].answers]
        for name, gap in zip(asked, holm([evidence[n].answers["text"] for n in asked]), strict=True):
            known[name] = replace(known[name], answers={**known[name].answers, "text": gap})
        for estimand in ("eb", "eb_reduction"):
            found = [evidence[name].estimates[estimand].p_equivalence for name in family]
            beyond = _holm([min(1.0, 2 * (1 - p)) for p in found])
            for name, above, within in zip(family, beyond, _holm(found), strict=True):
                one = known[name]
                known[name] = replace(
                    one,
                    beyond={**one.beyond, estimand: above},
                    equivalent={**one.equivalent, estimand: within},
                )
    return known


def _holm(ps: Sequence[float]) -> list[float]:
    return [e.p_adjusted for e in holm([Estimate(value=0.0, p=p) for p in ps])]


def _on_gold(one: Evidence, baseline: str | None, reference: Evidence | None) -> list[_Statement]:
    said = [(_gap_rule(one), _gap(one) + _cause(one))]
    if one.has_gap:
        said.append(_parts(one.estimates))
    if baseline is not None and reference is not None and one.estimates["eb_reduction"].is_defined:
        said.append(_reduction(one, baseline, reference))
    return said


def _on_own(one: Evidence, baseline: str | None, evidence: Tier) -> list[_Statement]:
    said = [_decay(one)]
    return [*said, _history(one, baseline)] if evidence == "C" else said


def _gap_rule(one: Evidence) -> Rule:
    if one.is_equivalent("eb"):
        return "gap_equivalent"
    if one.is_beyond("eb"):
        return "exposure_gap"
    return "gap_not_beyond" if one.is_shown("eb") else "gap_inconclusive"


def _gap(one: Evidence) -> str:
    eb, rule = one.estimates["eb"], _gap_rule(one)
    if rule == "gap_equivalent":
        return f"the exposure gap is equivalent to zero within +-{_POINTS} ({points(eb)})"
    if rule == "gap_inconclusive":
        return f"the exposure gap is inconclusive ({points(eb)}{detectable(eb)})"
    verb = "raises" if eb.value > 0 else "lowers"
    text = f"replacing own history by gold {verb} scores by {points(eb, absolute=True)}"
    return text if rule == "exposure_gap" else f"{text}: above 0, not shown to exceed {_POINTS}"


def _cause(one: Evidence) -> str:
    """The share of the decay that own history causes, as a clause; empty if it cannot be stated as a
    share.
    """
    share, slope = one.estimates["attributable_fraction"], one.estimates["within_slope_gold"]
    if not one.has_gap or not share.is_defined:
        return ""
    if share.value > 1:
        return f"; scores do not decay after gold history ({points(slope)} per turn)"
    return f"; this accounts for {percent(share)} of the decay" if usable_share(share) else ""


def _parts(estimates: Mapping[str, Estimate]) -> _Statement:
    """The parts of the gap: skill lost on own images, and damage that is counted again."""
    whole, skill = estimates["eb"], estimates.get("eb_step")
    if skill is None or not skill.is_defined:
        text = "without step scores, lost skill and damage that is counted again cannot be told apart"
        return "no_step_scores", text
    if skill.is_shown and skill.value >= whole.value:
        return "skill", f"in step score, which leaves out earlier damage, the gap is {points(skill)}"
    size = f"of the {points(whole).partition(' [')[0]}, {points(skill, unit='')}"
    if skill.is_shown and skill.value > 0:
        return "skill", f"{size} is skill lost on own pictures; the rest is damage counted again"
    return "skill", (
        f"in step score, which leaves out earlier damage, no loss of skill on own pictures is shown "
        f"({points(skill)}{adjusted(skill)}); the rest of the gap is damage counted again"
    )


def _reduction(one: Evidence, baseline: str, reference: Evidence) -> _Statement:
    change = one.estimates["eb_reduction"]
    if one.is_equivalent("eb_reduction"):
        text = f"its change of the gap of {baseline} is equivalent to zero within +-{_POINTS}"
        return "reduction_equivalent", f"{text} ({points(change)})"
    if not one.is_shown("eb_reduction"):
        text = f"its effect on the gap of {baseline} is inconclusive ({points(change)}{detectable(change)})"
        return "reduction_inconclusive", text
    return _change(one, baseline, reference)


def _change(one: Evidence, baseline: str, reference: Evidence) -> _Statement:
    """The statement on a significant difference of the two gaps in points."""
    change = one.estimates["eb_reduction"]
    is_less = change.value > 0
    size = f"{points(change, absolute=True)}{_in_steps(one)}{_where(one, reference)}"
    compared = f"the gap is {'smaller' if is_less else 'larger'} than that of {baseline} by {size}"
    if not reference.has_gap:
        return "no_gap_to_reduce", f"{compared}; no gap of {baseline} is shown that could change"
    if not _agrees(one):
        return "level_may_explain", f"{compared}; {_scale(one, is_less)}"
    verb, on_logits = "reduces" if is_less else "widens", _as_change(one, one.estimates["eb_reduction_logit"])
    size = f"{points(change, absolute=True)}{_share(one)}, {logits(on_logits)} on the logit scale"
    extent = f"{size}{_in_steps(one)}"
    text = f"it {verb} the exposure gap of {baseline} by {extent}{_where(one, reference)}"
    return "reduction" if is_less else "increase", text


def _where(one: Evidence, reference: Evidence) -> str:
    """A clause that names the common turns; empty unless the printed gaps differ in the other direction."""
    apart = reference.estimates["eb"].value - one.estimates["eb"].value
    return "" if apart * one.estimates["eb_reduction"].value >= 0 else f", {COMMON_TURNS}"


def _agrees(one: Evidence) -> bool:
    """Whether the logit scale shows a significant change of the same sign."""
    change, logit = one.estimates["eb_reduction"], one.estimates["eb_reduction_logit"]
    return one.is_shown("eb_reduction_logit") and logit.value * change.value > 0


def _scale(one: Evidence, is_less: bool) -> str:
    logit, gain = one.estimates["eb_reduction_logit"], one.estimates["mean_gain"]
    what, higher = ("reduction", "higher") if is_less else ("increase", "lower")
    value = (
        f"{logits(_as_change(one, logit))}{adjusted(logit)}"
        if logit.is_defined
        else "means of 0 or 100 have no logit"
    )
    text = f"on the logit scale no {what} is shown ({value})"
    is_level = gain.value > 0 if is_less else gain.value < 0
    return (
        f"{text}, so its {higher} level alone may explain the difference"
        if is_level
        else f"{text}, so none is claimed"
    )


def _share(one: Evidence) -> str:
    ratio = one.estimates["eb_reduction_ratio"]
    return f" ({100 * ratio.value:.0f} %)" if usable_share(ratio) else ""


def _in_steps(one: Evidence) -> str:
    change = one.estimates.get("eb_step_reduction")
    if change is None or not change.is_defined:
        return ""
    shown = "" if change.is_shown else ", which is not shown to differ from 0"
    return f" (by {points(_as_change(one, change), unit='')} in step score{shown})"


def _as_change(one: Evidence, reduction: Estimate) -> Estimate:
    """A reduction, or minus it where the sentence says that the gap in points is larger."""
    if one.estimates["eb_reduction"].value >= 0:
        return reduction
    return replace(reduction, value=-reduction.value, low=-reduction.high, high=-reduction.low)


def _decay(one: Evidence) -> _Statement:
    slope = one.estimates["within_slope"]
    if one.is_shown("within_slope") and slope.value < 0:
        words = f"scores decay by {points(slope, absolute=True)} per turn within dialogues"
        return "decay", f"{words} (own history only: the cause is not identified)"
    if not slope.is_defined:
        return "no_decay_shown", "no slope over turns can be computed"
    return "no_decay_shown", f"no decay over turns is shown ({points(slope)} per turn{detectable(slope)})"


def _history(one: Evidence, baseline: str | None) -> _Statement:
    gain = one.estimates["history_gain"]
    if one.is_shown("history_gain"):
        verb = "gains" if gain.value > 0 else "loses"
        return "history_gain", f"{baseline} {verb} {points(gain, absolute=True)} on this strategy's history"
    text = (
        f"the gain of {baseline} on this strategy's history is inconclusive "
        f"({points(gain)}{detectable(gain)})"
    )
    return "history_inconclusive", text


def _beside(one: Evidence, evidence: Tier) -> Iterator[_Statement]:
    """Statements on the gap of text answers, and on what the fall of scores depends on."""
    if evidence == "A" and "text" in one.answers and one.answers["text"].is_defined:
        yield on_answers(one.answers)
    if one.wear and one.wear.difference.is_defined:
        yield on_wear(one.wear)


def _missing(one: Evidence, evidence: Tier) -> Iterator[_Statement]:
    """Statements on the share of missing scores, for estimands where it exceeds `REPORTED_SHARE`."""
    on_gold = {"eb": "gap", "eb_reduction": "change of the gap"}
    for name, words in (on_gold if evidence == "A" else {"mean": "mean score"}).items():
        estimate = one.estimates[name]
        if estimate.is_defined and estimate.share_missing > REPORTED_SHARE:
            share = (
                f"{round(100 * estimate.share_missing)} % of the turns that the {words} needs have no score"
            )
            yield "missing", share + _worst_case(one, name, words)


def _worst_case(one: Evidence, name: str, words: str) -> str:
    if name not in one.bounds:
        return ""
    low, high = (round(100 * bound, 1) + 0.0 for bound in one.bounds[name])
    return f": for any scores of these turns, the {words} lies between {low:.1f} and {high:.1f} points"


def _is_confounded(one: Evidence) -> bool:
    """Whether the slopes with and without the composition of turns differ significantly and in sign."""
    pooled, within = one.estimates["pooled_slope"].value, one.estimates["within_slope"].value
    return one.is_shown("slope_composition") and pooled * within < 0
