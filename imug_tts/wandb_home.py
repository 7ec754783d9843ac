"""How this package uses wandb, wherever it does: its folder, its settings and its names. Imports no wandb."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["FOLDER", "PROJECT", "SETTINGS", "environment", "word"]

FOLDER: Final = "wandb"
"""Of everything that wandb writes, in the study's folder; its *.json say under which ids runs are there."""
PROJECT: Final = "imug_tts"
"""The wandb project, unless a user names one."""
SETTINGS: Final[Mapping[str, Any]] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "disable_job_creation": True,
    "x_disable_meta": True,  # it would hold the command line
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""Settings of every run: nothing of the command line, the machine or the code goes to wandb."""
_LONGEST: Final = 40
"""Characters of a name in an id, of which wandb allows 128."""


def environment(folder: Path) -> dict[str, str]:
    """Variables that keep wandb inside a folder, and errors of wandb on this machine."""
    names = {"WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data", "WANDB_ARTIFACT_DIR": "artifacts"}
    return {name: str(folder / below) for name, below in names.items()} | {"WANDB_ERROR_REPORTING": "false"}


def word(name: str) -> str:
    """A name as a part of an id."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)[:_LONGEST]
