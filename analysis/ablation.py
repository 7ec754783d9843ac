"""Every number of the ablation table, from the stored records of one study."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analysis.bootstrap import Bootstrap, Estimate, Floats
from analysis.exposure_bias import ExposureBias, exposure_bias
from analysis.panel import Panel, Quantity, is_part_of
from analysis.records import Cost, Study, StudyError
from analysis.responses import layers
from analysis.selection import Selection, Verifier, selections, verifiers

__all__ = ["Ablation", "Arm", "Nesting", "ablation", "to_json"]

Finding = Literal["gain", "none", "loss"]
FEW_SAMPLES = 200


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What the table says of one strategy. Scores and differences lie in [0, 1] and [-1, 1]."""

    strategy: str
    oracle: bool
    num_samples: int
    image: Estimate
    num_scored: int
    """Image turns with a score behind own history, one per seed."""
    num_planned: int
    bounds: tuple[float, float]
    """Image score if every missing turn scored 0, and if every one scored 1."""
    gain: Estimate | None
    """Image score less the baseline's on the same cells; None for the baseline itself."""
    gain_by_class: Mapping[str, Estimate]
    step: Estimate
    text: Estimate
    static: Estimate
    dynamic: Estimate
    num_text_scored: int
    num_text_planned: int
    own: tuple[Estimate, ...]
    """Image score at turns 1, 2, ... behind own history."""
    gold: tuple[Estimate, ...]
    """The same behind reference history; undefined at turn 1, which has no history."""
    exposure_bias: ExposureBias | None
    cost: Mapping[str, float]
    """Means per image turn behind own history."""


@dataclass(frozen=True, kw_only=True)
class Nesting:
    """A nested strategy against one of its parts, on the same cells."""

    strategy: str
    part: str
    oracle: bool
    difference: Estimate
    finding: Finding
    """"gain" or "loss" when the 95 % interval excludes 0."""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The whole analysis of a study."""

    benchmark: str
    backbone: str
    baseline: str | None
    tier: Literal["A", "D"]
    """A: gold replay, so "exposure bias" may be said; D: own history only, so only "decay"."""
    num_runs: int
    num_samples: int
    samples_by_class: Mapping[str, int]
    seeds: tuple[int, ...]
    resamples: int
    bootstrap_seed: int
    arms: tuple[Arm, ...]
    nestings: tuple[Nesting, ...]
    verifiers: tuple[Verifier, ...]
    selections: tuple[Selection, ...]
    warnings: tuple[str, ...]


def ablation(
    study: Study, *, baseline: str | None = None, resamples: int = 10_000, seed: int = 0
) -> Ablation:
    """Analyse a study against `baseline` (None: "direct" where the study has it).

    Raises:
        StudyError: the study has no strategy of the baseline's name.
    """
    panel = Panel.of(study)
    bootstrap = Bootstrap(strata=panel.classes, resamples=resamples, seed=seed)
    reference = _baseline(panel, baseline)
    biases = exposure_bias(panel, bootstrap, reference)
    sizes = Counter(panel.classes)
    return Ablation(
        benchmark=study.benchmark,
        backbone=study.backbone,
        baseline=reference,
        tier="A" if biases else "D",
        num_runs=study.num_runs,
        num_samples=len(panel.samples),
        samples_by_class=dict(sorted(sizes.items())),
        seeds=tuple(sorted({key.seed for key in study.planned})),
        resamples=resamples,
        bootstrap_seed=seed,
        arms=tuple(_arm(study, panel, bootstrap, s, reference, biases.get(s)) for s in panel.strategies),
        nestings=tuple(_nestings(panel, bootstrap)),
        verifiers=verifiers(study, panel, bootstrap),
        selections=selections(study, panel, bootstrap),
        warnings=(*study.warnings, *_warnings(sizes, len(panel.samples), reference)),
    )


def to_json(value: Any) -> Any:
    """Plain JSON values of a result; numbers that are undefined become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _baseline(panel: Panel, wanted: str | None) -> str | None:
    if wanted is None:
        return "direct" if "direct" in panel.strategies else None
    if wanted not in panel.strategies:
        raise StudyError(f"baseline {wanted!r} is not in the study; it has: {', '.join(panel.strategies)}")
    return wanted


