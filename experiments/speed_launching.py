"""Measure the overhead of running a study as jobs on this machine instead of in one process.

`experiments/speed.py launched_over_in_process` prints the overhead with its target.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["launched_over_in_process"]

ROOT: Final = Path(__file__).parents[1]
ARMS: Final = ("strategy=direct,cot,best_of_n", "seed=0,1,2,3", "benchmark.num_samples=60")
SMALL: Final = ("strategy=direct", "seed=0,1", "benchmark.num_samples=3")
"""Arguments of a study with almost no work, to measure how long two jobs take to start."""


def launched_over_in_process() -> float:
    """Return the time of 12 arms in two jobs, divided by the time of the same arms in one process plus the
    start time of two jobs.
    """
    start = _seconds([*SMALL, *_two_jobs(1)]) - _seconds(SMALL)
    alone, launched = _seconds(ARMS), _seconds([*ARMS, *_two_jobs(6)])
    print(f"  in process {alone:.1f} s, as jobs {launched:.1f} s, start of jobs {start:.1f} s", flush=True)
    return launched / (alone + start)


def _two_jobs(arms_per_job: int) -> list[str]:
    return ["hydra/launcher=submitit_local", f"hydra.launcher.arms_per_job={arms_per_job}"]


def _seconds(arguments: Sequence[str]) -> float:
    """Return how many seconds a new study takes, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = [*arguments, "tracking=none", f"output={folder}/study"]
        command = [sys.executable, "experiments/run.py", "-m", *chosen]
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - started
