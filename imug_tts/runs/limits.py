"""Caveats of models: what readers of their results must know."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from imug_tts.contracts import Backbone, Capabilities
from imug_tts.registry import model_identity

__all__ = ["ModelLimitsWarning", "all_caveats", "caveats", "warn_of_limits"]

_SEEDS = {
    "best_effort": "Seeds are best effort: the same request and seed may give another candidate.",
    "none": "There are no seeds: repeating a call gives another candidate.",
}


class ModelLimitsWarning(UserWarning):
    """A model of the run has limits that readers of its results must know."""


def caveats(capabilities: Capabilities) -> list[str]:
    """Return sentences on a model: its own limits, the images that it ignores, and inexact seeds."""
    return [*_limits(capabilities), *([_SEEDS[seeds]] if (seeds := capabilities.seeds) != "exact" else [])]


def all_caveats(models: Iterable[Backbone]) -> dict[str, list[str]]:
    """Return the caveats of each model that has any, by its identity."""
    found = {model_identity(model): caveats(model.capabilities) for model in models}
    return {identity: sentences for identity, sentences in found.items() if sentences}


def warn_of_limits(models: Iterable[Backbone]) -> None:
    """Warn once for each model that has limits."""
    for identity, capabilities in {model_identity(each): each.capabilities for each in models}.items():
        if limits := _limits(capabilities):
            warnings.warn(f"{identity}: {' '.join(limits)}", ModelLimitsWarning, stacklevel=3)


def _limits(capabilities: Capabilities) -> list[str]:
    own = [text if text.endswith((".", "!", "?")) else f"{text}." for text in capabilities.limits]
    count = capabilities.context_images
    if count is None or "image" not in capabilities.outputs:
        return own
    images = "image" if count == 1 else f"{count} images"
    seen = f"An image that it draws depends on the newest {images} of the history and on no other."
    return [*own, seen if count else "An image that it draws depends on no image before it."]
