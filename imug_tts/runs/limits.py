"""What a reader of results must know of the models that gave them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from imug_tts.contracts import Backbone, Capabilities
from imug_tts.registry import model_identity

__all__ = ["ModelLimitsWarning", "all_caveats", "caveats", "warn_of_limits"]

_SEEDS = {
    "best_effort": "seeds are best effort: one request and seed may give another candidate when asked again",
    "none": "there are no seeds: a call that is made again gives another candidate",
}


class ModelLimitsWarning(UserWarning):
    """A model of the run has limits that its results must be read with."""


def caveats(capabilities: Capabilities) -> list[str]:
    """Sentences on a model: its own limits, the images that it does not see, and seeds that are not exact."""
    return [*_limits(capabilities), *([_SEEDS[seeds]] if (seeds := capabilities.seeds) != "exact" else [])]


def all_caveats(models: Iterable[Backbone]) -> dict[str, list[str]]:
    """The caveats of each model that has some, by its identity."""
    found = {model_identity(model): caveats(model.capabilities) for model in models}
    return {identity: sentences for identity, sentences in found.items() if sentences}


def warn_of_limits(models: Iterable[Backbone]) -> None:
    """Warn once of each model that has limits."""
    for identity, capabilities in {model_identity(each): each.capabilities for each in models}.items():
        if limits := _limits(capabilities):
            warnings.warn(f"{identity}: {'; '.join(limits)}", ModelLimitsWarning, stacklevel=3)


def _limits(capabilities: Capabilities) -> list[str]:
    count = capabilities.context_images
    if count is None or "image" not in capabilities.outputs:
        return list(capabilities.limits)
    images = "image" if count == 1 else f"{count} images"
    seen = f"an image that it draws depends on the newest {images} of the history and on no other"
    return [*capabilities.limits, seen if count else "an image that it draws depends on no image before it"]
