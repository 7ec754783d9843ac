"""A folder is held by one process at a time, on disks with file locks and on disks without."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imug_tts.contracts import ConfigurationError, StorageError
from imug_tts.files import exclusive

HOST = os.uname().nodename
HOLDER = """
import errno, fcntl, sys, time, warnings
from pathlib import Path
from imug_tts.files import exclusive

def refuse(descriptor, operation):
    raise OSError(int(sys.argv[2]), "no locks")

if int(sys.argv[2]):
    fcntl.flock = refuse
    warnings.simplefilter("ignore")
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
"""A process that holds a folder; its second argument is the error number of its file locks, or 0."""


@contextmanager
def holder(folder: Path, error: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(error)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The error number with which the disk refuses to lock a file."""
    number: int = request.param

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return number


@contextmanager
def held_without_locks(folder: Path) -> Iterator[None]:
    with pytest.warns(UserWarning, match="has no file locks"), exclusive(folder):
        yield


def test_a_folder_in_use_is_refused_with_the_process_that_holds_it(tmp_path: Path) -> None:
    with (
        holder(tmp_path) as process,
        pytest.raises(
            ConfigurationError,
            match=rf"in use by another process \(pid {process.pid} on {HOST}\); wait for it",
        ),
        exclusive(tmp_path),
    ):
        pass


def test_a_folder_is_free_after_its_holder_let_go_or_was_killed(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        pass
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with exclusive(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot write to .*taken"), exclusive(tmp_path / "taken" / "run"):
        pass


def test_a_disk_without_locks_is_named_once_for_all_runs_of_a_study(tmp_path: Path, no_locks: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for name in ("a", "b"):
            with exclusive(tmp_path / name):
                pass
    [said] = [str(warning.message) for warning in caught]
    assert said.startswith(f"the disk of {tmp_path} has no file locks ({os.strerror(no_locks)}); files named")


def test_a_folder_in_use_is_refused_without_locks_too(tmp_path: Path, no_locks: int) -> None:
    with (
        holder(tmp_path, no_locks) as process,
        pytest.raises(
            ConfigurationError,
            match=rf"\(pid {process.pid} on {HOST}\).*if that process is gone, remove .*\.lock\.soft",
        ),
        held_without_locks(tmp_path),
    ):
        pass


def test_a_lock_of_a_killed_process_of_this_machine_is_taken_over(tmp_path: Path, no_locks: int) -> None:
    with holder(tmp_path, no_locks) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / ".lock.soft").exists()
    with held_without_locks(tmp_path):
        assert (tmp_path / ".lock.soft").read_text().startswith(f"{os.getpid()} {HOST} ")
    assert [path.name for path in tmp_path.iterdir() if "soft" in path.name] == []


def test_a_lock_of_another_machine_says_how_to_remove_it(tmp_path: Path, no_locks: int) -> None:
    soft = tmp_path / ".lock.soft"
    soft.write_text("1234 node7 4026531836\n")
    with (
        pytest.raises(
            ConfigurationError, match=rf"pid 1234 on node7\).*if that process is gone, remove {soft}"
        ),
        held_without_locks(tmp_path),
    ):
        pass
    soft.unlink()
    with held_without_locks(tmp_path):
        pass


def test_other_errors_of_a_lock_are_storage_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match="Input/output error"), exclusive(tmp_path):
        pass
