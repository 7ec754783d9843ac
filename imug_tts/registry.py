"""The registry of components: entry points of this package and of installed plugins, by name.

A package that declares an entry point in one of the groups `imug_tts.backbones`, `.strategies`, `.judges`,
`.benchmarks` or `.tracking` adds a component, which configurations name as they name ours; an entry point in
`.prompts` adds a prompt set. A configuration cannot construct anything else.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, cast

from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, Strategy, Tracker
from imug_tts.knobs import Knob, check_declaration, knobs_of, nearest
from imug_tts.own_code import code_hash

__all__ = [
    "GROUPS",
    "broken",
    "component_class",
    "describe",
    "entry",
    "identity_of",
    "in_a_line",
    "model_identity",
    "name_of",
    "names",
    "packages_of",
    "selection",
    "source_of",
    "without_code",
]

GROUPS: Final[Mapping[type, str]] = {
    Backbone: "backbones",
    Strategy: "strategies",
    Judge: "judges",
    Benchmark: "benchmarks",
    Tracker: "tracking",
}
"""The group of entry points of each kind of component."""

_OWN_CLASS: Final = re.compile(r"[\w.]+:[\w.<>]+#[0-9a-f]{8}")
_MEMBERS: Final = frozenset(["identity", "capabilities"])
"""Members of a backbone that a plain dataclass may have as fields, but that are no knobs."""
_NOT_INSTALLED: Final = "imug_tts is not installed; run: pip install -e . -c constraints.txt"


def names(group: str) -> list[str]:
    """Return the names in a group, sorted."""
    return sorted(_entry_points(group))


def entry(group: str, name: str, where: str) -> Any:
    """Return the object of a name, imported.

    Args:
        where: the place in the configuration, for messages.

    Raises:
        ConfigurationError: the name is unknown, or cannot be imported; names the package.
    """
    known = _entry_points(group)
    if not known:
        raise ConfigurationError(_NOT_INSTALLED)
    if name not in known:
        raise ConfigurationError(f"{where}: there is no {name!r}; {nearest(name, names(group))}")
    if not _is_ours(known[name]) and (rivals := _twice(group, name)):
        raise ConfigurationError(
            f"{where}: {' and '.join(map(_said, rivals))} have the same name; uninstall all but one"
        )
    try:
        return known[name].load()
    except (Exception, SystemExit) as error:  # a plugin's module may fail in any way
        raise ConfigurationError(
            f"{where}: {_said(known[name])} cannot be loaded: {in_a_line(error)}"
        ) from error


def component_class(kind: type, name: str, where: str) -> type:
    """Return the class of a component.

    Raises:
        ConfigurationError: as `entry`; or the name is not a concrete class of this kind.
    """
    found = entry(GROUPS[kind], name, where)
    try:
        _check_class(kind, found)
    except Exception as error:  # type hints of a plugin are evaluated, and may fail in any way
        said = _said(_entry_points(GROUPS[kind])[name])
        raise ConfigurationError(f"{where}: {said} cannot be used: {in_a_line(error)}") from error
    return cast(type, found)


def in_a_line(error: BaseException) -> str:
    """Return the message of an exception of third-party code in one line."""
    said = " ".join(str(error).partition("For further information")[0].split())
    return said if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {said}"


def broken(packages: Collection[str] | None = None) -> Iterator[str]:
    """Yield why declared components, of `packages` or of all, cannot be used, one sentence each."""
    for kind, group in GROUPS.items():
        for name in names(group):
            if packages is not None and source_of(group, name) not in packages:
                continue
            if rivals := [point for point in _twice(group, name) if not _is_ours(point)]:
                yield f"{group}: {' and '.join(map(_said, rivals))} cannot be chosen: the name is taken"
                continue
            try:
                component_class(kind, name, group)
            except ConfigurationError as error:
                yield str(error)


def name_of(cls: type) -> str:
    """Return the name under which a component's class is declared; MODULE:CLASS if it is not declared."""
    return _declared_name(cls) or f"{cls.__module__}:{cls.__qualname__}"


def _declared_name(cls: type) -> str | None:
    point = _declared(cls)
    return None if point is None else point.name


@cache
def _declared(cls: Any) -> EntryPoint | None:
    """Return the entry point that declares a component's class; None if there is none."""
    for kind, group in GROUPS.items():
        if issubclass(cls, kind):
            for point in _entry_points(group).values():
                if point.attr == cls.__qualname__ and _loads(point, cls):
                    return point
    return None


def identity_of(cls: type) -> str:
    """What names a component's class in the identity of a run.

    Its declared name; MODULE:CLASS for a class of an installed package that is not declared; and
    MODULE:CLASS#HASH for a class of a notebook or script, whose code has no other version: see `own_code`.
    """
    code = "" if _declared_name(cls) else code_hash(cls)
    return f"{name_of(cls)}#{code}" if code else name_of(cls)


def without_code(identity: Any) -> Any:
    """An identity, as plain values, without the hashes of code: equal for two versions of one class."""
    if isinstance(identity, Mapping):
        return {key: without_code(value) for key, value in identity.items()}
    if isinstance(identity, list):
        return [without_code(item) for item in identity]
    is_class = isinstance(identity, str) and _OWN_CLASS.fullmatch(identity)
    return identity.rpartition("#")[0] if is_class else identity


