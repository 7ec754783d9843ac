"""A signal while every call waits or fails: the process exits within three seconds, and loses no reply."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from imug_tts.testing import chat_server as chat
from imug_tts.testing import infer_servers as infer
from tests.crash.killing import journaled_calls
from tests.experiments.shell import Shell

Fault = Literal["silent", "busy"]
AT_MOST_S = 3.0
ANSWERED = 12
"""Calls that a server answers before it fails."""
FOR_EVER_S = 3600.0


@dataclass
class Served:
    """A command whose calls go to a server that fails, and how to mend the server."""

    shell: Shell
    arguments: list[str]
    server: infer.InferServer | chat.ChatServer

    @property
    def journal(self) -> Path:
        return self.shell.home / "here" / "journal"

    def asked(self) -> int:
        if isinstance(self.server, infer.InferServer):
            return self.server.calls.total()
        return len(self.server.bodies)

    def mend(self) -> None:
        if isinstance(self.server, infer.InferServer):
            self.server.answer = infer.by_content()
        else:
            self.server.reply = clerk

    def start(self) -> subprocess.Popen[str]:
        return self.shell.start(*self.arguments, "benchmark.num_samples=12", "tracking=none", "output=here")


def clerk(number: int, body: dict[str, Any]) -> chat.Reply:
    """Writes checklists, and finds everything as it should be."""
    return chat.completion("Is it bright?\nyes" if number % 2 else "yes")


@contextmanager
def model(shell: Shell, fault: Fault) -> Iterator[Served]:
    """The model under test is on a server."""
    good = infer.by_content()

    def answer(asked: infer.Asked) -> infer.Reply:
        if asked.number < ANSWERED:
            return good(asked)
        if fault == "silent":
            return infer.Reply(delay_s=FOR_EVER_S)
        return infer.Reply(status=503, headers=f"retry-after: {FOR_EVER_S:.0f}\r\n")

    with infer.infer_server(answer, slots=100) as server:
        arguments = ["backbone=imug_server", f"backbone.urls=[{server.url}]", "backbone.per_server=8"]
        yield Served(shell, arguments, server)


@contextmanager
def judge(shell: Shell, fault: Fault) -> Iterator[Served]:
    """The judge is on a server, and the model under test is not."""

    def reply(number: int, body: dict[str, Any]) -> chat.Reply:
        if number < ANSWERED:
            return clerk(number, body)
        if fault == "silent":
            return chat.Reply(delay_s=FOR_EVER_S)
        return chat.Reply(status=503, headers={"Retry-After": f"{FOR_EVER_S:.0f}"})

    with chat.chat_server(reply) as server:
        endpoint = ("judge=openai", f"judge.base_url={server.base_url}", "judge.model=grader")
        painter = ("backbone=painter", f"backbone.calls={shell.calls}", "strategy=best_of_n", "strategy.n=2")
        yield Served(shell, [*painter, *endpoint], server)


PLACES = {"model": model, "judge": judge}


def interrupted(process: subprocess.Popen[str], number: int) -> str:
    """The only line that the process says when it is told to stop."""
    sent = time.monotonic()
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert time.monotonic() - sent < AT_MOST_S
    assert process.returncode == 130, said
    [line] = said.splitlines()
    return line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("fault", ["silent", "busy"])
@pytest.mark.parametrize("place", PLACES)
def test_interrupted_while_every_call_waits(tmp_path: Path, place: str, fault: Fault, number: int) -> None:
    with PLACES[place](Shell(tmp_path), fault) as served:
        process = served.start()
        while process.poll() is None and served.asked() <= ANSWERED:
            time.sleep(0.01)
        time.sleep(1.0)  # until every call that may be in flight is
        line = interrupted(process, number)
        assert line.startswith("interrupted: ")
        assert line.endswith("turns are done; run the same command again to resume")
        before = journaled_calls(served.journal)
        assert before
        served.mend()
        _, said = (again := served.start()).communicate(timeout=120)
        assert again.returncode == 0, said
    after = journaled_calls(served.journal)
    assert before.keys() <= after.keys()
    assert max(after.values()) == 1
    assert served.shell.summary("here")["missing"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", PLACES)
def test_interrupted_while_no_server_is_there(tmp_path: Path, place: str, number: int) -> None:
    shell, nobody = Shell(tmp_path), infer.unused_url()
    arguments = {
        "model": ["backbone=imug_server", f"backbone.urls=[{nobody}]"],
        "judge": [
            *("backbone=painter", f"backbone.calls={shell.calls}", "strategy=best_of_n"),
            *("judge=openai", f"judge.base_url={nobody}/v1", "judge.model=grader"),
        ],
    }
    process = shell.start(*arguments[place], "tracking=none", "output=here")
    while process.poll() is None and not (tmp_path / "here" / "journal").exists():
        time.sleep(0.01)
    time.sleep(1.0)
    assert process.poll() is None, process.communicate()
    assert interrupted(process, number).startswith("interrupted: 0 of ")


def test_a_batch_that_takes_longer_is_finished_and_said(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    process = shell.start_painting("backbone.seconds=5", "output=here", "tracking=none")
    while process.poll() is None and not shell.calls_made():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    first, second = said.splitlines()
    assert first == "stopping: calls in flight are finished and journaled (again to stop at once)"
    assert second.startswith("interrupted: ")
    assert journaled_calls(tmp_path / "here" / "journal")
