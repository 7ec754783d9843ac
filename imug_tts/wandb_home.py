"""Names, folders and settings for wandb, used by all code that uses wandb. Does not import wandb."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["FOLDER", "PROJECT", "SETTINGS", "environment", "refused_uploads", "word"]

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
_UPLOAD: Final = "file transfer: upload: "
"""How wandb's internal log begins the message on a file that could not be uploaded."""
_LONGEST: Final = 40
"""Most characters of a name in a wandb id, which may have 128 in all."""


def environment(folder: Path) -> dict[str, str]:
    """Return the variables that keep wandb's files in a folder and disable its error reports."""
    names = {"WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data", "WANDB_ARTIFACT_DIR": "artifacts"}
    return {name: str(folder / below) for name, below in names.items()} | {"WANDB_ERROR_REPORTING": "false"}


def refused_uploads(log: Path) -> str:
    """Return what wandb's internal log of a run says of uploads that failed for good; empty if none did.

    wandb raises nothing when a server refuses a file (HTTP 4xx), e.g. because a plan has no space left.
    """
    with suppress(OSError):
        entries = [
            json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if '"ERROR"' in line
        ]
        failed = [str(entry["msg"]) for entry in entries if entry["msg"].startswith(_UPLOAD)]
        if failed:
            reason = failed[0].removeprefix(_UPLOAD).removeprefix("failed to upload: ")[:200]
            return f"refused {len(failed)} uploads, the first with {reason}"
    return ""


def word(name: str) -> str:
    """Return a name with only characters that a wandb id allows."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)[:_LONGEST]
