"""Versions of Python and of the packages that can change a run's results, for its manifest."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Final

from imug_tts.contracts import Backbone
from imug_tts.knobs import parts
from imug_tts.registry import packages_of

__all__ = ["versions"]

_PACKAGES: Final = ("imug_tts", "torch", "transformers", "diffusers", "numpy", "pillow")


def versions(components: Iterable[object]) -> dict[str, str]:
    """Return the versions of Python, of our packages, and of those that declare one of the components.

    Parts of components count too, and so do the prompt sets of models.
    """
    whole = [part for component in components for part in _with_parts(component)]
    prompts = {part.capabilities.prompts for part in whole if isinstance(part, Backbone)}
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | dict(sorted(packages_of({type(part) for part in whole}, prompts)))


def _with_parts(component: object) -> Iterator[object]:
    yield component
    for _, part in parts(component):
        yield from _with_parts(part)
