"""Knobs: the configurable values of a component, declared once, as fields of its class.

    @component
    class Direct(Strategy):
        image_temperature: float = knob("Temperature of images; 0 is greedy.", default=1.0, ge=0)

Validation, the identity of a run, the label in tables, the Hydra option and its help are derived from this
declaration. pydantic validates: it converts 1 to 1.0 for a float, and nothing else. A field whose type is
Strategy, Judge, Backbone, Benchmark or Tracker (or several, or None) is a *part*: another component. A plain
dataclass of a plugin works too; its fields are knobs without description or range.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass
from functools import cache, cached_property, wraps
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, PydanticUndefined, to_json

from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, Strategy, Tracker

__all__ = [
    "Folder",
    "Knob",
    "Several",
    "check_declaration",
    "component",
    "knob",
    "knobs_of",
    "nearest",
    "parts",
    "places",
]

C = TypeVar("C")
T = TypeVar("T")

if TYPE_CHECKING:
    Several: TypeAlias = Sequence[T]
else:
    Several = Annotated[tuple[T, ...], Strict(False)]
    """A tuple that accepts any sequence."""
Folder = Annotated[Path, Strict(False)]
"""A path that accepts text."""

PART_KINDS: Final = (Strategy, Judge, Backbone, Benchmark, Tracker)
_CONFIG: Final = ConfigDict(strict=True, arbitrary_types_allowed=True, extra="forbid")
_LIMIT_NAMES: Final = (
    *("ge", "gt", "le", "lt", "multiple_of", "allow_inf_nan"),
    *("min_length", "max_length", "pattern"),
)
_TAKEN: Final = ("name", "defaults")
"""Keys of a component's node that cannot be knobs: its name, and Hydra's defaults list."""
_EFFECT: Final = "imug_tts"
"""The key of a field's metadata for the properties of a knob that pydantic does not know."""


def knob(
    meaning: str,
    *,
    default: Any = PydanticUndefined,
    default_factory: Callable[[], Any] | None = None,
    runtime: bool = False,
    selects: bool = False,
    named: bool = False,
    preset: Mapping[str, Any] | None = None,
    **limits: Any,
) -> Any:
    """Declare a knob or a part; use as the value of a class attribute.

    Args:
        meaning: one sentence for help and reference page.
        default: the default; without one the knob must be set.
        runtime: the knob changes how a run is executed, and never its results.
        selects: the knob selects dialogues and changes none of them.
        named: the component's `name` or `identity` already contains the value, so that a label (of a strategy
            or judge) or the identity of calls (of a backbone) does not repeat it.
        preset: of a part, the knobs of its default choice that differ from that component's defaults.
        limits: pydantic's constraints, e.g. ge=1, gt=0, le=1, pattern="...", min_length=1.

    Raises:
        ConfigurationError: an unknown constraint.
    """
    for limit in limits:
        if limit not in _LIMIT_NAMES:
            raise ConfigurationError(f"knob(...) has no limit {limit!r}; {nearest(limit, _LIMIT_NAMES)}")
    effect: Any = {"runtime": runtime, "selects": selects, "named": named, "preset": dict(preset or {})}
    given = {"default_factory": default_factory} if default_factory is not None else {"default": default}
    return Field(description=meaning, json_schema_extra={_EFFECT: effect}, **given, **limits)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(knob, dataclasses.field))
