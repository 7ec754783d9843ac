"""The wording gate: which sentence a strategy has earned, by rule and never by taste.

Evidence tiers: A, the same turns were replayed behind gold history, so "exposure" may be said. C, the
baseline answered on the strategy's history, so a gain can be attributed to history. D, own history only: the
fall over turns is "decay", whatever causes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.inference import MARGIN, Estimate

__all__ = ["TIERS", "Finding", "Tier", "finding", "tier"]

Tier = Literal["A", "C", "D"]
Rule = Literal[
    "exposure_gap", "gap_equivalent", "gap_inconclusive", "reduction", "increase", "reduction_equivalent",
    "reduction_inconclusive", "history_gain", "history_inconclusive", "decay", "no_decay_shown",
    "composition_confound", "void", "caution",
]  # fmt: skip
CLAIMS = {
    "exposure_gap",
    "gap_equivalent",
    "reduction",
    "increase",
    "reduction_equivalent",
    "history_gain",
    "decay",
}

TIERS: Mapping[Tier, str] = {
    "A": "own history against replayed gold history, on the same turns",
    "C": "history swap: the baseline on another strategy's history; no gold history",
    "D": "own history only, so the fall over turns is decay, whatever causes it",
}
_LEVEL = 0.05
_POINTS = f"{100 * MARGIN:g} points"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What may be said of one strategy."""

    tier: Tier
    rules: tuple[Rule, ...]
    """The rules that applied."""
    sentence: str

    @property
    def claims(self) -> tuple[str, ...]:
        """The rules that state an effect, or its absence."""
        return tuple(rule for rule in self.rules if rule in CLAIMS)


def tier(estimates: Mapping[str, Estimate]) -> Tier:
    """The evidence that a strategy's estimates rest on."""
    if estimates["eb"].is_defined:
        return "A"
    return "C" if estimates["history_gain"].is_defined else "D"


def finding(
    estimates: Mapping[str, Estimate], baseline: str | None, void: str = "", cautions: Sequence[str] = ()
) -> Finding:
    """The sentence of a strategy with these estimates; `baseline` is None for the baseline itself.

    Args:
        void: why no gain or reduction may be claimed.
        cautions: what else a reader must know.
    """
    evidence = tier(estimates)
    said: list[tuple[Rule, str]] = []
    if evidence == "A":
        said.append(_exposure(estimates))
        if baseline is not None and estimates["eb_reduction"].is_defined:
            said.append(_reduction(estimates, baseline))
    else:
        said.append(_decay(estimates["within_slope"]))
        if evidence == "C":
            said.append(_history(estimates["history_gain"], baseline))
    if _is_confounded(estimates):
        said.append(("composition_confound", "composition confound: pooled slope not interpreted"))
    if void:
        said.append(("void", f"gain and reduction n/a: {void}"))
    said += [("caution", caution) for caution in cautions]
    text = "; ".join(sentence for _, sentence in said)
    return Finding(
        tier=evidence, rules=tuple(rule for rule, _ in said), sentence=text[0].upper() + text[1:] + "."
    )


def _exposure(estimates: Mapping[str, Estimate]) -> tuple[Rule, str]:
    eb, share = estimates["eb"], estimates["attributable_fraction"]
    if _is_beyond_margin(eb) and math.isfinite(eb.p):
        verb = "raises" if eb.value > 0 else "lowers"
        cause = (
            f"; this accounts for {_percent(share)} of the decay" if share.is_defined and eb.value > 0 else ""
        )
        return (
            "exposure_gap",
            f"replacing own history by gold {verb} scores by {_points(eb, absolute=True)}{cause}",
        )
    if eb.p_equivalence < _LEVEL:
        return "gap_equivalent", f"the exposure gap is equivalent to zero within +-{_POINTS} ({_points(eb)})"
    return "gap_inconclusive", f"the exposure gap is inconclusive ({_points(eb)}{_detectable(eb)})"


def _reduction(estimates: Mapping[str, Estimate], baseline: str) -> tuple[Rule, str]:
    change = estimates["eb_reduction"]
    if change.p_adjusted < _LEVEL:
        rule: Rule = "reduction" if change.value > 0 else "increase"
        verb = "reduces" if change.value > 0 else "widens"
        extent = f"{_share(estimates['eb_reduction_ratio'])}{_logit(estimates['eb_reduction_logit'])}"
        size = _points(change, absolute=True)
        return rule, f"it {verb} the exposure gap of {baseline} by {size}{extent}"
    if change.p_equivalence < _LEVEL:
        text = f"its change of the gap of {baseline} is equivalent to zero within +-{_POINTS}"
        return "reduction_equivalent", f"{text} ({_points(change)})"
    text = f"its effect on the gap of {baseline} is inconclusive ({_points(change)}{_detectable(change)})"
    return "reduction_inconclusive", text


def _decay(slope: Estimate) -> tuple[Rule, str]:
    if slope.p < _LEVEL and slope.value < 0:
        words = f"scores decay by {_points(slope, absolute=True)} per turn within dialogues"
        return "decay", f"{words} (own history only: the cause is not identified)"
    if not slope.is_defined:
        return "no_decay_shown", "no slope over turns can be computed"
    return "no_decay_shown", f"no decay over turns is shown ({_points(slope)} per turn{_detectable(slope)})"


def _history(gain: Estimate, baseline: str | None) -> tuple[Rule, str]:
    if gain.p_adjusted < _LEVEL:
        verb = "gains" if gain.value > 0 else "loses"
        return "history_gain", f"{baseline} {verb} {_points(gain, absolute=True)} on this strategy's history"
    text = f"what {baseline} gains on its history is inconclusive ({_points(gain)}{_detectable(gain)})"
    return "history_inconclusive", text


def _is_beyond_margin(estimate: Estimate) -> bool:
    return estimate.low > MARGIN or estimate.high < -MARGIN


def _is_confounded(estimates: Mapping[str, Estimate]) -> bool:
    pooled, within = estimates["pooled_slope"].value, estimates["within_slope"].value
    return pooled * within < 0 and min(abs(pooled), abs(within)) > 1e-9


def _points(estimate: Estimate, *, absolute: bool = False) -> str:
    """ "3.0 points [1.2, 4.8]"; `absolute` turns the sign, where a verb bears it."""
    sign = -1 if absolute and estimate.value < 0 else 1
    ends = sorted(sign * end for end in (estimate.low, estimate.high))
    interval = f" [{_fixed(ends[0])}, {_fixed(ends[1])}]" if math.isfinite(ends[0]) else ""
    return f"{_fixed(sign * estimate.value)} points{interval}"


def _fixed(value: float) -> str:
    """In points, and never "-0.0"."""
    return f"{round(100 * value, 1) + 0.0:.1f}"


def _detectable(estimate: Estimate) -> str:
    known = math.isfinite(estimate.detectable)
    return f"; the MDE was {100 * estimate.detectable:.1f} points" if known else "; no test is possible"


def _percent(share: Estimate) -> str:
    interval = f" [{100 * share.low:.0f}, {100 * share.high:.0f}]" if math.isfinite(share.low) else ""
    return f"{100 * share.value:.0f} %{interval}"


def _share(ratio: Estimate) -> str:
    return f" ({100 * abs(ratio.value):.0f} %)" if ratio.is_defined else ""


def _logit(estimate: Estimate) -> str:
    if not estimate.is_defined:
        return ""
    interval = f" [{estimate.low:.2f}, {estimate.high:.2f}]" if math.isfinite(estimate.low) else ""
    return f", {estimate.value:.2f}{interval} on the logit scale"
