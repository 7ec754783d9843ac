"""All numbers of one study, beside those of its analysis.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.analysis.recompute import judging, tables
from tests.analysis.recompute.compare import Difference, count_numbers, differences
from tests.analysis.recompute.costs import costs
from tests.analysis.recompute.numbers import Scores, estimands
from tests.analysis.recompute.propagation import coupling, propagation, wear
from tests.analysis.recompute.resamples import Resamples
from tests.analysis.recompute.robustness import checks
from tests.analysis.recompute.stored import Grids, read

Tree = dict[str, Any]


def check(study: Path, numbers: Path) -> tuple[list[Difference], int]:
    """Where `numbers`, an analysis.json, differs from the records of `study`; and how many were compared."""
    stated = json.loads(numbers.read_text(encoding="utf-8"))
    expected = recompute(study, stated["baseline"], stated["resamples"], stated["bootstrap_seed"])
    return list(differences(by_name(stated), expected)), count_numbers(expected)


def recompute(study: Path, baseline: str, resamples: int, seed: int) -> Tree:
    """Every number, in the form of `by_name`."""
    grids = Grids(read(study))
    scores = Scores(grids)
    drawn = Resamples([sample[0] for sample in grids.samples], resamples, seed)
    return {
        "strategies": estimands(scores, drawn, baseline),
        "arms": tables.arms(scores),
        "nestings": tables.nestings(scores),
        "synergies": tables.synergies(scores, "direct"),
        "groups": tables.groups(scores, baseline),
        "propagation": propagation(scores),
        "coupling": coupling(scores),
        "checks": checks(scores, baseline),
        "wear": wear(scores),
        "bases": judging.bases(grids),
        "verifiers": judging.verifiers(grids, drawn),
        "selections": judging.selections(grids, drawn),
        "curves": judging.curves(grids),
        **costs(scores, drawn, baseline),
    }


def by_name(stated: Tree) -> Tree:
    """analysis.json with what stands in lists under the names of what it is of."""
    return stated | {
        "arms": {arm["strategy"]: arm for arm in stated["arms"]},
        "bases": {arm["strategy"]: _layers(arm) for arm in stated["arms"]},
        "cost": {arm["strategy"]: arm["cost"] for arm in stated["arms"]},
        "efficiency": {arm["strategy"]: arm["efficiency"] for arm in stated["arms"]},
        "coupling": {(c["strategy"], c["kind"]): c for c in stated["coupling"]},
        "wear": {w["strategy"]: w for w in stated["wear"]},
        "checks": {(c["strategy"], c["estimand"], c["model"]): c["estimate"] for c in stated["checks"]},
        "nestings": {(n["strategy"], n["part"]): n["difference"] for n in stated["nestings"]},
        "synergies": {(s["strategy"], frozenset(s["parts"])): s["difference"] for s in stated["synergies"]},
        "groups": {(g["level"], g["name"], g["strategy"]): g for g in stated["groups"]},
        "propagation": {p["strategy"]: p["slope"] for p in stated["propagation"]},
        "verifiers": {v["strategy"]: v for v in stated["verifiers"]},
        "selections": {(s["strategy"], s["layer"]): s for s in stated["selections"]},
        "curves": {(c["strategy"], c["layer"], c["where"]): c["rungs"] for c in stated["curves"]},
    }


def _layers(arm: Tree) -> Tree:
    return {layer["layer"]: layer for layer in arm["basis"]["layers"]}
