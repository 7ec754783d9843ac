"""Registers components as Hydra choices with their knobs, as declared in code: no file repeats a default.

Every component of the registry, ours or a plugin's, becomes a choice of its group: `strategy=best_of_n`. The
files in conf/ hold studies and what they compose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from imug_tts.assemble import NONE, REQUIRED, choices
from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, Strategy, Tracker
from imug_tts.knobs import Knob, knobs_of
from imug_tts.nodes import COMPOSITIONS, FIRST_STRATEGY
from imug_tts.registry import GROUPS, component_class, names

__all__ = ["HIDDEN", "HYDRA_GROUPS", "declare_settings", "knob_values", "register_components"]

HIDDEN: Final = "_"
"""Name prefix of choices that are not for users."""
HYDRA_GROUPS: Final[Mapping[type, str]] = {
    Backbone: "backbone",
    Strategy: "strategy",
    Judge: "judge",
    Benchmark: "benchmark",
    Tracker: "tracking",
}
_FIRST_CHOICE: Final[Mapping[type, str | None]] = {Strategy: FIRST_STRATEGY, Judge: None, Backbone: None}
"""The default choice of a part by its kind; None: the run's own component of that kind, or none."""


def register_components() -> None:
    """Register every component as a choice. One that cannot be loaded reports it when it is chosen."""
    store = ConfigStore.instance()
    for kind, group in HYDRA_GROUPS.items():
        for name in choices(kind):
            package = f"{group}.{name}" if kind is Tracker else None
            store.store(group=group, name=name, node=_node(kind, name), package=package)


def declare_settings(name: str, cls: type) -> None:
    """Register the knobs of a class as the configuration `name`, for use in the defaults of a file in
    conf/.
    """
    ConfigStore.instance().store(name=name, node=OmegaConf.create(knob_values(cls)), package="_global_")


def knob_values(cls: type) -> dict[str, Any]:
    """The default values of a class's knobs, as a configuration."""
    return {knob.name: _value(knob) for knob in knobs_of(cls).values()}


def _node(kind: type, name: str) -> Any:
    if kind is Strategy and name in COMPOSITIONS:
        return _composition(COMPOSITIONS[name])
    if name == NONE and name not in names(GROUPS[kind]):
        return OmegaConf.create({"name": name})
    try:
        cls = component_class(kind, name, GROUPS[kind])
    except ConfigurationError:  # accept any knobs here; building the component reports the reason
        return OmegaConf.create({"name": name}, flags={"struct": False})
    node: dict[str, Any] = {"name": name}
    chosen: list[Any] = []
    for knob in knobs_of(cls).values():
        if knob.part is not None and knob.is_list:  # as a list of nodes: [{name: NAME, ...}, ...]
            node |= {knob.name: REQUIRED if knob.default is MISSING else None}
        elif knob.part is None:
            node |= {knob.name: _value(knob)} if not is_dataclass(knob.default) else {}
        elif knob.part in _FIRST_CHOICE:
            first = _first_choice(name, knob)
            chosen.append({f"/{HYDRA_GROUPS[knob.part]}@{knob.name}": first})
            node |= {knob.name: None} if first is None else {}
    return OmegaConf.create({"defaults": ["_self_", *chosen], **node})


def _composition(node: Mapping[str, Any]) -> Any:
    """The choice of a strategy, with other choices for its parts and other values of its knobs."""
    known = knobs_of(component_class(Strategy, node["name"], "strategy"))
    kinds = {key: known[key].part for key in node if key != "name"}
    parts = [{f"override /{HYDRA_GROUPS[kind]}@{key}": node[key]} for key, kind in kinds.items() if kind]
    values = {key: node[key] for key, kind in kinds.items() if kind is None}
    return OmegaConf.create({"defaults": [node["name"], *parts, "_self_"], **values})


def _first_choice(owner: str, knob: Knob) -> str | None:
    """The default choice of a part; None if it has none.

    A preset becomes a choice of its own, so that choosing another component drops the preset completely.
    """
    assert knob.part is not None
    first = None if knob.is_optional else _FIRST_CHOICE[knob.part]
    if first is None or not knob.preset:
        return first
    name = f"{HIDDEN}{owner}_{knob.name}"
    node = OmegaConf.merge(_node(knob.part, first), knob.preset)
    ConfigStore.instance().store(group=HYDRA_GROUPS[knob.part], name=name, node=node)
    return name


def _value(knob: Knob) -> Any:
    return REQUIRED if knob.default is MISSING else _plain(knob.default)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return dict(_settings(value))
    if isinstance(value, (tuple, list, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):  # a mapping with free keys: any key can be set
        return OmegaConf.create({key: _plain(item) for key, item in value.items()}, flags={"struct": False})
    return str(value) if isinstance(value, Path) else value


def _settings(value: Any) -> Iterator[tuple[str, Any]]:
    return ((each.name, _plain(getattr(value, each.name))) for each in fields(value))
