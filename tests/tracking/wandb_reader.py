"""Reads wandb's files in a study's folder with wandb's own reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["RunDirectory", "directories"]


class RunDirectory:
    """A run directory of wandb: what one invocation told of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
        kept = {**os.environ, "WANDB_CACHE_DIR": str(folder.parents[2] / "reader")}
        read = subprocess.run(command, check=True, capture_output=True, text=True, env=kept)
        self._entries = [json.loads(line) for line in read.stdout.splitlines()]

    @property
    def run(self) -> Mapping[str, Any]:
        """How the run began: run_id, run_group, project, config and so on."""
        run: Mapping[str, Any]
        [run] = self._of("run")
        return run

    @property
    def config(self) -> Mapping[str, Any]:
        config: Mapping[str, Any] = self.run["config"]["update"]
        return config

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """The points, and what was told at the end."""
        return [history["item"] for history in self._of("history")]

    def points(self, name: str = "turns/done") -> list[Any]:
        """The values of one series."""
        return [row[name] for row in self.history if name in row]

    @property
    def summary(self) -> Mapping[str, Any]:
        whole: dict[str, Any] = {}
        for summary in self._of("summary"):
            whole |= summary["update"]
        return whole

    @property
    def artifacts(self) -> dict[str, dict[str, bytes]]:
        """The files of each artifact by its type, with their content."""
        return {
            artifact["type"]: {
                entry["path"]: Path(entry["local_path"]).read_bytes()
                for entry in artifact["manifest"]["contents"]
            }
            for artifact in self._of("artifact")
        }

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table by column; an image is the bytes of its file."""
        files = self.artifacts["run_table"]
        held = json.loads(files[f"{name}.table.json"])
        return [
            {
                column: files[cell["path"]] if isinstance(cell, dict) else cell
                for column, cell in zip(held["columns"], row, strict=True)
            }
            for row in held["data"]
        ]

    def media(self, path: str) -> Path:
        return self.folder / "files" / path

    def _of(self, kind: str) -> Iterator[Any]:
        return (entry[kind] for entry in self._entries if entry["type"] == kind)


def directories(study: Path) -> list[RunDirectory]:
    """The run directories of a study, in the order of their beginnings."""
    folders = sorted((study / "wandb").glob("*run-*"), key=lambda folder: folder.stat().st_ctime_ns)
    return [RunDirectory(folder) for folder in folders]
