"""Range checks that several strategies share."""

from __future__ import annotations

from collections.abc import Sequence

from imug_tts.contracts import ConfigurationError, Judge

__all__ = ["at_least", "layer_name", "need_judge", "need_modalities"]


def at_least(layer: str, knob: str, value: float, least: float) -> None:
    if not value >= least:
        raise ConfigurationError(f"{layer}: {knob} is {value}; set it to {least} or more")


def need_modalities(layer: str, applies_to: Sequence[str]) -> None:
    if not applies_to or not set(applies_to) <= {"text", "image"}:
        raise ConfigurationError(
            f"{layer}: applies_to is {list(applies_to)}; name one or both of the turns 'image' and 'text'"
        )


def need_judge(layer: str, judge: Judge | None) -> None:
    if judge is None:
        raise ConfigurationError(
            f"{layer} needs a judge, and the run has none (judge=none); "
            f"set judge=backbone, or leave {layer} out"
        )


def layer_name(name: str, judge: Judge) -> str:
    """An arm whose selector is the scorer is named so everywhere."""
    return f"oracle_{name}" if judge.oracle else name
