"""The commands of the guide to IMUG-Bench, as they stand there, on synthetic data."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from imug_tts.records.fields import RECORD_FIELDS, undeclared
from imug_tts.testing.chat_server import chat_server
from imug_tts.testing.infer_servers import by_content, infer_server
from imug_tts.testing.runs import records
from tests.experiments.imug_cli import EXPERIMENTS, grade, outcomes

GUIDE = EXPERIMENTS.parent / "docs" / "guides" / "imug_bench.md"
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def commands() -> list[str]:
    blocks = "\n".join(BLOCK.findall(GUIDE.read_text())).replace("\\\n", " ")
    return [line for line in blocks.splitlines() if line.startswith("python ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the commands find the scripts and, as if it had been fetched, the data."""
    (tmp_path / "experiments").symlink_to(EXPERIMENTS)
    (tmp_path / "imug").symlink_to("synthetic")
    return tmp_path


def run(command: str, folder: Path, addresses: dict[str, str]) -> None:
    for written, real in addresses.items():
        command = command.replace(written, real)
    if "imug/RUN" in command:
        (run_folder,) = (folder / "runs" / "imug").glob("best_of_4*")
        command = command.replace("imug/RUN", f"imug/{run_folder.name}")
    command = command.replace("python ", f"{sys.executable} ", 1)
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_whole_way_of_the_guide(folder: Path) -> None:
    with (
        infer_server(by_content(), slots=4) as first,
        infer_server(by_content(), slots=4) as second,
        chat_server(grade) as judge,
    ):
        judge.models = ("VERIFIER", "GRADER")
        addresses = {
            "http://127.0.0.1:8000": first.url,
            "http://127.0.0.1:8001": second.url,
            "http://127.0.0.1:9000/v1": judge.base_url,
            "http://127.0.0.1:9100/v1": judge.base_url,
        }
        for command in commands():
            run(command, folder, addresses)
    (scored,) = (folder / "runs" / "scores").glob("best_of_4*")
    assert set(outcomes(scored)) == {"scored"}
    assert {place for record in records(scored) for place in undeclared(record, RECORD_FIELDS)} == set()
    assert (folder / "runs" / "scores" / "analysis" / "report.html").exists()
    assert (folder / "runs" / "imug" / "analysis" / "report.html").exists()
    assert (folder / "exported" / "NAME" / "summary" / "summary.json").exists()
