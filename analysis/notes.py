"""Warnings about a study that a reader needs before its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from analysis.inference import FEW_SAMPLES
from analysis.measured import Arm, Setting
from analysis.names import label_of

__all__ = ["FEW_CLUSTERS", "notes"]

FEW_CLUSTERS = 30
_RESTING_ON = {
    "mean": "the image score",
    "mean_gain": "the gain",
    "eb": "EB",
    "eb_reduction": "the EB reduction",
}


def notes(setting: Setting, arms: Sequence[Arm]) -> Iterator[str]:
    """Warnings about classes, clusters, the baseline, and strategies without common dialogues."""
    sizes = Counter(setting.panel.classes)
    for name in sorted(sizes):
        if sizes[name] == 1:
            yield (
                f"class {name} has one sample: it is the same in every bootstrap resample, and its own gain "
                "has no interval"
            )
    yield from _clusters(setting, arms)
    if setting.is_default and _num_alike(setting) > 1:
        yield (
            f"several arms have the label direct: gains are measured against {setting.baseline!r}; choose "
            "another with "
            "--baseline NAME"
        )
    if len(arms) == 1:
        yield "one strategy only: nothing to compare it with"
    elif setting.baseline is None:
        yield 'the study has no strategy "direct": no gains are shown; choose one with --baseline NAME'
    yield from _without_images(arms)
    yield from _unequal(setting)
    yield from _apart(setting)


def _clusters(setting: Setting, arms: Sequence[Arm]) -> Iterator[str]:
    num_samples, num_clusters = len(setting.panel.samples), len(setting.inference.bootstrap.strata)
    if num_clusters < FEW_CLUSTERS:
        yield (
            f"too few clusters ({num_clusters} < {FEW_CLUSTERS}): standard errors, p-values and all "
            "results based on them are unreliable"
        )
        return
    if num_samples < FEW_SAMPLES:
        yield f"{num_samples} samples: bootstrap intervals are studentised below {FEW_SAMPLES}"
    for name, words in _RESTING_ON.items():
        found = [(arm.strategy, arm.estimates[name]) for arm in arms]
        few = [f"{s} ({e.num_clusters})" for s, e in found if e.is_defined and e.num_clusters < FEW_CLUSTERS]
        if few:
            yield (
                f"too few clusters (below {FEW_CLUSTERS}) for {words} of {', '.join(few)}: the estimate is "
                "unreliable"
            )


def _without_images(arms: Sequence[Arm]) -> Iterator[str]:
    """The reason why arms have no image score."""
    means = {arm.strategy: arm.estimates["mean"] for arm in arms}
    if not any(mean.is_defined or mean.num_missing for mean in means.values()):
        yield "the study has no image turns: nothing is said about image scores"
    empty = [name for name, mean in means.items() if mean.num_missing and not mean.is_defined]
    if empty:
        yield (
            f"no planned image turn of {', '.join(empty)} has a score, so no image score can be shown; the "
            "outcomes are in summary.json of the runs"
        )


def _unequal(setting: Setting) -> Iterator[str]:
    """A note on arms that were run on a part of the study's dialogues."""
    panel = setting.panel
    planned = {
        s: sum(panel.tally(s, "own", q).planned.sum(axis=1) for q in ("image", "text")) > 0
        for s in panel.strategies
    }
    some = {s: rows for s, rows in planned.items() if not rows.all()}
    if some:
        counts = ", ".join(f"{s} {rows.sum():,}" for s, rows in some.items())
        yield (
            f"not every arm was run on all {len(panel.samples):,} dialogues ({counts}): turns that only "
            "other arms planned count as missing, and gains are over the dialogues that both arms have"
        )


def _num_alike(setting: Setting) -> int:
    """How many arms have the label of the baseline."""
    return sum(label_of(name) == label_of(setting.baseline or "") for name in setting.panel.strategies)


def _apart(setting: Setting) -> Iterator[str]:
    """A warning about strategies that share no dialogue with the baseline, or else with the first
    strategy.
    """
    panel = setting.panel
    first = setting.baseline or panel.strategies[0]
    answered = {s: np.isfinite(panel.scores(s)).any(axis=1) for s in panel.strategies}
    apart = [s for s, rows in answered.items() if rows.any() and not (rows & answered[first]).any()]
    if apart and answered[first].any():
        yield (
            f"{', '.join(apart)} and {first} share no dialogue, so they are not compared: check that class, "
            "domain, task and sample_id are spelled the same (spreadsheets remove leading zeros)"
        )
