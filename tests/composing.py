"""Composes configurations as the commands do."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from experiments.choices import HYDRA_GROUPS, declare_settings, register_components
from experiments.command import plain
from imug_tts.assemble import RunSettings, choices

__all__ = ["CONF", "composed", "options"]

CONF = Path(__file__).parents[1] / "conf"


def composed(*overrides: str) -> dict[str, Any]:
    """conf/config.yaml with overrides, as plain dicts and lists."""
    return deepcopy(_composed(*overrides))


def options(kind: type) -> list[str]:
    """What can be chosen for a kind of component: components and compositions, and files in conf/."""
    files = (CONF / HYDRA_GROUPS[kind]).glob("*.yaml")
    return sorted({*choices(kind), *(file.stem for file in files)})


@cache
def _composed(*overrides: str) -> dict[str, Any]:
    register_components()
    declare_settings("config_settings", RunSettings)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("config", list(overrides)))
