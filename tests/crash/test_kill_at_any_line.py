"""A process killed between any two lines of the code that writes leaves nothing that stops the next one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS = 40
LINES = 19_500
"""Lines that the small study executes in that code, about."""


def test_killed_at_any_line_the_study_ends_as_if_undisturbed(tmp_path: Path) -> None:
    lines = sorted(random.Random(0).sample(range(1, LINES), KILLS))
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.any_line", str(tmp_path), *map(str, lines)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == (f"kills: {KILLS}\n", 0), done.stderr
