"""A hash of the code of a class that a notebook or script defines.

A class of an installed package is identified by its name. A class of a notebook or script keeps its name when
its code is edited, so its identity needs a hash of the code too. The hash covers what Python runs: bytecode,
constants and defaults of the methods, and of the functions, classes and plain constants of the user's own
modules that the methods use. Comments, formatting and the position in the file do not change the hash. It
does not cover files that the code reads, the state of objects other than plain values, and installed
packages.
"""

from __future__ import annotations

import dataclasses
import dis
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from imug_tts.knobs import knobs_of

__all__ = ["code_hash"]

_PACKAGE: Final = __name__.partition(".")[0]
_CODE: Final = (FunctionType, property, staticmethod, classmethod)


def code_hash(cls: type) -> str:
    """Return a hash of the code of a class, 8 hexadecimal digits; empty for a class of an installed package.

    The hash differs between minor versions of Python, because their bytecode differs.
    """
    if not _is_own(cls.__module__):
        return ""
    text = "\n".join(_Reader().read(cls))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _is_own(module: str | None) -> bool:
    """Return whether a module is the user's own: not of this package, of Python or of an installed
    package.
    """
    name = module or ""
    if name == "__main__":
        return True
    if name.partition(".")[0] in (_PACKAGE, *sys.stdlib_module_names):
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or not any(Path(file).is_relative_to(folder) for folder in _installed())


def _installed() -> Iterator[str]:
    paths = sysconfig.get_paths()
    return (paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))


class _Reader:
    """Writes the code of a class as lines of text; each definition is written once."""

    def __init__(self) -> None:
        self._defined: list[object] = []
        """The definitions that were written. References keep them alive, so that no new object has their
        id.
        """
        self._open: list[object] = []
        """Containers whose items are being written; a container that holds itself is not entered again."""

    def read(self, value: object) -> Iterator[str]:
        """Yield the lines that describe a value."""
        if isinstance(value, (str, bytes, int, float, complex, type(None), type(Ellipsis))):
            yield repr(value)
        elif isinstance(value, (tuple, list, set, frozenset, Mapping)):
            if not _holds(self._open, value):
                self._open.append(value)
                yield from self._items(value)
                self._open.pop()
        elif _holds(self._defined, value):
            yield _name(value)
        else:
            self._defined.append(value)
            yield _name(value)
            yield from self._define(value)

    def _items(self, container: Any) -> Iterator[str]:
        yield type(container).__name__
        if isinstance(container, Mapping):
            for key, item in container.items():
                yield f"{key!r}:"
                yield from self.read(item)
        elif isinstance(container, (set, frozenset)):
            yield from sorted(map(repr, container))
        else:
            for item in container:
                yield from self.read(item)

    def _define(self, value: Any) -> Iterator[str]:
        module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(value, property):
            yield from self.read((value.fget, value.fset, value.fdel))
        elif isinstance(value, (staticmethod, classmethod, MethodType)):
            yield from self.read(value.__func__)
        elif isinstance(value, partial):
            yield from self.read((value.func, value.args, value.keywords))
        elif not isinstance(module, str) or not _is_own(module):
            return
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, type):
            yield from self._class(value)
        elif isinstance(value, ModuleType):
            yield from self.read({key: v for key, v in vars(value).items() if not key.startswith("__")})
        elif hasattr(value, "__wrapped__"):  # made by a decorator such as functools.cache
            yield from self.read(value.__wrapped__)

    def _class(self, cls: type) -> Iterator[str]:
        yield from self.read(cls.__bases__)
        defaults = dict(_defaults(cls))
        yield from self.read(defaults)
        for name, member in sorted(vars(cls).items()):
            if name not in defaults and (isinstance(member, _CODE) or not name.startswith("__")):
                yield f"{name} ="
                yield from self.read(member)

    def _function(self, function: FunctionType) -> Iterator[str]:
        yield from self.read((function.__defaults__, function.__kwdefaults__))
        yield from self._code(function.__code__, function.__globals__)
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # the cell is empty
                yield from self.read(cell.cell_contents)

    def _code(self, code: CodeType, known: Mapping[str, Any]) -> Iterator[str]:
        yield from (code.co_code.hex(), code.co_exceptiontable.hex(), str(code.co_flags))
        yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
        for constant in code.co_consts:
            yield from self._code(constant, known) if isinstance(constant, CodeType) else self.read(constant)
        used = {each.argval for each in dis.get_instructions(code) if each.opname in _LOADS}
        for name in sorted(used & known.keys()):
            yield f"{name} is"
            yield from self.read(known[name])


_LOADS: Final = frozenset(["LOAD_GLOBAL", "LOAD_NAME"])


def _defaults(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the fields of a dataclass with their defaults; for a knob also whether it is runtime or
    selects.
    """
    if not dataclasses.is_dataclass(cls):
        return
    if hasattr(cls, "__pydantic_fields__"):
        for name, knob in knobs_of(cls).items():
            yield name, (knob.default, knob.runtime, knob.selects)
    else:
        for each in dataclasses.fields(cls):
            yield each.name, (each.default, each.default_factory)


def _holds(several: list[object], value: object) -> bool:
    return any(each is value for each in several)


def _name(value: object) -> str:
    """Return the qualified name of a definition; for any other object that of its type."""
    if isinstance(value, ModuleType):
        return value.__name__
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
