"""Whether runs go to a wandb server, or stay on this machine."""

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
"""What wandb itself reads in WANDB_MODE."""


class Account(NamedTuple):
    """A mode of wandb, and why it is that one."""

    mode: str
    reason: str

    @classmethod
    def of(cls, wanted: str) -> Account:
        """The mode that a knob asks for.

        Raises:
            ConfigurationError: online without a key, for which wandb would ask on the terminal.
        """
        said = os.environ.get("WANDB_MODE", "")
        if wanted == "auto" and said in _MODES:
            return cls(said, f"WANDB_MODE is {said}")
        if wanted == "offline":
            return cls("offline", "mode is offline")
        if _has_key():
            return cls("online", "there is a key")
        if wanted == "online":
            raise ConfigurationError(
                "mode is online, and there is no key; run `wandb login`, or use mode=offline"
            )
        return cls("offline", "there is no key (WANDB_API_KEY, or `wandb login`)")


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _SERVER).hostname or ""
    return any(_names(path, host) for path in _key_files())


def _key_files() -> list[Path]:
    """The files in which `wandb login` may have put a key."""
    given = os.environ.get("NETRC")
    return [Path(given)] if given else [Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()]


def _names(path: Path, host: str) -> bool:
    """Whether a netrc file has a password for a host."""
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
