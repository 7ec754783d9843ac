"""An analysis says what its records say: each of its numbers is computed a second time by other code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.ablation import ablation
from analysis.numbers import to_json
from analysis.records import load_study
from imug_tts.assemble import Shared, build_arm
from imug_tts.runs import Run, execute
from tests.analysis.recompute.stored import read
from tests.analysis.recompute.whole import check, recompute

DIRECT: dict[str, Any] = {"name": "direct"}
COT: dict[str, Any] = {"name": "cot", "inner": DIRECT}
STRATEGIES: tuple[dict[str, Any], ...] = (
    DIRECT,
    COT,
    {"name": "self_verify", "inner": DIRECT, "judge": {"name": "backbone"}},
    {"name": "best_of_n", "n": 2, "inner": DIRECT, "judge": {"name": "backbone"}},
    {"name": "self_verify", "inner": COT, "judge": {"name": "backbone"}},
)


def runs(folder: Path, num_samples: int) -> Iterator[Run]:
    """Runs of the pocket model on its own and on gold history."""
    shared = Shared()
    for history in ("own", "gold"):
        for number, strategy in enumerate(STRATEGIES):
            config = {
                "backbone": {"name": "pocket"},
                "benchmark": {"name": "pocket_world", "num_samples": num_samples},
                "strategy": strategy,
                "history": history,
                "judge": {"name": "backbone"},
                "roles": {},
            }
            yield Run(arm=build_arm(config, shared), folder=folder / f"{number}-{history}", config=config)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study of the pocket model, and the numbers of its analysis in `analysis.json`."""
    folder = tmp_path_factory.mktemp("study")
    execute(list(runs(folder, num_samples=15)), journal=folder / "journal")
    numbers = to_json(ablation(load_study(folder), resamples=600, seed=3))
    (folder / "analysis.json").write_text(json.dumps(numbers))
    return folder


def test_every_number_of_the_tables_is_that_of_the_records(study: Path) -> None:
    differences, count = check(study, study / "analysis.json")
    assert not differences, "\n".join(map(str, differences))
    assert count > 3000


def test_it_looks_at_every_arm_and_table(study: Path) -> None:
    found = recompute(study, "direct", resamples=10, seed=0)
    labels = {"direct", "cot", "self_verify", "best_of_2", "self_verify+cot"}
    assert set(read(study).strategies) == set(found["strategies"]) == set(found["arms"]) == labels
    assert set(found["verifiers"]) == {"self_verify", "best_of_2", "self_verify+cot"}
    for table in ("nestings", "synergies", "groups", "propagation", "selections", "curves"):
        assert found[table]


def test_one_changed_score_is_noticed(study: Path, tmp_path: Path) -> None:
    numbers = json.loads((study / "analysis.json").read_text())
    numbers["strategies"]["cot"]["eb"]["est"] += 2e-7
    changed = tmp_path / "analysis.json"
    changed.write_text(json.dumps(numbers))
    differences, _ = check(study, changed)
    assert [d.place for d in differences] == ["strategies.cot.eb.est"]
