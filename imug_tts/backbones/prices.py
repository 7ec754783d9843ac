"""Prices of providers, in a file that the user maintains because prices change.

# dollars for a million tokens; `image` is for each image
gpt-5.2: {input: 1.75, cached_input: 0.175, output: 14}
gpt-image-2: {input: 5, image_input: 8, output: 10, image_output: 30}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import yaml

from imug_tts.contracts import ConfigurationError

__all__ = ["Price", "Usage", "read_prices"]

_MILLION: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens and images of one response, as counted by the provider; each token is in exactly one field."""

    input: int = 0
    cached_input: int = 0
    image_input: int = 0
    """Tokens of input images, if the provider counts them separately."""
    cached_image_input: int = 0
    output: int = 0
    image_output: int = 0
    """Tokens of drawn images."""
    image: int = 0


@dataclass(frozen=True, kw_only=True)
class Price:
    """Dollars per million tokens, and per image. A missing price defaults to that of its kind."""

    input: float
    cached_input: float | None = None
    """Defaults to `input`."""
    image_input: float | None = None
    """Defaults to `input`."""
    cached_image_input: float | None = None
    """Defaults to `cached_input`."""
    output: float
    image_output: float | None = None
    """Defaults to `output`."""
    image: float = 0.0
    """Defaults to 0, because most providers charge for drawn images by the token."""

    def dollars(self, usage: Usage) -> float:
        """The cost of a response in dollars."""
        cached = self.input if self.cached_input is None else self.cached_input
        shown = self.input if self.image_input is None else self.image_input
        cached_shown = cached if self.cached_image_input is None else self.cached_image_input
        drawn = self.output if self.image_output is None else self.image_output
        tokens = usage.input * self.input + usage.cached_input * cached
        tokens += usage.image_input * shown + usage.cached_image_input * cached_shown
        tokens += usage.output * self.output + usage.image_output * drawn
        return tokens / _MILLION + usage.image * self.image


_NAMES: Final = tuple(each.name for each in fields(Price))
_NEEDED: Final = ("input", "output")


def read_prices(path: Path) -> Mapping[str, Price]:
    """The prices in a YAML or JSON file, by model.

    Raises:
        ConfigurationError: the file is missing or not a price table. The message names file, model and key.
    """
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read as a table of prices: {error}") from error
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path} must hold a mapping: MODEL: {{input: DOLLARS, output: DOLLARS}}")
    return {str(model): _price(path, str(model), given) for model, given in table.items()}


def _price(path: Path, model: str, given: Any) -> Price:
    if not isinstance(given, dict):
        raise ConfigurationError(
            f"{path}: {model} is {given!r}; write {model}: {{input: DOLLARS, output: DOLLARS}}"
        )
    for name, dollars in given.items():
        if name not in _NAMES:
            raise ConfigurationError(
                f"{path}: {model} has no price {name!r}; choose from: {', '.join(_NAMES)}"
            )
        if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < 1e9:
            raise ConfigurationError(f"{path}: {model}.{name} is {dollars!r}; it must be dollars, 0 or more")
    if missing := [name for name in _NEEDED if name not in given]:
        raise ConfigurationError(
            f"{path}: {model} has no {' and no '.join(missing)}; write 0 for what is free"
        )
    return Price(**given)
