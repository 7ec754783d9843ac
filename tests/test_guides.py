"""Every code block of README and docs does what it says: commands run on tiny data, the rest is read.

What cannot run as it stands is in `CHANGED`, `REHEARSED` and `LEFT_OUT`, each with its reason. These lists do
not grow: a new guide is written so that its commands run, or a command is taken out of another.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from analysis.fields import ANALYSIS_FIELDS, ESTIMATE, ESTIMATE_FIELDS
from imug_tts.records import read_turns, run_folders
from imug_tts.records.fields import MANIFEST_FIELDS, RECORD_FIELDS, SUMMARY_FIELDS, undeclared
from tests.guide_commands import ROOT, Block, Runner, blocks, commands, pages

LEFT_OUT: Final[Mapping[str, str]] = {
    r"pip install|make |PIP_EXTRA": "changes an environment or runs the whole suite",
    r"source \.venv": "the environment is that of the tests",
    r"hf download|wandb sync": "reaches a service on the network",
    r"vllm serve": "needs a GPU",
    r"python experiments/speed": "measures for minutes, or needs a GPU: tests/experiments/test_speed*.py",
    r"python experiments/serve\.py": "runs until it is interrupted: tests/serving",
    r"python experiments/qualify\.py": "reads pairs that people compared: tests/experiments/test_qualify.py",
    r"backbone=my_model": "names the reader's own package: tests/plugins installs such a package and runs it",
    r"python -m pytest tests/conformance": "tests/conformance/test_own_models.py runs it",
}
REHEARSED: Final[Mapping[str, str]] = {
    r"experiment=": "takes minutes; tests/experiments/test_presets.py runs presets at a small size",
    r"//gpu|//judge|URL": "asks servers that are not there",
    r"settings=\{steps": "draws with up to 50 steps for each image",
    r"backbone=(openai|gemini)": "needs a key",
    r"judge=(local_vlm|clip_score|ensemble)": "the small checkpoints do not judge the pocket model's images",
}
"""Composed and checked by +dry_run=true, which may end with 1 because a server is away, and never with 2."""
ELSEWHERE: Final[Mapping[str, str]] = {
    "docs/guides/imug_bench.md": "tests/experiments/test_imug_guide.py",
    "docs/guides/distillation.md": "tests/training/test_distill.py, with small models",
    "docs/guides/drivebench.md": "tests/experiments/test_drivebench_cli.py, with other folders and models",
    "docs/guides/report.md": "tests/analysis/label and tests/analysis/report",
    "slurm/README.md": "tests/slurm runs studies on a cluster of one node",
}
"""Pages whose commands other tests run on data of their own."""
MOST_NOT_RUN: Final = 41
"""Commands of all pages that are left out or only rehearsed."""

CHANGED: Final = (
    (r"/models/BAGEL-7B-MoT|/shared/models/BAGEL-7B-MoT", "{tiny}/bagel"),
    (r"/models/PickScore_v1", "{tiny}/clip"),
    (r"/models/Qwen2.5-VL-7B-Instruct", "{tiny}/vlm"),
    (r"/shared/imug|(?<=benchmark\.root=)imug", "{tiny}/imug"),
    (r"/shared/me/", "runs/"),
    (r"backbone\.steps=6", "backbone.steps=2 budget.images=2 budget.texts=2"),
    (r" --watch", ""),
    (r"num_samples=20\b", "num_samples=2"),
    (r"arms=\[direct\]", "arms=[direct] tracking=none"),
)
"""Weights, data and folders that the tests make small."""


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, runner: Runner) -> Path:
    """Small checkpoints, benchmark data and a study, in place of those that pages name."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    for command in (
        *(f"python experiments/tiny_checkpoint.py {name} --out {name}" for name in ("bagel", "clip", "vlm")),
        "python experiments/write_imug.py --out imug --samples 4",
        "python experiments/run.py -m strategy=direct,best_of_n benchmark.num_samples=2 study=tiny",
    ):
        assert runner.run(command, folder).status == 0
    return folder


def test_every_code_block_is_of_a_language_that_is_checked() -> None:
    known = {"bash", "python", "json", "yaml", "toml", "text"}
    strange = [(page.name, b.language, b.content[:40]) for page in pages() for b in blocks(page)]
    assert [each for each in strange if each[1] not in known] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_data_blocks_of_a_page_can_be_read(page: Path) -> None:
    for block in blocks(page):
        read(block)


