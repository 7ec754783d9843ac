"""Packages installed into a folder as pip would, and commands of this repository that see them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.plugins import declare

__all__ = ["Bench"]

ROOT = Path(__file__).parents[2]


class Bench:
    """A folder in which commands run, with packages of this folder installed."""

    def __init__(self, home: Path, packages: Sequence[str]) -> None:
        self.home = home
        self._packages = home / "packages"
        for package in packages:
            self._install(package)

    def _install(self, package: str) -> None:
        source = Path(__file__).parent / package
        shutil.copytree(source, self._packages / package, ignore=shutil.ignore_patterns("__pycache__"))
        declare(self._packages, package, (source / "entry_points.txt").read_text())

    def command(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments."""
        path = os.pathsep.join([str(self._packages), str(ROOT)])
        environment = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "error"}
        return subprocess.run(
            [sys.executable, *command], cwd=self.home, env=environment, capture_output=True, text=True
        )

    def experiment(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of experiments/."""
        return self.command(str(ROOT / "experiments" / f"{name}.py"), *arguments)

    def run(self, *arguments: str) -> str:
        """What `experiments/run.py` prints; it must end well."""
        done = self.experiment("run", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout
