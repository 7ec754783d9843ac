"""Commands as a user gives them: the real process, in a directory of its own, with a plugin installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from imug_tts.records import read_turns
from tests.plugins.one_module import install

__all__ = ["ROOT", "Shell"]

ROOT = Path(__file__).parents[2]
PLUGIN = '''
import time
from pathlib import Path

import numpy as np

from imug_tts.contracts import Backbone, Candidate, Capabilities, Cost
from imug_tts.dialogue import Image, Text
from imug_tts.knobs import component, knob


@component
class Painter(Backbone):
    """Paints every image in one shade and answers A; tells a file of every call."""

    shade: int = knob("How bright.", default=255, ge=0, le=255)
    calls: str = knob("A file that counts calls.", runtime=True)
    broken: str | None = knob("Words on which a call fails.", default=None, runtime=True)
    refused: str | None = knob("Words on which a call is refused.", default=None, runtime=True)
    seconds: float = knob("How long a batch takes.", default=0.0, runtime=True)

    @property
    def identity(self):
        return f"painter:{self.shade}"

    @property
    def capabilities(self):
        return Capabilities(
            outputs=frozenset({"text", "image"}), reads_images=True, draws_from_images=True,
            seeds="exact", logits=True, max_batch=8,
        )

    def generate(self, requests):
        with Path(self.calls).open("a") as file:
            file.write(f"{id(self)}\\n")
        time.sleep(self.seconds)
        if any(_has(request, self.broken) for request in requests):
            raise RuntimeError("the paint is dry")
        return [[self._answer(request) for _ in request.seeds] for request in requests]

    def _answer(self, request):
        if _has(request, self.refused):
            return Candidate(output=None, finish="refused", reason="not in my studio")
        if request.modality == "image":
            return Candidate(output=Image.from_pixels(np.full((64, 64, 3), self.shade, np.uint8)))
        text = "yes" if request.form == "yes_no" else "A"
        return Candidate(output=Text(text), p_yes=0.6, cost=Cost(calls=1))


def _has(request, words):
    said = " ".join(part.text for part in request.history[-1].parts if isinstance(part, Text))
    return words is not None and words in said
'''


class Shell:
    """Runs `experiments/run.py` in a directory of its own, with the painter installed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.warnings = "error"
        install(home / "packages", "painter", PLUGIN, {"backbones.painter": "Painter"})
        self.calls = home / "calls.txt"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "experiments" / "run.py"), *arguments]
        environment = os.environ | {
            "PYTHONPATH": str(self.home / "packages"),
            "PYTHONWARNINGS": self.warnings,
        }
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_painting(self, *arguments: str) -> subprocess.Popen[str]:
        chosen = ["backbone=painter", f"backbone.calls={self.calls}", "benchmark.num_samples=6"]
        flags = [argument for argument in arguments if argument == "-m"]
        overrides = [argument for argument in arguments if argument != "-m"]
        return self.start(*flags, *chosen, *overrides)

    def paint(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _ended(self.start_painting(*arguments))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command alone, without the painter."""
        return _ended(self.start(*arguments))

    def calls_made(self) -> list[str]:
        return self.calls.read_text().split() if self.calls.exists() else []

    def records(self, run: str) -> list[dict[str, Any]]:
        """The records of the run in that folder."""
        return [line.record for line in read_turns(self.home / run)]

    def summary(self, run: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.home / run / "summary.json").read_text())
        return read


def _ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