@pytest.mark.parametrize("page", [page for page in pages() if commands(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path, runner: Runner, tiny: Path, tmp_path: Path) -> None:
    if str(page.relative_to(ROOT)) in ELSEWHERE:
        pytest.skip(ELSEWHERE[str(page.relative_to(ROOT))])
    for name in ("conf", "experiments", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    for block in blocks(page):
        if block.language == "yaml":
            (tmp_path / "prices.yaml").write_text(block.content)
    for command in commands(page):
        if rule_of(command, LEFT_OUT) is None:
            carry_out(command, runner, tiny, tmp_path)


def carry_out(command: str, runner: Runner, tiny: Path, folder: Path) -> None:
    is_rehearsed = rule_of(command, REHEARSED) is not None
    small = made_small(command, tiny, is_rehearsed)
    study = re.search(r"(?:python -m analysis|status\.py) (runs/[\w-]+)", small)
    if study is not None and not (folder / study[1]).exists():
        (folder / "runs").mkdir(exist_ok=True)
        (folder / study[1]).symlink_to(tiny / "runs" / "tiny")
    done = runner.run(small, folder)
    assert done.status in ((0, 1) if is_rehearsed else (0,)), f"{small}\n{done.output}"
    assert "Traceback" not in done.output, f"{small}\n{done.output}"


def made_small(command: str, tiny: Path, is_rehearsed: bool) -> str:
    for written, real in CHANGED:
        command = re.sub(written, real.format(tiny=tiny), command)
    if "experiments/run.py" not in command or "--help" in command:
        return command.replace(" --wandb", "")
    command += " tracking=none" if "tracking=" not in command else ""
    command += " benchmark.num_samples=3" if "num_samples" not in command else ""
    return f"{command} +dry_run=true" if is_rehearsed and "dry_run" not in command else command


def rule_of(command: str, rules: Mapping[str, str]) -> str | None:
    return next((rule for rule in rules if re.search(rule, command)), None)


def read(block: Block) -> None:
    """Raises what the parser of the block's language raises."""
    if block.language == "json":
        json.loads(block.content)
    elif block.language == "yaml":
        yaml.safe_load(block.content)
    elif block.language == "toml":
        tomllib.loads(block.content)


def test_the_files_of_a_study_hold_declared_fields_alone(runner: Runner, tiny: Path) -> None:
    assert runner.run("python -m analysis runs/tiny", tiny).status == 0
    folders = list(run_folders(tiny / "runs" / "tiny"))
    assert len(folders) == 2
    for folder in folders:
        assert undeclared(json.loads((folder / "manifest.json").read_bytes()), MANIFEST_FIELDS) == []
        assert undeclared(json.loads((folder / "summary.json").read_bytes()), SUMMARY_FIELDS) == []
        records = [line.record for line in read_turns(folder)]
        assert records
        assert {place for record in records for place in undeclared(record, RECORD_FIELDS)} == set()
    estimates: list[dict[str, Any]] = []
    numbers = json.loads((tiny / "runs" / "tiny" / "analysis" / "analysis.json").read_bytes())
    named = [field._replace(type="text") if field.type == ESTIMATE else field for field in ANALYSIS_FIELDS]
    assert undeclared(without_estimates(numbers, estimates), named) == []
    assert {place for each in estimates for place in undeclared(each, ESTIMATE_FIELDS)} == set()


def without_estimates(value: Any, found: list[dict[str, Any]]) -> Any:
    """The value with a word for each estimate in it; these are added to `found`."""
    if isinstance(value, dict) and "est" in value:
        found.append(value)
        return ESTIMATE
    if isinstance(value, dict):
        return {key: without_estimates(item, found) for key, item in value.items()}
    return [without_estimates(item, found) for item in value] if isinstance(value, list) else value


def test_what_is_not_run_does_not_grow_and_each_reason_is_needed() -> None:
    run_here = [p for p in pages() if str(p.relative_to(ROOT)) not in ELSEWHERE]
    rules = {**LEFT_OUT, **REHEARSED}
    found = [rule for page in run_here for command in commands(page) if (rule := rule_of(command, rules))]
    assert set(found) == set(rules)
    assert len(found) <= MOST_NOT_RUN
