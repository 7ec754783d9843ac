"""Keeps API keys and passwords out of configurations, which are stored with the results."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from imug_tts.contracts import ConfigurationError

__all__ = ["key_from", "refuse_secrets"]

_SECRET_KEY: Final = re.compile(
    r"(^|_)(secret|password|passwd|credentials?|authorization|bearer)$"
    r"|(^|_)(api|access|secret|private)_?key$"
    r"|^token$|(^|_)(access|api|auth|hf|hub|secret)_?token$",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(r"^(sk-|hf_|AIza|Bearer )[\w-]{8,}|://[^/@\s]+:[^/@\s]+@")


def key_from(variable: str) -> str:
    """Return the API key in an environment variable; empty if it is not set.

    Raises:
        ConfigurationError: the value has characters that no key has.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError(f"${variable} holds characters that no key has; export it again")
    return key


def refuse_secrets(config: Mapping[str, Any], where: str = "") -> None:
    """Check that a configuration contains no password or key, because it is stored with the results.

    Raises:
        ConfigurationError: names the knob, never its value.
    """
    for key, value in config.items():
        place = f"{where}{key}"
        if isinstance(value, Mapping):
            refuse_secrets(value, f"{place}.")
        elif (value is not None and _SECRET_KEY.search(key)) or _holds_secret(value):
            raise ConfigurationError(
                f"{place} looks like a secret, and configurations are stored with the results; "
                "leave it out and set it in the environment (e.g. export OPENAI_API_KEY=...)"
            )


def _holds_secret(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_secret(item) for item in value)
    return isinstance(value, str) and _SECRET_VALUE.search(value) is not None
