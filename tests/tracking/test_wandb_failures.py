"""Failures of wandb do not stop a study, and are reported once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.strategies import Direct
from imug_tts.testing.runs import run
from imug_tts.tracking.wandb import WandbTracker
from imug_tts.tracking.wandb.account import Account
from tests.tracking.wandb_reader import directories

BROKEN = {
    "import": "raise ImportError('half of it is missing')",
    "init": "def init(**given): raise ConnectionError('the service is away')",
    "log": "def init(**given): return Run()",
}
"""Packages that stand in for wandb and fail in one place."""
STAND_IN = """
class Settings:
    def __init__(self, **given): pass
class Run:
    def define_metric(self, *given, **more): pass
    def log(self, row, step): raise ValueError('the row is refused')
"""
FULL = """
import collections, shutil
shutil.disk_usage = lambda path: collections.namedtuple('Usage', 'free')(0)
def init(**given): return Run()
class Settings:
    def __init__(self, **given): pass
class Run:
    def define_metric(self, *given, **more): pass
    def log(self, row, step): pass
"""
"""wandb on a disk without space."""
HANGS = """
import atexit, time
atexit.register(time.sleep, 600)
def init(**given): time.sleep(600)
class Settings:
    def __init__(self, **given): pass
"""
"""wandb where no run begins, and Python does not end."""


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("WANDB_", "NETRC")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def replace_wandb(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    (folder / "wandb.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("import", "ImportError: half of it is missing"),
        ("init", "ConnectionError: the service is away"),
        ("log", "ValueError: the row is refused"),
    ],
)
def test_a_wandb_that_raises_is_named_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    replace_wandb(monkeypatch, tmp_path, f"{BROKEN[place]}\n{STAND_IN}")
    with pytest.warns(UserWarning, match=f"the tracker WandbTracker failed .*{said}") as warned:
        summary = run(tmp_path / "study" / "run", Direct(), tracker=WandbTracker(interval_s=0))
    assert summary.scored == 24
    assert len(warned) == 1


@pytest.mark.parametrize("place", ["a file", "a folder of the kernel"])
def test_a_folder_that_nobody_can_write_to_is_named_once_and_stops_nothing(
    tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "study" / "wandb"
    folder.parent.mkdir()
    if place == "a file":
        folder.touch()
    else:
        folder.symlink_to("/sys/kernel")  # closed to the superuser as well
    with pytest.warns(UserWarning, match=f"the tracker WandbTracker failed .*{folder}") as warned:
        summary = run(tmp_path / "study" / "run", Direct(), tracker=WandbTracker(interval_s=0))
    assert summary.scored == 24
    assert len(warned) == 1


def test_a_full_disk_is_named_once_and_the_end_is_told_again_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = WandbTracker(interval_s=0, dialogues=1)
    with monkeypatch.context() as patched:
        replace_wandb(patched, tmp_path, FULL)
        with pytest.warns(UserWarning, match="No space left on device; free some space and start") as warned:
            summary = run(tmp_path / "study" / "run", Direct(), tracker=told)
    assert (summary.scored, len(warned)) == (24, 1)
    run(tmp_path / "study" / "run", Direct(), tracker=told)
    [directory] = directories(tmp_path / "study")
    assert directory.summary["final/scored"] == 24


def test_a_wandb_that_hangs_is_left_after_the_patience_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_wandb(monkeypatch, tmp_path, HANGS)
    began = time.monotonic()
    with pytest.warns(UserWarning, match="wandb did not end within 2 s and was stopped"):
        summary = run(tmp_path / "study" / "run", Direct(), tracker=WandbTracker(patience_s=1, dialogues=0))
    assert summary.scored == 24
    assert time.monotonic() - began < 15


def test_without_a_key_one_sentence_says_how_to_send_runs_later(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    for _ in range(2):
        run(study / "run", Direct(), tracker=WandbTracker())
        assert capfd.readouterr().err == (
            "wandb: there is no key (WANDB_API_KEY, or `wandb login`); "
            f"upload the offline runs later with: wandb sync {study / 'wandb'}\n"
        )
    sync = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", str(study / "wandb")],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "WANDB_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert "Would sync 1 run" in sync.stdout + sync.stderr


@pytest.mark.parametrize(
    ("variables", "netrc", "wanted", "mode"),
    [
        ({}, "", "auto", "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "", "auto", "online"),
        ({"WANDB_API_KEY": "k" * 40}, "", "offline", "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "", "shared", "shared"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, "", "auto", "offline"),
        ({"WANDB_MODE": "disabled"}, "", "auto", "disabled"),
        ({}, "machine api.wandb.ai login user password key", "auto", "online"),
        ({}, "machine api.example.org login user password key", "auto", "offline"),
        (
            {"WANDB_BASE_URL": "https://w.example.org"},
            "machine w.example.org login u password k",
            "auto",
            "online",
        ),
        ({}, "machine", "auto", "offline"),
    ],
)
def test_runs_go_online_where_there_is_a_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    netrc: str,
    wanted: str,
    mode: str,
) -> None:
    (tmp_path / ".netrc").write_text(f"{netrc}\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Account.of(wanted).mode == mode


@pytest.mark.parametrize("mode", ["online", "shared"])
def test_online_without_a_key_is_refused_before_wandb_would_ask_for_one(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("there is no key; run `wandb login`")):
        Account.of(mode)


def test_wandb_is_not_imported_into_the_process_of_the_study() -> None:
    program = (
        "import sys; from imug_tts.tracking.wandb import WandbTracker; WandbTracker().start([]); "
        "sys.exit('wandb' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
