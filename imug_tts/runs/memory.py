"""Check that the weights of a run's models fit on their devices, before any of them is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from imug_tts.calls.devices import DEVICES, local_models
from imug_tts.contracts import Backbone, ConfigurationError, Local
from imug_tts.contracts.record import FINAL_OUTCOMES
from imug_tts.files import size
from imug_tts.runs.work import Work

__all__ = ["check_memory", "check_models"]


def check_memory(works: Iterable[Work]) -> None:
    """Check the models of all runs that are not complete.

    Raises:
        ConfigurationError: as `check_models`.
    """
    check_models(each for work in works if not _is_over(work.folder) for each in work.models.items())


def check_models(models: Iterable[tuple[str, Backbone]]) -> None:
    """Check that each model of this process fits on its device, with the models among its own parts.

    Two models of a run need not fit together: one is unloaded when the other is needed. Models that
    accelerate spreads over several devices, and devices with unknown free memory, are not checked.

    Args:
        models: pairs of a model's place, for messages, and the model.

    Raises:
        ConfigurationError: weights do not fit, or files of a model are missing; the message says what to
            change.
    """
    for place, model in {id(model): (place, model) for place, model in models}.values():
        for device, together in _by_device(model).items():
            _check(place, device, together)


def _by_device(model: Backbone) -> Mapping[str, list[Local]]:
    found: dict[str, list[Local]] = {}
    for each in local_models(model):
        if not each.is_spread:
            found.setdefault(each.device, []).append(each)
    return found


def _check(place: str, device: str, models: list[Local]) -> None:
    capacity = DEVICES.capacity(device)
    needed = sum(model.memory.weights for model in models)
    if capacity is None or needed <= capacity:
        return
    names = " and ".join(type(model).__name__ for model in models)
    raise ConfigurationError(
        f"{place}: the weights of {names} take about {size(needed)}, and {device} has {size(capacity)} free; "
        "load them in a smaller type (dtype=bfloat16), spread them with device_map=auto, choose another "
        "device, or stop other programs that use it"
    )


def _is_over(folder: Path) -> bool:
    """Return whether the summary of a run says that no turn is left to play."""
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        final = sum(_final(summary["outcomes"])) + summary["unasked"]
        return bool(final >= summary["planned"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _final(outcomes: Mapping[str, int]) -> Iterator[int]:
    return (count for outcome, count in outcomes.items() if outcome in FINAL_OUTCOMES)
