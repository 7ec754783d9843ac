"""A run completes even if nothing reads its standard output and error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_run_goes_on_when_its_messages_are_no_longer_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    knobs = ["strategy=direct", "benchmark.num_samples=2", "tracking.console.interval_s=0.001"]
    command = [sys.executable, "experiments/run.py", *knobs, f"output={tmp_path / 'run'}"]
    ended = subprocess.run(command, cwd=ROOT, stderr=writer, stdout=subprocess.PIPE, text=True)
    os.close(writer)
    assert ended.returncode == 0
    assert ended.stdout.startswith(
        f"the run is in {tmp_path / 'run'}; tables and figures: python -m analysis "
    )
    assert (tmp_path / "run" / "summary.json").exists()
