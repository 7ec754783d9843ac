"""Checks URLs of servers, which are stored with the results."""

from __future__ import annotations

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from imug_tts.contracts import ConfigurationError

__all__ = ["check_url"]


def check_url(url: str, knob: str) -> None:
    """Check that a text is the URL of a server, without a password. Messages never repeat a password.

    Raises:
        ConfigurationError: names the knob and says what to write.
    """
    try:
        parts = parse_url(url)
        usable = parts.scheme in ("http", "https") and parts.host and parts.port != 0
        (parts.host or "").encode("idna")
    except (HTTPError, UnicodeError):
        usable = None
    if not usable or parts.query or parts.fragment:
        raise ConfigurationError(f"{knob} is {url.rpartition('@')[2]!r}; write http://HOST:PORT")
    if parts.auth:
        raise ConfigurationError(f"{knob} contains a password, and URLs are stored; leave it out")