def _arm(
    study: Study,
    panel: Panel,
    bootstrap: Bootstrap,
    strategy: str,
    baseline: str | None,
    bias: ExposureBias | None,
) -> Arm:
    images, texts = panel.tally(strategy, "own", "image"), panel.tally(strategy, "own", "text")
    names: tuple[Quantity, ...] = ("image", "step", "text", "static", "dynamic")
    means = bootstrap.means([panel.scores(strategy, "own", name) for name in names])
    image, step, text, static, dynamic = (mean.estimate() for mean in means)
    difference = None if baseline in (None, strategy) else _difference(panel, strategy, str(baseline))
    return Arm(
        strategy=strategy,
        oracle=strategy in panel.oracles,
        num_samples=int(np.count_nonzero(images.planned.sum(axis=1) + texts.planned.sum(axis=1))),
        image=image,
        num_scored=int(images.counts.sum()),
        num_planned=int(images.planned.sum()),
        bounds=images.bounds,
        gain=None if difference is None else bootstrap.means([difference])[0].estimate(),
        gain_by_class={} if difference is None else _by_class(panel, bootstrap, difference),
        step=step,
        text=text,
        static=static,
        dynamic=dynamic,
        num_text_scored=int(texts.counts.sum()),
        num_text_planned=int(texts.planned.sum()),
        own=_per_turn(bootstrap, panel.scores(strategy, "own")),
        gold=_per_turn(bootstrap, _behind_gold(panel, strategy)),
        exposure_bias=bias,
        cost=_cost(study, strategy),
    )


def _difference(panel: Panel, strategy: str, other: str) -> Floats:
    return panel.scores(strategy) - panel.scores(other)


def _by_class(panel: Panel, bootstrap: Bootstrap, cells: Floats) -> dict[str, Estimate]:
    classes = np.array(panel.classes)
    names = sorted(set(panel.classes))
    grids = [np.where((classes == name)[:, None], cells, np.nan) for name in names]
    return {n: mean.estimate() for n, mean in zip(names, bootstrap.means(grids), strict=True)}


def _per_turn(bootstrap: Bootstrap, cells: Floats) -> tuple[Estimate, ...]:
    columns = [cells[:, turn : turn + 1] for turn in range(cells.shape[1])]
    return tuple(mean.estimate() for mean in bootstrap.means(columns))


def _behind_gold(panel: Panel, strategy: str) -> Floats:
    cells = panel.scores(strategy, "gold")
    cells[:, 0] = np.nan
    return cells


def _nestings(panel: Panel, bootstrap: Bootstrap) -> Iterator[Nesting]:
    for whole in panel.strategies:
        for part in (s for s in panel.strategies if len(layers(whole)) > 1 and is_part_of(s, whole)):
            difference = bootstrap.means([_difference(panel, whole, part)])[0].estimate()
            is_oracle = whole in panel.oracles
            yield Nesting(
                strategy=whole,
                part=part,
                oracle=is_oracle,
                difference=difference,
                finding=_finding(difference),
            )


def _finding(difference: Estimate) -> Finding:
    if difference.low > 0:
        return "gain"
    return "loss" if difference.high < 0 else "none"


def _cost(study: Study, strategy: str) -> dict[str, float]:
    records = (r for r in study.records if r.modality == "image" and r.key.history == "own")
    costs = [record.cost for record in records if record.key.strategy == strategy]
    means = np.mean(costs, axis=0) if costs else np.full(len(Cost._fields), np.nan)
    return dict(zip(Cost._fields, means.tolist(), strict=True))


def _warnings(sizes: Mapping[str, int], num_samples: int, baseline: str | None) -> Iterator[str]:
    for name in sorted(sizes):
        if sizes[name] == 1:
            yield f"class {name} has one sample: the bootstrap holds it fixed; its own gain has no interval"
    if num_samples < FEW_SAMPLES:
        yield (
            f"{num_samples} samples: percentile intervals are a little too narrow below {FEW_SAMPLES}; "
            "run more samples before you claim anything"
        )
    if baseline is None:
        yield 'the study has no strategy "direct": no gains are shown; choose one with --baseline NAME'
