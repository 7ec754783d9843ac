"""Every number of an analysis, from the turns of one study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np

from analysis.agreement import Agreement, agreement
from analysis.bootstrap import Floats
from analysis.claims import Basis
from analysis.compute import Efficiency, costs, efficiency, pareto_front
from analysis.estimands import estimates, gap
from analysis.groups import Group, groups
from analysis.inference import FEW_SAMPLES, Estimate, Inference, undefined
from analysis.names import is_part_of, label_of, layers, setting_of
from analysis.panel import Panel, Quantity
from analysis.propagation import Propagation, propagation
from analysis.records import Study, StudyError
from analysis.scaling import Curve, Ladder, curves, ladders
from analysis.selection import Selection, Verifier, selections, verifiers
from analysis.sensitivity import Check, checks
from analysis.statistic import Statistic, level, mean
from analysis.wording import Evidence, Finding, Tier, findings

__all__ = ["Ablation", "Arm", "Cluster", "Nesting", "Synergy", "ablation"]

Cluster = Literal["sample", "task"]
Verdict = Literal["gain", "none", "loss", "void"]
FEW_CLUSTERS = 30


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is known of one strategy. Scores and differences lie in [0, 1] and [-1, 1]."""

    strategy: str
    oracle: bool
    num_samples: int
    num_scored: int
    """Image turns with a score behind own history, one per seed."""
    num_planned: int
    bounds: tuple[float, float]
    """Image score if every missing turn scored 0, and if every one scored 1."""
    estimates: Mapping[str, Estimate]
    """By estimand; those that do not apply are undefined and say why."""
    step: Estimate
    text: Estimate
    static: Estimate
    dynamic: Estimate
    num_text_scored: int
    num_text_planned: int
    own: tuple[Estimate, ...]
    """Image score at turns 1, 2, ... behind own history."""
    gold: tuple[Estimate, ...]
    """The same behind gold history; undefined at turn 1, which has no history."""
    gaps: tuple[Estimate, ...]
    """Gold less own, paired, at turns 1, 2, ..."""
    by_length: Mapping[int, tuple[tuple[Estimate, ...], tuple[Estimate, ...]]]
    """(own, gold) over turns, for dialogues whose last image turn is the key."""
    cost: Mapping[str, float]
    """Means per image turn behind own history."""
    efficiency: Efficiency | None
    """None for the baseline, and without one."""
    basis: Basis
    void: str
    """Why no gain or reduction is claimed; empty where nothing forbids it."""
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Nesting:
    """A nested strategy against one of its parts, on the same cells."""

    strategy: str
    part: str
    oracle: bool
    difference: Estimate
    finding: Verdict
    """"gain" or "loss" when the 95 % interval excludes 0; "void" when nothing can be claimed of the two."""
    void: str = ""
    """Why nothing can be claimed."""


