"""Studies launched as jobs: their records, the state of their jobs, and waiting for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imug_tts.records import read_turns
from tests.experiments.shell import ROOT, Shell
from tests.plugins.one_module import install

__all__ = ["gpus_used", "install_gpu_painter", "job_states", "records_of", "tables_of", "wait_until"]


_GPU_PAINTER = '''
import os

from imug_tts.contracts import Local, MemoryNeed
from imug_tts.knobs import component, knob
from painter import Painter


@component
class GpuPainter(Painter, Local):
    """Paints without a GPU, and may be given one."""

    device_map: str | None = knob("Where.", default=None, runtime=True)
    device = "cpu"  # it only looks at the numbers of its GPUs
    is_loaded = True
    memory = MemoryNeed(weights=1)

    def unload(self):
        pass

    def generate(self, requests):
        with open(f"{self.calls}.gpus", "a") as file:
            file.write(os.environ.get("CUDA_VISIBLE_DEVICES", "all") + "\\n")
        return super().generate(requests)
'''


def records_of(study: Path) -> dict[str, list[Any]]:
    """The records of every run of a study without the times that they took."""
    return {
        path.parent.name: [_timeless(line.record) for line in read_turns(path.parent)]
        for path in sorted(study.glob("*/turns.jsonl"))
    }


def job_states(study: Path) -> list[dict[str, Any]]:
    """What the jobs of a study last said of themselves."""
    return [json.loads(path.read_text()) for path in sorted(study.glob(".submitit/*/*.state.json"))]


def tables_of(study: Path) -> dict[str, list[list[str]]]:
    """The tables that the analysis makes of a study of the painter, by name, without seconds.

    Gains per unit of cost are left out: time is all that the painter costs.
    """
    command = [sys.executable, "-m", "analysis", str(study), "--resamples", "200"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return {
        path.name: _timeless_table(path.read_text())
        for path in sorted((study / "analysis" / "tables").glob("*.md"))
        if not path.name.startswith("T8b")
    }


def wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def _timeless_table(text: str) -> list[list[str]]:
    rows = [line.split(" | ") for line in text.splitlines()]
    head = next((row for row in rows if len(row) > 1), [])
    dropped = [number for number, name in enumerate(head) if "second" in name or "s per" in name]
    return [[cell for n, cell in enumerate(row) if n not in dropped or len(row) == 1] for row in rows]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key != "seconds"}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def install_gpu_painter(shell: Shell) -> None:
    """A painter that may be given GPUs, and writes down which one it was given: `gpus_used`."""
    install(shell.home / "packages", "gpu_painter", _GPU_PAINTER, {"backbones.gpu_painter": "GpuPainter"})


def gpus_used(shell: Shell) -> set[str]:
    """CUDA_VISIBLE_DEVICES of every call of a GPU painter."""
    return set(Path(f"{shell.calls}.gpus").read_text().splitlines())
