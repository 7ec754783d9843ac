"""Whether wandb runs are sent to a server or kept on this machine."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from imug_tts.contracts import ConfigurationError

__all__ = ["Account"]

_SERVER: Final = "https://api.wandb.ai"
_MODES: Final = ("online", "offline", "disabled", "shared")
"""The values of WANDB_MODE that wandb accepts."""


class Account(NamedTuple):
    """A mode of wandb, and the reason for it."""

    mode: str
    reason: str

    @classmethod
    def of(cls, wanted: str) -> Account:
        """Return the mode for a value of the knob `mode`.

        Raises:
            ConfigurationError: online or shared without a key; wandb would ask for one on the terminal.
        """
        said = os.environ.get("WANDB_MODE", "")
        if wanted == "auto" and said in _MODES:
            return cls(said, f"WANDB_MODE is {said}")
        if wanted == "offline":
            return cls("offline", "mode is offline")
        if _has_key():
            return cls("online" if wanted == "auto" else wanted, "there is a key")
        if wanted != "auto":
            raise ConfigurationError(
                f"mode is {wanted}, and there is no key; run `wandb login`, or use mode=offline"
            )
        return cls("offline", "there is no key (WANDB_API_KEY, or `wandb login`)")


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _SERVER).hostname or ""
    return any(_names(path, host) for path in _key_files())


def _key_files() -> list[Path]:
    """Return the files in which `wandb login` may have stored a key."""
    given = os.environ.get("NETRC")
    return [Path(given)] if given else [Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()]


def _names(path: Path, host: str) -> bool:
    """Return whether a netrc file has a password for a host."""
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
