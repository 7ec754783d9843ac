"""The page of the public Python API: the names that Sphinx documents, and docstrings as it reads them."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from functools import cache
from importlib import import_module
from inspect import isclass, isroutine
from itertools import groupby
from typing import Any, Final

import imug_tts
from imug_tts.knobs import knobs_of

__all__ = ["as_rst", "knob_fields", "public_bases", "public_modules", "public_names", "python_api"]

_OF_THE_PACKAGE_ALONE: Final = frozenset(
    [
        *("files", "final_text", "images", "infer_protocol", "json_images", "local_model", "secrecy", "urls"),
        *("endpoint", "reward_service", "wandb_home"),
    ]
)
"""Modules that only the package itself uses."""
_DEEPER: Final = ("analysis.shown", "imug_tts.testing.conformance", "imug_tts.testing.toys")
"""Public modules in other places."""
_MARKS: Final = re.compile(r"(?P<markup>`[^`]*`|\*\w+\*)|[*|]|(?<=\w)_(?!\w)")
"""Signs that reStructuredText would take for markup, and markup that is meant."""


def public_modules() -> Iterator[str]:
    """The package, the modules directly below it that list public names in `__all__`, and a few others."""
    yield imug_tts.__name__
    for found in pkgutil.iter_modules(imug_tts.__path__):
        name = f"{imug_tts.__name__}.{found.name}"
        if found.name not in _OF_THE_PACKAGE_ALONE and hasattr(import_module(name), "__all__"):
            yield name
    yield from _DEEPER


def public_names(module: str) -> list[str]:
    """The names in the `__all__` of a public module."""
    return sorted(import_module(module).__all__)


def python_api() -> str:
    """A section of MyST for each public module. A name that several modules have is documented once."""
    documented: set[int] = set()
    return "\n".join(line for name in public_modules() for line in _section(name, documented))


def public_bases(bases: Sequence[Any]) -> list[Any]:
    """The bases of a class that a reader can use; in place of a base without a public name, its own bases.

    A base that another one derives from is left out.
    """
    found = dict.fromkeys(_public(bases))
    classes = [base for base in found if isclass(base)]
    implied = {base for base in classes if any(base in other.__mro__[1:] for other in classes)}
    return [base for base in found if base not in implied]


def knob_fields(cls: type) -> Iterator[str]:
    """The knobs of a class as a list of parameters, in reStructuredText."""
    for name, knob in knobs_of(cls).items() if "__signature__" in vars(cls) else ():
        default = "" if knob.default is MISSING else f" Default: ``{knob.default!r}``."
        yield f":param {name}: {_MARKS.sub(_escaped, knob.meaning)}{default}"


def as_rst(docstring: Sequence[str]) -> list[str]:
    """The lines of a docstring of this project: plain text with `code`, indented examples and columns."""
    lines: list[str] = []
    was_text = False
    for is_empty, group in groupby(docstring, key=lambda line: not line.strip()):
        block = list(group)
        if is_empty:
            lines += block
        elif _in_columns(block) or (was_text and all(line.startswith("    ") for line in block)):
            lines += ["::", "", *(f"    {line}" for line in block)]
        else:
            lines += [_MARKS.sub(_escaped, line) for line in block]
            was_text = not block[-1].startswith(" ")
    return lines


def _in_columns(block: Sequence[str]) -> bool:
    return any(re.search(r"\S {2,}\S", line) for line in block)


def _escaped(found: re.Match[str]) -> str:
    if found[0].startswith("`"):
        return f"`{found[0]}`"
    return found[0] if found["markup"] else f"\\{found[0]}"


def _public(bases: Sequence[Any]) -> Iterator[Any]:
    for base in bases:
        if base.__module__.split(".")[0] != imug_tts.__name__ or base in _documented_classes():
            yield base
        else:
            yield from _public(base.__bases__)


@cache
def _documented_classes() -> frozenset[Any]:
    values = (getattr(import_module(name), each) for name in public_modules() for each in public_names(name))
    return frozenset(value for value in values if isclass(value))


@cache
def _documented_later() -> frozenset[int]:
    """Objects of the package's own names that a module below it has too."""
    below = [name for name in public_modules() if name != imug_tts.__name__]
    return frozenset(id(getattr(import_module(name), each)) for name in below for each in public_names(name))


def _section(name: str, documented: set[int]) -> Iterator[str]:
    module = import_module(name)
    described: list[str] = []
    listed: list[str] = []
    for each in public_names(name):
        value = getattr(module, each)
        is_elsewhere = name == imug_tts.__name__ and id(value) in _documented_later()
        is_first = id(value) not in documented and not is_elsewhere
        (described if is_first and (isclass(value) or isroutine(value)) else listed).append(each)
        if is_first and isinstance(value, type):
            documented.add(id(value))
    yield from ["", f"## {name}", "", "```{eval-rst}", f".. automodule:: {name}", "   :show-inheritance:"]
    yield from [f"   :members: {', '.join(described)}", "```", ""] if described else ["```", ""]
    if listed:
        said = ", ".join(f"`{each}`" for each in listed)
        yield f"Also public, as constants, types, or names described in another section: {said}."
