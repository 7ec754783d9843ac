"""The lines of a dry run about models: memory needs, capabilities, and limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imug_tts.calls.devices import DEVICES, local_models
from imug_tts.contracts import Backbone, Capabilities, ConfigurationError, Local
from imug_tts.files import size
from imug_tts.registry import model_identity
from imug_tts.runs.limits import caveats

__all__ = ["facts"]


def facts(models: Iterable[Backbone]) -> Iterator[str]:
    """The lines about each model: memory and capabilities of local models, and the limits of all models."""
    for model in {id(model): model for model in models}.values():
        inside, limits = local_models(model), caveats(model.capabilities)
        if inside or limits:
            yield f"model {model_identity(model)}"
        for each in inside:
            yield f"  {type(each).__name__} on {_memory(each)}"
        if inside:
            yield f"  {_abilities(model.capabilities)}"
        yield from (f"  {sentence}" for sentence in limits)


def _memory(model: Local) -> str:
    try:
        room = DEVICES.capacity(model.device)
    except ConfigurationError as error:
        return f"{model.device}, which cannot be used here: {error}"
    need = model.memory
    more = f"{size(need.per_turn)} a turn, {size(need.per_candidate)} a candidate"
    takes = f"{size(need.weights)} of weights, {more}"
    if model.is_spread:
        return f"{model.device} and others: {takes}"
    if room is None:
        return f"{model.device}: {takes}"
    return f"{model.device} ({size(room)} free): {takes}{_fits(model, room)}"


def _fits(model: Local, room: int) -> str:
    """The maximum batch size that fits into memory in addition to the weights, as the end of a sentence."""
    need, most = model.memory, model.capabilities.max_batch
    left = room - need.weights
    if left < need.per_candidate:
        return "; THAT DOES NOT FIT"
    rows = min(most, left // need.per_candidate) if need.per_candidate else most
    return f"; batches of up to {rows} of max_batch={most} fit"


def _abilities(capabilities: Capabilities) -> str:
    """The capabilities of a model as one line."""
    does = [
        f"writes {' and '.join(sorted(capabilities.outputs))}",
        "reads images" if capabilities.reads_images else "reads no images",
        _drawing(capabilities),
        f"seeds {capabilities.seeds.replace('_', ' ')}",
        "P(yes) from logits" if capabilities.logits else "no P(yes)",
    ]
    return "; ".join(filter(None, does))


def _drawing(capabilities: Capabilities) -> str:
    if "image" not in capabilities.outputs:
        return ""
    count = capabilities.context_images
    if not capabilities.draws_from_images or count == 0:
        return "draws from no image of the history"
    if count is None:
        return "draws from all images of the history"
    newest = f"{count} images" if count > 1 else "image"
    return f"draws from the newest {newest} of the history"
