"""Runs against servers that count calls, with repeated kills, and the calls that may then be repeated."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imug_tts.testing.infer_servers import stats
from tests.crash.killing import journaled_calls

__all__ = ["Killed", "play_with_kills", "run_command"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Killed:
    """What the kills came to. `calls` reached the servers, `journaled` counts each call by its identity."""

    kills: int
    status: int
    planned: int
    scored: int
    calls: int
    journaled: Counter[bytes]


def run_command(output: Path, urls: Sequence[str], *knobs: str) -> list[str]:
    servers = ["backbone=imug_server", f"backbone.urls=[{','.join(urls)}]", "backbone.model=fake"]
    fixed = ["benchmark=pocket_world", "tracking=none", f"output={output}"]
    return [sys.executable, str(ROOT / "experiments" / "run.py"), *servers, *fixed, *knobs]


def play_with_kills(output: Path, urls: Sequence[str], *knobs: str, kills: int, seed: int = 0) -> Killed:
    """Start the run, kill -9 it `kills` times at work, then let it end."""
    moment, command = random.Random(seed), run_command(output, urls, *knobs)
    killed = sum(_start_and_kill(command, urls, moment) for _ in range(kills))
    done = subprocess.run(command, capture_output=True, cwd=output.parent)
    summary = json.loads((output / "summary.json").read_text())
    return Killed(
        kills=killed,
        status=done.returncode,
        planned=summary["planned"],
        scored=summary["scored"],
        calls=_calls(urls),
        journaled=journaled_calls(output / "journal"),
    )


def _start_and_kill(command: Sequence[str], urls: Sequence[str], moment: random.Random) -> bool:
    """Kill after some calls more than before; False if the run ended first."""
    goal = _calls(urls) + moment.randint(1, 12)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and _calls(urls) < goal:
        time.sleep(0.02)
    time.sleep(moment.uniform(0, 0.02))
    at_work = process.poll() is None
    process.kill()
    process.wait()
    return at_work


def _calls(urls: Sequence[str]) -> int:
    return sum(stats(url).total() for url in urls)
