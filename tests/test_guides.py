"""Every code block of README and docs does what it says: commands run on tiny data, examples as they are.

All pages share one folder, as they do for a user, so that the studies of two guides must not clash. What
cannot run as it stands is in `CHANGED`, `REHEARSED` and `LEFT_OUT`, each with its reason. These lists do
not grow: a new guide is written so that its commands run, or a command is taken out of another.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any, Final

import pytest
import yaml

from analysis.fields import ANALYSIS_FIELDS, ESTIMATE, ESTIMATE_FIELDS
from experiments.command import compose
from experiments.reference_pages.commands import parser_of, settings_of
from imug_tts.knobs import knobs_of
from imug_tts.launch import SlurmQueue
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
"""Pages whose commands other tests run on data of their own; here their options are read."""
MOST_NOT_RUN: Final = 41
"""Commands of all pages that are left out or only rehearsed."""

IMPORTED: Final = (
    "analysis.shown",
    "statsmodels.api",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "transformers",
    "diffusers",
    "imug_tts.backbones.bagel.loading",
    "imug_tts.backbones.janus.generator",
)
"""What commands of several pages import, and what takes longer than most of these commands."""

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


def run_here() -> list[Path]:
    """The pages whose commands are run by this module."""
    return [page for page in pages() if str(page.relative_to(ROOT)) not in ELSEWHERE]


def examples(page: Path) -> list[str]:
    return [block.content for block in blocks(page) if block.language == "python"]


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner(IMPORTED)
    yield made
    made.close()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands of all pages are given."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("conf", "experiments", "tests"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def given() -> list[str]:
    """The commands that were carried out in this folder, in order."""
    return []


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


@pytest.mark.parametrize("page", [page for page in run_here() if commands(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(
    page: Path, runner: Runner, tiny: Path, checkout: Path, given: list[str]
) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            (checkout / "prices.yaml").write_text(block.content)
    for command in commands(page):
        if rule_of(command, LEFT_OUT) is None and not would_repeat(command, given):
            carry_out(command, runner, tiny, checkout)
            given.append(command)


@pytest.mark.parametrize("page", ELSEWHERE)
def test_every_option_of_a_command_that_runs_elsewhere_exists(page: str) -> None:
    found = [command for command in commands(ROOT / page) if command.startswith("python ")]
    assert found
    for command in found:
        read_options(command)


def read_options(command: str) -> None:
    """Raises what the command raises, or exits as it does, if an option, knob or choice does not exist."""
    said = [word for word in shlex.split(command)[1:] if word not in ("...", "$@")]
    module = said[0] == "-m"
    name, arguments = (" ".join(said[:2]), said[2:]) if module else (said[0], said[1:])
    settings = None if module else settings_of().get(Path(name).stem)
    if settings is None:
        if name != "experiments/status.py":  # it reads a folder and --watch without a parser
            parser_of(name).parse_args(arguments)
        return
    of_launcher = [word for word in arguments if word.startswith("hydra.launcher.")]
    assert {word[len("hydra.launcher.") :].partition("=")[0] for word in of_launcher} <= {
        *knobs_of(SlurmQueue)
    }
    composed = [w for w in arguments if w != "-m" and not w.startswith(("hydra", "+dry_run"))]
    compose("config" if Path(name).stem == "run" else Path(name).stem, "", composed, settings)


def would_repeat(command: str, given: list[str]) -> bool:
    """Whether another page gave the command, and no run was added to its study since."""
    if command not in given:
        return False
    since = given[given.index(command) + 1 :]
    return not any("run.py" in each and study_of(each) == study_of(command) for each in since)


def study_of(command: str) -> str:
    found = re.search(r"(?:study=|runs/)([\w-]+)", command)
    return found[1] if found else "default"


@pytest.mark.parametrize("page", [page for page in pages() if examples(page)], ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_one_after_another(page: Path, runner: Runner, tmp_path: Path) -> None:
    program = "\n".join(examples(page))
    if page.name == "README.md":  # in a running event loop, as in a notebook; other pages run without one
        program = f"import asyncio\nasync def cell():\n{indent(program, '    ')}\nasyncio.run(cell())"
    done = runner.run_code(program, tmp_path)
    assert done.status == 0, done.output


def carry_out(command: str, runner: Runner, tiny: Path, folder: Path) -> None:
    is_rehearsed = rule_of(command, REHEARSED) is not None
    small = made_small(command, tiny, is_rehearsed)
    study = re.search(r"(?:python -m analysis|status\.py) (runs/[\w-]+)", small)
    if study is not None and not (folder / study[1]).exists():
        small = small.replace(study[1], str(tiny / "runs" / "tiny"))
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
    rules = {**LEFT_OUT, **REHEARSED}
    found = [rule for page in run_here() for command in commands(page) if (rule := rule_of(command, rules))]
    assert set(found) == set(rules)
    assert len(found) <= MOST_NOT_RUN
