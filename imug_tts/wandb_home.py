"""Names, folders and settings for wandb, used by all code that uses wandb. Does not import wandb."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["FOLDER", "PROJECT", "SETTINGS", "environment", "word"]

FOLDER: Final = "wandb"
"""Folder in the study's folder for all files of wandb; its *.json files store the wandb ids of runs."""
PROJECT: Final = "imug_tts"
"""The wandb project, unless a user names one."""
SETTINGS: Final[Mapping[str, Any]] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "disable_job_creation": True,
    "x_disable_meta": True,  # metadata would contain the command line
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""wandb settings of every run: nothing about command line, machine or code is sent to wandb."""
_LONGEST: Final = 40
"""Most characters of a name in a wandb id, which may have 128 in all."""


def environment(folder: Path) -> dict[str, str]:
    """Return the variables that keep wandb's files in a folder and disable its error reports."""
    names = {"WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data", "WANDB_ARTIFACT_DIR": "artifacts"}
    return {name: str(folder / below) for name, below in names.items()} | {"WANDB_ERROR_REPORTING": "false"}


def word(name: str) -> str:
    """Return a name with only characters that a wandb id allows."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)[:_LONGEST]
