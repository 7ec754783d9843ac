"""Computes every number of an analysis from the turns of one study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.agreement import Agreement, agreement
from analysis.compute import comparable, costs, paired_front
from analysis.consistency import contradictions
from analysis.coupling import Coupling, coupling
from analysis.groups import Group, groups
from analysis.measured import Arm, Setting, measured
from analysis.names import label_of
from analysis.nesting import Nesting, Synergy, nestings, synergies
from analysis.notes import notes
from analysis.panel import Panel
from analysis.propagation import Propagation, propagation
from analysis.records import Study, StudyError
from analysis.remedies import Remedy, remedies
from analysis.scaling import Curve, Ladder, curves, ladders
from analysis.selection import Selection, Verifier, selections, verifiers
from analysis.sensitivity import Check, checks
from analysis.wear import Wear, wear
from analysis.wording import Tier

__all__ = ["Ablation", "Arm", "Cluster", "Nesting", "Synergy", "ablation"]

Cluster = Literal["sample", "task"]


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """All results of analysing one study."""

    benchmark: str
    backbone: str
    baseline: str | None
    tier: Tier
    """The strongest evidence tier among the strategies; A is strongest."""
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
    coupling: tuple[Coupling, ...]
    wear: tuple[Wear, ...]
    ladders: tuple[Ladder, ...]
    curves: tuple[Curve, ...]
    pareto_front: tuple[str, ...]
    """Strategies on the Pareto front of image score against NFE: no other strategy scores as high at the same
    NFE or less. Computed on the cells that all `rivals` have scores in; oracle and void arms are excluded.
    """
    rivals: tuple[str, ...]
    """Strategies compared for the Pareto front. Strategies run on other dialogues than the baseline are
    excluded.
    """
    verifiers: tuple[Verifier, ...]
    selections: tuple[Selection, ...]
    agreement: Agreement | None
    checks: tuple[Check, ...]
    remedies: tuple[Remedy, ...]
    """Trained weights, where the study has some."""
    caveats: Mapping[str, tuple[str, ...]]
    """Sentences about each model's limits, by the model's identity."""
    warnings: tuple[str, ...]


def ablation(
    study: Study,
    *,
    baseline: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    cluster: Cluster = "sample",
    ladder: Sequence[str] = (),
) -> Ablation:
    """Analyse a study against a baseline.

    Args:
        baseline: the name of an arm, or a label that exactly one arm has. None takes the first arm with the
            label "direct", if the study has one.
        ladder: stems of labels that end in a number of candidates, in addition to those of Best-of-N and
            majority vote.

    Raises:
        StudyError: no arm has that name or label, or several arms have that label.
    """
    panel = Panel.of(study)
    reference = _baseline(panel, baseline)
    inference = panel.inference(cluster, resamples, seed)
    setting = Setting(
        panel=panel,
        inference=inference,
        baseline=reference,
        is_default=baseline is None,
        costs=costs(study, panel),
    )
    coupled, worn = coupling(panel, inference), wear(panel, inference)
    arms = tuple(measured(setting, coupled, worn))
    claimed = {a.strategy: panel.scores(a.strategy) for a in arms if a.cost and not a.oracle and not a.void}
    return Ablation(
        benchmark=study.benchmark,
        backbone=study.backbone,
        baseline=reference,
        tier=min((arm.finding.tier for arm in arms), default="D"),
        num_runs=study.num_runs,
        num_samples=len(panel.samples),
        samples_by_class=dict(sorted(Counter(panel.classes).items())),
        seeds=tuple(sorted({key.seed for key in study.planned})),
        cluster=cluster,
        resamples=resamples,
        bootstrap_seed=seed,
        arms=arms,
        nestings=nestings(panel, inference),
        synergies=synergies(panel, inference),
        groups=groups(panel, inference, reference),
        propagation=propagation(panel, inference),
        coupling=coupled,
        wear=worn,
        ladders=ladders(study, panel, inference, ladder),
        curves=curves(study, panel, inference),
        pareto_front=paired_front(claimed, setting.costs, reference),
        rivals=tuple(comparable(claimed, reference)),
        verifiers=verifiers(study, panel, inference),
        selections=selections(study, panel, inference),
        agreement=agreement(study, panel, inference),
        checks=checks(panel, reference, cluster),
        remedies=remedies(study, panel, inference, setting.costs),
        caveats=study.caveats,
        warnings=(*study.warnings, *notes(setting, arms), *_contradictions(arms, reference)),
    )


def _contradictions(arms: Sequence[Arm], baseline: str | None) -> Iterator[str]:
    found = {arm.strategy: arm.finding for arm in arms}
    known = {arm.strategy: arm.estimates for arm in arms}
    for text in contradictions(found, known, baseline):
        yield f"the findings contradict each other or their numbers; please report it ({text})"


def _baseline(panel: Panel, wanted: str | None) -> str | None:
    """The name of the baseline arm; None if none is asked for and no arm has the label "direct"."""
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
