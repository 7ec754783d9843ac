"""What analysis.json holds beside the estimands: arms by turn, nestings, synergies, groups, costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.analysis.recompute.fits import Entry, adjust, mean_entry, mean_sums, share_entry, undefined
from tests.analysis.recompute.numbers import Scores
from tests.analysis.recompute.stored import Floats

LEVELS = {"class": 0, "domain": 1, "task": 2}
Tree = dict[str, Any]


def arms(scores: Scores) -> dict[str, Tree]:
    """strategy -> the entry of `arms` that does not stand under `strategies`."""
    return {strategy: _arm(scores, strategy) for strategy in scores.grids.stored.strategies}


def _arm(scores: Scores, strategy: str) -> Tree:
    grids = scores.grids
    sums, counts = grids.scored(strategy, "own", "image")
    _, text_counts = grids.scored(strategy, "own", "text")
    planned, text_planned = (grids.counts(strategy, "own", kind) for kind in ("image", "text"))
    cells = planned > 0
    best = (sums + planned - counts)[cells] / planned[cells]
    kinds = {"step": "image", "text": "text", "static": "text", "dynamic": "text"}
    own, gold = scores.own(strategy), scores.gold(strategy)
    return {
        "num_samples": int(np.count_nonzero((planned + text_planned).sum(axis=1))),
        "num_scored": int(counts.sum()),
        "num_planned": int(planned.sum()),
        "bounds": [float((sums[cells] / planned[cells]).mean()), float(best.mean())],
        "num_text_scored": int(text_counts.sum()),
        "num_text_planned": int(text_planned.sum()),
        "own": _by_turn(own),
        "gold": _by_turn(gold),
        "gaps": [mean_entry(column) for column in _columns(scores.gap(strategy))],
        "step_gaps": [mean_entry(column) for column in _columns(scores.step_gap(strategy))],
        "eb_bounds": _worst_and_best(scores, strategy),
        "by_length": _by_length(scores, own, gold),
    } | {what: level(grids.mean(strategy, "own", kind, what)) for what, kind in kinds.items()}


def _worst_and_best(scores: Scores, strategy: str) -> list[float]:
    """The gap if every missing score were such as to make it least, and most."""
    ends: dict[str, list[Floats]] = {}
    for history in ("own", "gold"):
        sums, counts = scores.grids.scored(strategy, history, "image")
        planned = np.maximum(scores.grids.counts(strategy, history, "image"), 1)
        ends[history] = [sums / planned, (sums + planned - counts) / planned]
    cells = scores.grids.image_design("own", "gold")
    gaps = ends["gold"][0] - ends["own"][1], ends["gold"][1] - ends["own"][0]
    return [float(gap[cells].mean()) for gap in gaps]


def level(grid: Floats) -> Entry:
    """A mean of scores with its interval inside 0 and 1."""
    return share_entry(mean_sums(grid)) if np.isfinite(grid).any() else undefined()


def _by_turn(grid: Floats) -> list[Entry]:
    return [level(column) for column in _columns(grid)]


def _columns(grid: Floats) -> Iterator[Floats]:
    return (grid[:, [turn]] for turn in range(grid.shape[1]))


def _by_length(scores: Scores, own: Floats, gold: Floats) -> dict[str, list[list[Entry]]]:
    last = scores.grids.last_image_turn
    return {
        str(length): [_by_turn(np.where((last == length)[:, None], grid, np.nan)) for grid in (own, gold)]
        for length in sorted(set(last.tolist()) - {0})
    }


def layers(label: str) -> list[str]:
    """The layers of a label without knobs, outer to inner."""
    return label.split("+")


def is_part(part: str, whole: str) -> bool:
    inside = iter(layers(whole))
    return part != whole and all(layer in inside for layer in layers(part))


def nestings(scores: Scores) -> dict[tuple[str, str], Entry]:
    """(whole, part) -> mean paired difference, adjusted over all of them."""
    names = scores.grids.stored.strategies
    found = {
        (whole, part): mean_entry(scores.own(whole) - scores.own(part))
        for whole in names
        for part in names
        if is_part(part, whole)
    }
    adjust(list(found.values()), "holm")
    return found


def synergies(scores: Scores, plain: str) -> dict[tuple[str, frozenset[str]], Entry]:
    """(whole, its two parts) -> whole less both parts, plus the arm without either layer."""
    names = scores.grids.stored.strategies
    found = {}
    for whole in names:
        for parts in combinations([name for name in names if is_part(name, whole)], 2):
            if sorted(layers(parts[0]) + layers(parts[1])) == sorted(layers(whole)):
                alone = scores.own(parts[0]) + scores.own(parts[1])
                found[whole, frozenset(parts)] = mean_entry(scores.own(whole) + scores.own(plain) - alone)
    return found


def groups(scores: Scores, baseline: str) -> dict[tuple[str, str, str], dict[str, Entry]]:
    """(level, group, strategy) -> gain and reduction; Benjamini-Hochberg within a level and quantity."""
    found: dict[tuple[str, str, str], dict[str, Entry]] = {}
    for level_name, field in LEVELS.items():
        names = np.array([sample[field] for sample in scores.grids.samples])
        here = {
            (level_name, name, strategy): _within(scores, strategy, baseline, names == name)
            for strategy in scores.grids.stored.strategies
            if strategy != baseline and len(set(names.tolist())) > 1
            for name in sorted(set(names.tolist()))
        }
        for what in ("gain", "reduction"):
            adjust([entry[what] for entry in here.values()], "fdr_bh")
        found |= here
    return found


def _within(scores: Scores, strategy: str, baseline: str, members: npt.NDArray[np.bool_]) -> dict[str, Entry]:
    gained = scores.own(strategy) - scores.own(baseline)
    reduced = scores.gap(baseline) - scores.gap(strategy)
    pair = {"gain": gained, "reduction": reduced}
    return {what: mean_entry(np.where(members[:, None], cells, np.nan)) for what, cells in pair.items()}
