"""Another allowed value of a knob, found from its declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imug_tts.contracts import ConfigurationError
from imug_tts.knobs import Knob

__all__ = ["other_value"]


def other_value(knob: Knob, value: Any, others: Mapping[str, Any]) -> Any:
    """A value that the knob allows and that is not `value`: the one in `others`, or one that is near.

    Raises:
        ConfigurationError: none can be guessed; the message is the reason why the knob is not tested.
    """
    if knob.name in others:
        return others[knob.name]
    for guess in _guesses(knob, value):
        try:
            if guess != value:
                return knob.check(guess)
        except ConfigurationError:
            continue
    raise ConfigurationError(f"{knob.name}: no other value is known (Subject.others)")


def _guesses(knob: Knob, value: Any) -> Iterator[Any]:
    """Values to try. A number moves away from its own value, and far enough to be seen."""
    yield from knob.choices
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, 2 * value, value // 2)
    elif isinstance(value, float):
        yield from (value + 2.5, 2 * value, value / 2, 0.5, 0.25)