def component(cls: type[C]) -> type[C]:
    """Make `cls` a frozen, keyword-only dataclass whose constructor validates its knobs.

    The constructor raises ConfigurationError with the knob, the value and what is allowed.
    """
    made = pydantic_dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls)
    construct = made.__init__

    @wraps(construct)
    def checked(self: Any, *args: Any, **values: Any) -> None:
        if args:  # pydantic would take them in the order of the fields
            raise ConfigurationError(f"{cls.__name__}: {args[0]!r} has no name; write KNOB={args[0]!r}")
        try:
            construct(self, **values)
        except ValidationError as error:
            raise ConfigurationError(f"{cls.__name__}: {_words(cls, error)}") from None

    made.__init__ = checked  # type: ignore[method-assign]
    return made  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Knob:
    """A knob or part as the class of a component declares it."""

    name: str
    hint: Any
    default: Any
    """MISSING if the knob must be set."""
    meaning: str = ""
    runtime: bool = False
    selects: bool = False
    named: bool = False
    preset: Mapping[str, Any] = field(default_factory=dict, hash=False)
    limits: tuple[Any, ...] = ()

    @property
    def part(self) -> type | None:
        """The kind of component that the field holds; None for a plain value."""
        return next((kind for kind in _members(self.hint) if kind in PART_KINDS), None)

    @property
    def is_optional(self) -> bool:
        return types.NoneType in _members(self.hint)

    @property
    def is_list(self) -> bool:
        """Whether the field holds several values, e.g. several parts."""
        return _holds_several(self.hint)

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values of a knob with a fixed set; empty for other knobs."""
        return tuple(str(choice) for hint in _members(self.hint) for choice in _choices(hint))

    @property
    def range(self) -> str:
        """The limits of the value in words, e.g. "1 or more"; empty without limits."""
        return "; ".join(text for limit in self.limits if (text := _range(limit)))

    @property
    def allowed(self) -> str:
        """The allowed values, and whether the knob changes results, in brackets for help."""
        values = " | ".join(self.choices) or self.range
        effect = "changes no result" if self.runtime else ""
        said = "; ".join(filter(None, [values, effect]))
        return f"({said})" if said else ""

    def check(self, value: object) -> Any:
        """Return the value converted to the field's type; only lists to tuples and texts to paths.

        Raises:
            ConfigurationError: the value is not allowed; says which values are.
        """
        try:
            # Strict validation of JSON converts lists to tuples and texts to paths, and nothing else.
            return self._adapter.validate_json(to_json(value), strict=True)
        except ValidationError as error:
            raise ConfigurationError(_complaint(self, value, error)) from None

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        hint: Any = Annotated[self.hint, *self.limits] if self.limits else self.hint
        return TypeAdapter(hint)


def knobs_of(cls: type) -> Mapping[str, Knob]:
    """Return the knobs and parts of a component's class, by name; empty for a class that is no dataclass."""
    return _knobs_of(cls)


