"""Other allowed values of a knob, derived from its declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from imug_tts.contracts import ConfigurationError
from imug_tts.knobs import Knob

__all__ = ["other_value", "other_values"]


def other_value(knob: Knob, value: Any, others: Mapping[str, Any]) -> Any:
    """A value that the knob allows and that differs from `value`: the one in `others`, or a guess.

    Raises:
        ConfigurationError: no value can be guessed; the message is the reason why the knob is not tested.
    """
    for other in other_values(knob, value, others):
        return other
    raise ConfigurationError(f"{knob.name}: no other value is known (Subject.others)")


def other_values(knob: Knob, value: Any, others: Mapping[str, Any]) -> Iterator[Any]:
    """Values that the knob allows and that differ from `value`: the one in `others`, or guesses."""
    if knob.name in others:
        yield others[knob.name]
        return
    for guess in _guesses(knob, value):
        try:
            if guess != value:
                yield knob.check(guess)
        except ConfigurationError:
            continue


def _guesses(knob: Knob, value: Any) -> Iterator[Any]:
    """Candidate values. Guessed numbers differ from the current value by enough to have an effect."""
    yield from knob.choices
    kinds = {type(value)} if value is not None else {knob.hint, *get_args(knob.hint)}
    if bool in kinds:
        yield from (True, False)
    elif int in kinds:
        now = value or 1
        yield from (now + 1, now - 1, 2 * now, now // 2)
    elif float in kinds:
        now = value or 0.0
        yield from (now + 2.5, 2 * now, now / 2, 0.5, 0.25)
