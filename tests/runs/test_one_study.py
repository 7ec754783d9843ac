"""What the analysis could not compare is refused before the first call, also across invocations."""

from __future__ import annotations

from pathlib import Path

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.runs import Arm, Run, check_one_study
from imug_tts.strategies import Direct
from imug_tts.testing.runs import ToyBenchmark, run
from imug_tts.testing.toys import ToyBackbone

WEIGHTS = "0123456789abcdef"


def arm_in(folder: Path, backbone: str = "toy", benchmark: str = "toy:1") -> Run:
    arm = Arm(
        backbone=ToyBackbone(identity=backbone), strategy=Direct(), benchmark=ToyBenchmark(identity=benchmark)
    )
    return Run(arm=arm, folder=folder, config={})


@pytest.mark.parametrize("what", ["backbone", "benchmark"])
def test_runs_of_two_backbones_or_benchmarks_are_refused_before_they_are_run(
    tmp_path: Path, what: str
) -> None:
    other = arm_in(tmp_path / "b", **{what: "another"})
    with pytest.raises(ConfigurationError, match=rf"b has 'another'; .* one {what} only.* study=NAME"):
        check_one_study([arm_in(tmp_path / "a"), other], tmp_path)
    check_one_study([other], tmp_path)
    run(tmp_path / "a", Direct())
    with pytest.raises(ConfigurationError, match=rf"a has 'toy.*one {what} only"):
        check_one_study([other], tmp_path)
    check_one_study([arm_in(tmp_path / "b")], tmp_path)


def test_weights_and_knobs_of_one_model_may_differ(tmp_path: Path) -> None:
    names = [
        f"toy:1:{WEIGHTS}",
        f"toy:1:{WEIGHTS[::-1]}",
        f'toy:1:{WEIGHTS} {{"steps": 3}}',
        'toy:1 {"steps": 5}',
    ]
    check_one_study([arm_in(tmp_path / str(at), name) for at, name in enumerate(names)], tmp_path)


def test_a_damaged_manifest_and_the_run_itself_do_not_stop_an_arm(tmp_path: Path) -> None:
    run(tmp_path / "a", Direct())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").write_text("{")
    check_one_study([arm_in(tmp_path / "a", benchmark="toy:2")], tmp_path)