def source_of(group: str, name: str) -> str:
    """Return the package that declares a component."""
    distribution = _entry_points(group)[name].dist
    return distribution.name if distribution is not None else "unknown"


def packages_of(classes: Iterable[type], prompt_sets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the packages other than ours that declare these components and prompt sets, with versions."""
    declared = [*map(_declared, classes), *map(_entry_points("prompts").get, prompt_sets)]
    for point in declared:
        if point is not None and point.dist is not None and not _is_ours(point):
            yield point.dist.name, point.dist.version


def describe(component: object, *, selects: bool = True) -> dict[str, Any]:
    """Return a component as plain values: its name, and the knobs and parts that change results.

    A settings class, which is no component, has no name. Knobs at their defaults are left out, so that a new
    knob in a later version changes no identity. A part that is the run's benchmark is left out too; and
    without `selects`, so are knobs that select dialogues.
    """
    changed = {k.name: _plain(value) for k, value in _changed(component) if selects or not k.selects}
    named = {"name": identity_of(type(component))} if isinstance(component, tuple(GROUPS)) else {}
    return {**named, **changed}


def model_identity(backbone: Backbone) -> str:
    """Return the identity of a model for calls, records and manifests.

    It is the backbone's own `identity` and, as JSON, every knob and part that changes results, is not at its
    default and is not declared `named=True`. So even if the author of a backbone forgets a knob in
    `identity`, two different models never share calls of a journal. The code of the backbone's class is not
    part of the identity: the author states in `identity` which versions of the code are one model.
    """
    unsaid = {
        knob.name: _stated(value)
        for knob, value in _changed(backbone)
        if not (knob.named or knob.name in _MEMBERS)
    }
    return f"{backbone.identity} {json.dumps(unsaid, sort_keys=True)}" if unsaid else backbone.identity


def selection(component: object) -> dict[str, Any]:
    """Return the knobs of a component that select dialogues and are not at their defaults."""
    return {knob.name: _plain(value) for knob, value in _changed(component) if knob.selects}


def _changed(component: object) -> Iterator[tuple[Knob, object]]:
    """Yield the knobs and parts that change results and are not at their defaults, with their values."""
    for knob in knobs_of(type(component)).values():
        value = getattr(component, knob.name)
        if not (knob.runtime or knob.part is Benchmark or _is_default(knob, value)):
            yield knob, value


def _is_default(knob: Knob, value: object) -> bool:
    if knob.part is not None:
        return value is None or value == ()
    return bool(knob.default is not dataclasses.MISSING and value == knob.default)


def _stated(value: object) -> Any:
    """Return the value of a backbone's knob as plain values; for a part that is a backbone, its identity."""
    if isinstance(value, (list, tuple)):
        return [_stated(item) for item in value]
    return model_identity(value) if isinstance(value, Backbone) else _plain(value)


def _plain(value: object) -> Any:
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if is_dataclass(value) or isinstance(value, tuple(GROUPS)):
        return describe(value)
    return repr(value)


def _loads(point: EntryPoint, cls: type) -> bool:
    """Return whether an entry point loads the class; imports only the package of the class."""
    if point.module.partition(".")[0] != cls.__module__.partition(".")[0]:
        return False
    try:
        return point.load() is cls
    except (Exception, SystemExit):  # another module of the package may be broken
        return False


def _check_class(kind: type, found: Any) -> None:
    if not isinstance(found, type) or not issubclass(found, kind):
        raise ConfigurationError(
            f"it is no {kind.__name__}; derive its class from imug_tts.contracts.{kind.__name__}"
        )
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigurationError(f"class {found.__name__} lacks {', '.join(missing)}")
    check_declaration(found)
    for knob in knobs_of(found).values():
        if isinstance(knob.default, tuple(GROUPS)):
            raise ConfigurationError(
                f"the default of {knob.name} is an object, which no configuration can hold; leave the "
                f"default out (a strategy then wraps direct), and set strategy@strategy.{knob.name}=NAME, "
                f"in Python {knob.name}=OBJECT"
            )
    settings = getattr(found, "settings", None) if kind is Backbone else None
    if settings is not None and not knobs_of(settings):
        raise ConfigurationError("its settings are no class with knobs; put @component above that class")
    if settings is not None:
        check_declaration(settings)


def _said(point: EntryPoint) -> str:
    package = point.dist.name if point.dist is not None else "an unknown package"
    return f"{point.name!r} ({point.value}, declared by {package})"


@cache
def _entry_points(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group by name; if two packages declare one name, ours is used."""
    found = sorted(entry_points(group=f"imug_tts.{group}"), key=_is_ours)
    return {point.name: point for point in found}


@cache
def _twice(group: str, name: str) -> tuple[EntryPoint, ...]:
    """Return all entry points of a name if packages declare different ones; otherwise none."""
    found = {p.value: p for p in entry_points(group=f"imug_tts.{group}") if p.name == name}
    return tuple(found.values()) if len(found) > 1 else ()


def _is_ours(point: EntryPoint) -> bool:
    return point.module.partition(".")[0] == "imug_tts"
