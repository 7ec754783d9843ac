"""The help of a command: its choices, and every knob with its value, meaning and range."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Final

from experiments.choices import HYDRA_GROUPS
from imug_tts import prompts
from imug_tts.assemble import choices
from imug_tts.contracts import Backbone, ConfigurationError, Judge, Tracker
from imug_tts.knobs import Knob, knobs_of
from imug_tts.registry import broken, component_class

__all__ = ["help_text"]

_CONF: Final = Path(__file__).parents[1] / "conf"
_KINDS: Final[Mapping[str, type]] = {
    **{name: kind for kind, name in HYDRA_GROUPS.items() if kind is not Tracker},
    "planner": Backbone,
    "verifier": Backbone,
    "scorer": Judge,
}
"""The component class under a key of a configuration."""


def help_text(about: str, config: Mapping[str, Any], settings: type) -> str:
    """The help of a command with the configuration `config`, i.e. with its current choices."""
    groups = "\n".join(f"  {name}: {', '.join(_options(kind))}" for kind, name in HYDRA_GROUPS.items())
    knobs = "\n".join(_lines(config, knobs_of(settings), ""))
    parts = {
        "Choices (group=option)": groups,
        "Knobs (name=value) and their values with these choices": knobs,
        "Settings of one call of the backbone (strategy.settings={name:value})": _settings(config),
        "Installed, but unusable": "\n".join(f"  {reason}" for reason in (*broken(), *prompts.broken())),
    }
    return "\n\n".join([about.strip(), *(f"{title}:\n\n{text}" for title, text in parts.items() if text)])


def _settings(config: Mapping[str, Any]) -> str:
    """The settings that the chosen backbone declares, one per line; empty if it cannot be loaded."""
    try:
        cls = component_class(Backbone, str(config["backbone"]["name"]), "")
    except (ConfigurationError, LookupError, TypeError):  # the backbone is not chosen or cannot be loaded
        return ""
    declared: type | None = getattr(cls, "settings", None)
    known = {} if declared is None else knobs_of(declared)
    node = {name: None if knob.default is MISSING else knob.default for name, knob in known.items()}
    return "\n".join(f"  {line}" for line in _lines(node, known, ""))


def _options(kind: type) -> list[str]:
    """The names of the components and of the compositions in conf/."""
    files = (_CONF / HYDRA_GROUPS[kind]).glob("*.yaml")
    return sorted({*choices(kind), *(file.stem for file in files)})


def _lines(node: Mapping[str, Any], known: Mapping[str, Knob], indent: str) -> Iterator[str]:
    for key, value in node.items():
        knob = known.get(key)
        comment = f"  # {knob.meaning} {knob.allowed}".rstrip() if knob is not None and knob.meaning else ""
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:{comment}"
            yield from _lines(value, _knobs_below(key, value, knob), f"{indent}  ")
        else:
            yield f"{indent}{key}: {_shown(value)}{comment}"


def _knobs_below(key: str, node: Mapping[str, Any], knob: Knob | None) -> Mapping[str, Knob]:
    if knob is not None and isinstance(knob.hint, type) and knobs_of(knob.hint):
        return knobs_of(knob.hint)
    kind = knob.part if knob is not None else _KINDS.get(key)
    try:
        if kind is None:  # a tracker stands under its own name
            return knobs_of(component_class(Tracker, key, "")) if node.get("name") == key else {}
        return knobs_of(component_class(kind, str(node.get("name")), ""))
    except ConfigurationError:
        return {}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
