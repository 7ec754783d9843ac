"""An analysis says what its records say: each of its numbers is computed a second time by other code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from analysis.ablation import ablation
from analysis.numbers import to_json
from analysis.records import load_study
from imug_tts.assemble import Shared, build_arm
from imug_tts.runs import Run, execute
from tests.analysis.recompute.__main__ import main
from tests.analysis.recompute.compare import count_numbers, differences
from tests.analysis.recompute.stored import read
from tests.analysis.recompute.whole import by_name, recompute

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
    """A small study of the pocket model."""
    folder = tmp_path_factory.mktemp("study")
    execute(list(runs(folder, num_samples=21)), journal=folder / "journal")
    return folder


@pytest.fixture(scope="module")
def stated(study: Path) -> dict[str, Any]:
    """What the analysis says of it."""
    return to_json(ablation(load_study(study), resamples=600, seed=3))


@pytest.fixture(scope="module")
def recomputed(study: Path) -> dict[str, Any]:
    """What its records say."""
    return recompute(study, "direct", resamples=600, seed=3)


def test_every_number_of_the_tables_is_that_of_the_records(
    stated: dict[str, Any], recomputed: dict[str, Any]
) -> None:
    found = list(differences(by_name(stated), recomputed))
    assert not found, "\n".join(map(str, found))
    assert count_numbers(recomputed) > 4000


def test_it_looks_at_every_arm_and_table(study: Path, recomputed: dict[str, Any]) -> None:
    labels = {"direct", "cot", "self_verify", "best_of_2", "self_verify+cot"}
    assert set(read(study).strategies) == set(recomputed["strategies"]) == set(recomputed["arms"]) == labels
    assert set(recomputed["verifiers"]) == {"self_verify", "best_of_2", "self_verify+cot"}
    tables = "nestings synergies groups propagation coupling wear selections curves efficiency pareto_front"
    assert all(recomputed[table] for table in tables.split())


def test_a_number_that_differs_is_told(stated: dict[str, Any], recomputed: dict[str, Any]) -> None:
    changed = deepcopy(by_name(stated))
    changed["strategies"]["cot"]["eb"]["est"] += 2e-7
    (found,) = differences(changed, recomputed)
    assert found.place == "strategies.cot.eb.est"


def test_by_command_it_says_how_many_numbers_differ(
    study: Path, stated: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = study / "analysis.json"
    numbers.write_text(json.dumps(stated))
    assert main([str(study), str(numbers)]) == 0
    assert "numbers computed again; 0 differ" in capsys.readouterr().out