@dataclass(frozen=True, kw_only=True)
class Synergy:
    """What two layers give together beyond the sum of what each gives alone."""

    strategy: str
    parts: tuple[str, str]
    difference: Estimate


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The whole analysis of a study."""

    benchmark: str
    backbone: str
    baseline: str | None
    tier: Tier
    """The best evidence that any strategy has."""
    num_runs: int
    num_samples: int
    samples_by_class: Mapping[str, int]
    seeds: tuple[int, ...]
    cluster: Cluster
    resamples: int
    bootstrap_seed: int
    arms: tuple[Arm, ...]
    nestings: tuple[Nesting, ...]
    synergies: tuple[Synergy, ...]
    groups: tuple[Group, ...]
    propagation: tuple[Propagation, ...]
    ladders: tuple[Ladder, ...]
    curves: tuple[Curve, ...]
    pareto_front: tuple[str, ...]
    """Strategies that none beats in image score at the same NFE or less; oracle and void arms aside."""
    verifiers: tuple[Verifier, ...]
    selections: tuple[Selection, ...]
    agreement: Agreement | None
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """What every part of the analysis looks at."""

    study: Study
    panel: Panel
    inference: Inference
    baseline: str | None
    is_default: bool
    """Whether nobody chose the baseline."""
    costs: Mapping[str, Mapping[str, float]] = field(repr=False)


def ablation(
    study: Study,
    *,
    baseline: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    cluster: Cluster = "sample",
) -> Ablation:
    """Analyse a study against `baseline`: the name of an arm, or a label that one arm has.

    None stands for the first arm of the label "direct", where the study has one.

    Raises:
        StudyError: the study has no such arm, or several of that label.
    """
    panel = Panel.of(study)
    reference = _baseline(panel, baseline)
    inference = panel.inference(cluster, resamples, seed)
    setting = _Setting(
        study=study, panel=panel, inference=inference, baseline=reference, is_default=baseline is None,
        costs=costs(study),
    )  # fmt: skip
    arms = tuple(_arms(setting))
    sizes = Counter(panel.classes)
    claimed = [arm for arm in arms if arm.cost and not arm.oracle and not arm.void]
    scores = {arm.strategy: (arm.cost["nfe"], arm.estimates["mean"].value) for arm in claimed}
    return Ablation(
        benchmark=study.benchmark,
        backbone=study.backbone,
        baseline=reference,
        tier=min((arm.finding.tier for arm in arms), default="D"),
        num_runs=study.num_runs,
        num_samples=len(panel.samples),
        samples_by_class=dict(sorted(sizes.items())),
        seeds=tuple(sorted({key.seed for key in study.planned})),
        cluster=cluster,
        resamples=resamples,
        bootstrap_seed=seed,
        arms=arms,
        nestings=tuple(_nestings(panel, inference)),
        synergies=tuple(_synergies(panel, inference, reference)),
        groups=groups(panel, inference, reference),
        propagation=propagation(panel, inference),
        ladders=ladders(study, panel, inference),
        curves=curves(study, panel, inference),
        pareto_front=pareto_front(scores),
        verifiers=verifiers(study, panel, inference),
        selections=selections(study, panel, inference),
        agreement=agreement(study, panel, inference),
        checks=checks(panel, reference),
        warnings=(*study.warnings, *_warnings(setting, sizes)),
    )


def _baseline(panel: Panel, wanted: str | None) -> str | None:
    """The baseline that is asked for by its name, or by a label; of several arms of a label the first."""
    if wanted in panel.strategies:
        return wanted
    label = "direct" if wanted is None else wanted
    found = [name for name in panel.strategies if label_of(name) == label]
    if wanted is None:
        return found[0] if found else None
    if len(found) == 1:
        return found[0]
    if found:
        raise StudyError(f"baseline {wanted!r} names several arms; choose one of: {', '.join(found)}")
    raise StudyError(f"baseline {wanted!r} is not in the study; it has: {', '.join(panel.strategies)}")


def _arms(setting: _Setting) -> Iterator[Arm]:
    found = estimates(setting.panel, setting.inference, setting.baseline)
    said = findings(_evidence(setting, found), setting.baseline)
    for strategy in setting.panel.strategies:
        yield _arm(setting, strategy, found[strategy], said[strategy])


def _evidence(setting: _Setting, found: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Evidence]:
    panel, baseline = setting.panel, setting.baseline
    return {
        strategy: Evidence(
            estimates=known,
            is_oracle=strategy in panel.oracles,
            void=_void(panel, strategy, baseline),
            cautions=panel.bases[strategy].cautions,
        )
        for strategy, known in found.items()
    }


def _void(panel: Panel, strategy: str, baseline: str | None) -> str:
    return panel.void(strategy, *([] if baseline in (None, strategy) else [str(baseline)]))


def _arm(setting: _Setting, strategy: str, found: Mapping[str, Estimate], said: Finding) -> Arm:
    panel, inference = setting.panel, setting.inference
    images, texts = panel.tally(strategy, "own", "image"), panel.tally(strategy, "own", "text")
    names: tuple[Quantity, ...] = ("step", "text", "static", "dynamic")
    own, gold = panel.scores(strategy), panel.behind(strategy, "gold")
    others = None if setting.baseline in (None, strategy) else str(setting.baseline)
    cost = setting.costs.get(strategy, {})
    return Arm(
        strategy=strategy,
        oracle=strategy in panel.oracles,
        num_samples=int(np.count_nonzero(images.planned.sum(axis=1) + texts.planned.sum(axis=1))),
        num_scored=int(images.counts.sum()),
        num_planned=int(images.planned.sum()),
        bounds=images.bounds,
        estimates=found,
        num_text_scored=int(texts.counts.sum()),
        num_text_planned=int(texts.planned.sum()),
        own=_per_turn(inference, own),
        gold=_per_turn(inference, gold),
        gaps=_per_turn(inference, gap(panel, strategy), mean),
        by_length=_by_length(panel, inference, own, gold),
        cost=cost,
        efficiency=_efficiency(setting, found["mean_gain"], cost) if others else None,
        basis=panel.bases[strategy],
        void=_void(panel, strategy, setting.baseline),
        finding=said,
        **{name: inference.closed_form(level(panel.scores(strategy, "own", name))) for name in names},
    )


def _efficiency(setting: _Setting, gain: Estimate, cost: Mapping[str, float]) -> Efficiency | None:
    reference = setting.costs.get(str(setting.baseline))
    return efficiency(gain, cost, reference) if cost and reference else None


def _per_turn(
    inference: Inference, cells: Floats, statistic: Callable[[Floats], Statistic] = level
) -> tuple[Estimate, ...]:
    columns = (cells[:, turn : turn + 1] for turn in range(cells.shape[1]))
    return tuple(inference.closed_form(statistic(column)) for column in columns)


def _by_length(
    panel: Panel, inference: Inference, own: Floats, gold: Floats
) -> dict[int, tuple[tuple[Estimate, ...], tuple[Estimate, ...]]]:
    lengths = panel.num_image_turns
    found = {}
    for length in sorted(set(lengths.tolist()) - {0}):
        rows = (lengths == length)[:, None]
        curves = (_per_turn(inference, np.where(rows, grid, np.nan)) for grid in (own, gold))
        found[length] = (next(curves), next(curves))
    return found


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
                finding="void" if void else _finding(difference),
                void=void,
            )


def _synergies(panel: Panel, inference: Inference, baseline: str | None) -> Iterator[Synergy]:
    """For a strategy that is one part on top of another: whole - part - part + baseline."""
    for whole in panel.strategies if baseline else ():
        reference = _like(whole, str(baseline), panel.strategies)
        for first, second in combinations((s for s in panel.strategies if is_part_of(s, whole)), 2):
            is_sum = sorted((*layers(first), *layers(second))) == sorted(layers(whole))
            if is_sum and reference and not panel.void(whole, first, second, reference):
                alone = panel.scores(first) + panel.scores(second)
                together = panel.scores(whole) + panel.scores(reference)
                difference = inference.closed_form(mean(together - alone))
                yield Synergy(strategy=whole, parts=(first, second), difference=difference)


def _like(whole: str, baseline: str, strategies: Sequence[str]) -> str | None:
    """The arm of the baseline's label under the settings of `whole`; the baseline where it is alone."""
    settings = setting_of(whole)
    same = [name for name in strategies if label_of(name) == label_of(baseline)]
    alike = [name for name in same if setting_of(name) == settings]
    return baseline if len(same) == 1 else next(iter(alike), None)