@cache
def _knobs_of(cls: Any) -> Mapping[str, Knob]:
    if not is_dataclass(cls):
        return {}
    declared: Mapping[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    hints = get_type_hints(cls, include_extras=True)
    return {
        each.name: _declared(each.name, declared[each.name])
        if each.name in declared
        else Knob(name=each.name, hint=hints[each.name], default=_default(each))
        for each in dataclasses.fields(cls)
        if each.init
    }


def parts(component: object) -> Iterator[tuple[str, object]]:
    """Yield the components that the fields of a component hold, each with the name of its field."""
    return ((place.partition("[")[0], part) for place, part in places(component))


def places(component: object) -> Iterator[tuple[str, object]]:
    """Yield the parts of a component, each with its place: "judge", or "members[1]" in a field with several.

    The values of fields count, not their types, so that a judge in a field of type Any is found too.
    """
    for name in knobs_of(type(component)):
        yield from _places(name, getattr(component, name))


def _places(place: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, PART_KINDS):
        yield place, value
    elif isinstance(value, (Mapping, tuple, list, frozenset, set)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            yield from _places(f"{place}[{key}]", item)


def check_declaration(cls: type) -> None:
    """Check that the knobs of a component's class are declared correctly.

    Raises:
        ConfigurationError: describes the first wrong declaration, and what to do.
    """
    _check_declaration(cls)


@cache
def _check_declaration(cls: Any) -> None:
    known = knobs_of(cls)
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            if isinstance(value, FieldInfo) and name not in known:
                typed = name in vars(owner).get("__annotations__", {})
                advice = f"put @component above class {owner.__name__}" if typed else "give it a type"
                raise ConfigurationError(f"{name} = knob(...) is not read as a knob; {advice}")
    for each in known.values():
        if each.name in _TAKEN:
            raise ConfigurationError(f"no knob can be called {each.name!r}; choose another name")
        if each.part is None and each.default is not MISSING:
            _check_default(each)


def nearest(word: object, choices: Iterable[str]) -> str:
    """Return advice on a wrong name: "did you mean x? Choose from: x, y"."""
    listed = list(choices)
    allowed = ", ".join(listed)
    close = difflib.get_close_matches(str(word), listed, n=1, cutoff=0.5)
    return f"did you mean {close[0]}? Choose from: {allowed}" if close else f"choose from: {allowed}"


def _declared(name: str, info: FieldInfo) -> Knob:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    effect: Any = extra.get(_EFFECT, {})
    default = info.get_default(call_default_factory=True, validated_data={})
    return Knob(
        name=name,
        hint=info.annotation,
        default=MISSING if default is PydanticUndefined else default,
        meaning=info.description or "",
        limits=tuple(info.metadata),
        **effect,
    )


def _check_default(knob: Knob) -> None:
    try:
        knob.check(knob.default)
    except ConfigurationError as error:
        raise ConfigurationError(f"the default of {knob.name} {error}") from None
    except PydanticSerializationError:
        raise ConfigurationError(
            f"the default of {knob.name} is {knob.default!r}, which no configuration can hold; "
            "use numbers, texts, lists and mappings"
        ) from None


def _default(each: dataclasses.Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


_COLLECTIONS: Final = (tuple, list, set, frozenset, Sequence, Mapping)


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the types in a hint: of `tuple[Judge, ...] | None`, Judge and NoneType."""
    if get_origin(hint) in (Annotated, Union, types.UnionType, *_COLLECTIONS):
        return tuple(member for inner in get_args(hint) for member in _members(inner))
    return (hint,)


def _holds_several(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _holds_several(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return any(map(_holds_several, get_args(hint)))
    return get_origin(hint) in _COLLECTIONS


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _range(limit: Any) -> str:
    """Return a limit in words, e.g. "1 or more"; empty for a limit without words."""
    return next(
        (form.format(getattr(limit, key)) for key, form in _RANGES.items() if hasattr(limit, key)), ""
    )


_RANGES: Final = {
    "ge": "{} or more",
    "gt": "above {}",
    "le": "{} or less",
    "lt": "below {}",
    "multiple_of": "a multiple of {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "pattern": "of the form {}",
}


def _words(cls: type, error: ValidationError) -> str:
    """Return what is wrong with the arguments of a component's constructor."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "value_error":  # raised by the component's own check
        return str(first["ctx"]["error"])
    name = str(first["loc"][0]) if first["loc"] else ""
    known = knobs_of(cls)
    if name not in known:
        return f"there is no knob {name!r}; {nearest(name, known)}" if name else str(first["msg"])
    if first["type"] == "missing":
        return f"{name} must be set{_EXAMPLES.get(known[name].part, '')}"
    return f"{name} {_complaint(known[name], first['input'], error)}"


def _complaint(knob: Knob, value: object, error: ValidationError) -> str:
    """Return what is wrong with a value, e.g. "is -1; it must be 0 or more"."""
    first = error.errors(include_url=False)[0]
    place = first["loc"][-1] if first["loc"] else ""
    shown = first["input"] if isinstance(place, int) else value
    context = first.get("ctx", {})
    if first["type"] == "literal_error":
        return f"is {shown!r}; {nearest(shown, knob.choices)}"
    if first["type"] == "tuple_type":
        return f"is {value!r}; it must be a list: [{value}]"
    if first["type"] == "is_instance_of":
        return f"is {shown!r}; it must be a {context['class']}{_EXAMPLES.get(knob.part, '')}"
    wanted_path = first["type"] == "string_type" and Path in _members(knob.hint)
    limit = _LIMITS.get("path_type" if wanted_path else first["type"])
    if limit is not None:
        return f"is {shown!r}; it must be {limit.format(**context)}"
    return f"is {shown!r}: {first['msg']}"


_EXAMPLES: Final[Mapping[Any, str]] = {Strategy: ", e.g. Direct()", Judge: ", e.g. BackboneJudge()"}
_LIMITS: Final = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "a path",
    "dict_type": "a mapping: {{name: value}}",
    "greater_than_equal": "{ge:g} or more",
    "greater_than": "above {gt:g}",
    "less_than_equal": "{le:g} or less",
    "less_than": "below {lt:g}",
    "too_short": "a list of {min_length} or more",
    "string_too_short": "text of {min_length} characters or more",
    "string_pattern_mismatch": "text of the form {pattern}",
}
"""Allowed values in words, by pydantic's type of error."""