def _finding(difference: Estimate) -> Verdict:
    if difference.low > 0:
        return "gain"
    return "loss" if difference.high < 0 else "none"


def _warnings(setting: _Setting, sizes: Mapping[str, int]) -> Iterator[str]:
    num_samples, num_clusters = len(setting.panel.samples), len(setting.inference.bootstrap.strata)
    for name in sorted(sizes):
        if sizes[name] == 1:
            yield f"class {name} has one sample: the bootstrap holds it fixed; its own gain has no interval"
    if num_clusters < FEW_CLUSTERS:
        yield (
            f"too few clusters ({num_clusters} < {FEW_CLUSTERS}): standard errors, p-values and what rests "
            "on them are unreliable"
        )
    elif num_samples < FEW_SAMPLES:
        yield f"{num_samples} samples: bootstrap intervals are studentised below {FEW_SAMPLES}"
    if setting.baseline and setting.is_default and setting_of(setting.baseline):
        yield (
            f"several arms are direct: gains are measured against {setting.baseline!r}; choose another with "
            "--baseline NAME"
        )
    if len(setting.panel.strategies) == 1:
        yield "one strategy only: nothing to compare it with"
    elif setting.baseline is None:
        yield 'the study has no strategy "direct": no gains are shown; choose one with --baseline NAME'
