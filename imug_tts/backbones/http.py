"""HTTP calls to model servers, from as many threads as there are calls in flight.

Under hundreds of calls a second every library above `http.client` costs two to six times its processor
time, all of it behind one lock (`experiments/speed.py image_judging`); what is needed of them is little.
"""

from __future__ import annotations

import ssl
import time
import weakref
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from imug_tts.infer_protocol import shortened

__all__ = ["HttpClient", "HttpFailure", "Late", "Response", "TooLarge", "Unreached"]

_CONNECT_S: Final = 10.0
_KEPT_S: Final = 2.0
"""Idle connections are given up before uvicorn, which official servers use, closes them after 5 s."""
_PIECE_BYTES: Final = 1 << 20
_MAX_BYTES: Final = 256 << 20
_COPIED_BYTES: Final = 1 << 20
"""Larger bodies are sent from where they are."""


class HttpFailure(Exception):
    """No whole response came. Says why, and nothing of the request."""


class Unreached(HttpFailure):
    """No connection was made, so that no call was made."""


class Late(HttpFailure):
    """The response took longer than it may."""


class TooLarge(HttpFailure):
    """The response has more bytes than are taken."""


class Response(NamedTuple):
    """A response of any status. Names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None


class _Connection(HTTPConnection):
    """Sends a small request with one call of its socket.

    At each such call another thread takes the interpreter's lock; `http.client` makes two, one for the
    head and one for the body.
    """

    _whole = False
    _head = b""

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = MappingProxyType({}), **options: Any
    ) -> None:
        self._whole = isinstance(body, bytes) and 0 < len(body) <= _COPIED_BYTES
        self._head = b""
        super().request(method, url, body, headers, **options)

    def send(self, data: Any) -> None:
        if self._whole and not self._head:
            self._head = data
        else:
            super().send(self._head + data)
            self._whole, self._head = False, b""


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Idle(NamedTuple):
    connection: HTTPConnection
    since: float


class HttpClient:
    """Keeps its connections, and is safe to share between threads. Follows no redirects, repeats nothing."""

    def __init__(self, *, timeout_s: float, proxies: bool) -> None:
        """One client for all threads.

        Args:
            timeout_s: how long a response may take, from the first byte sent to the last one read.
            proxies: whether calls go through the proxies that the environment names.
        """
        self._timeout_s = timeout_s
        self._proxies = getproxies() if proxies else {}
        self._idle: dict[_Origin, list[_Idle]] = {}
        weakref.finalize(self, _close, self._idle)

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """One call; `timeout_s` is the client's by default. An iterable body comes with its Content-Length.

        Raises:
            Unreached: there is no connection to be had.
            Late: the response has not come, or not to its end.
            TooLarge: the response has more than 256 MB.
            HttpFailure: the connection broke.
        """
        limit_s = timeout_s or self._timeout_s
        origin, target = _split(url)
        proxy = self._proxy(origin)
        connection = self._connection(origin, proxy, limit_s)
        ends = time.monotonic() + limit_s
        sent: dict[str, str] = {"User-Agent": "imug_tts", **(headers or {})}
        if proxy is not None and origin.scheme == "http":
            target, sent = url, {**sent, **_account(proxy)}
        try:
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            received = _read(response, ends)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise Late("the response does not come") from None
            if isinstance(error, HTTPException | OSError):
                raise HttpFailure(_said(error)) from None
            raise
        if not response.will_close:
            self._idle.setdefault(origin, []).append(_Idle(connection, time.monotonic()))
        return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, received)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """The machine's certificate authorities, or those that SSL_CERT_FILE names."""
        return ssl.create_default_context()

    def _connection(self, origin: _Origin, proxy: str | None, limit_s: float) -> HTTPConnection:
        """A connection that was used a moment ago, or a new one."""
        idle = self._idle.get(origin, [])
        while True:
            try:
                connection, since = idle.pop()
            except IndexError:
                return self._connected(origin, proxy, limit_s)
            if time.monotonic() - since <= _KEPT_S:
                connection.sock.settimeout(limit_s)
                return connection
            connection.close()

    def _connected(self, origin: _Origin, proxy: str | None, limit_s: float) -> HTTPConnection:
        at = origin if proxy is None else _split(proxy)[0]
        wait_s = min(_CONNECT_S, limit_s)
        connection = (
            _Connection(at.host, at.port, timeout=wait_s)
            if origin.scheme == "http"
            else _TlsConnection(at.host, at.port, timeout=wait_s, context=self._trust)
        )
        if proxy is not None and origin.scheme == "https":
            connection.set_tunnel(origin.host, origin.port, _account(proxy))
        try:
            connection.connect()
        except (HTTPException, OSError) as error:
            connection.close()
            raise Unreached(f"no connection: {_said(error)}") from None
        connection.sock.settimeout(limit_s)
        return connection

    def _proxy(self, origin: _Origin) -> str | None:
        """The URL of the proxy on the way to an origin, if there is one."""
        proxy = self._proxies.get(origin.scheme)
        if proxy is None or proxy_bypass(origin.host):
            return None
        return proxy if "//" in proxy else f"http://{proxy}"


def _close(kept: Mapping[_Origin, list[_Idle]]) -> None:
    for idle in kept.values():
        while idle:
            idle.pop().connection.close()


def _read(response: HTTPResponse, ends: float) -> bytes:
    """The whole body."""
    received = bytearray()
    while piece := response.read1(_PIECE_BYTES):  # what is there; `read` waits for all of it
        received += piece
        if len(received) > _MAX_BYTES:
            raise TooLarge(f"the response has more than {_MAX_BYTES} bytes")
        if time.monotonic() > ends:
            raise Late("the response does not end")
    if response.length:
        raise HttpFailure("the response was cut off")
    response.close()  # the connection is free for the next request
    return bytes(received)


@lru_cache(maxsize=1024)
def _split(url: str) -> tuple[_Origin, str]:
    """Where a URL leads, and what is asked for there."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Origin(parts.scheme, parts.hostname or "", parts.port), target


def _account(proxy: str) -> dict[str, str]:
    """The header that opens a proxy."""
    parts = urlsplit(proxy)
    if not parts.username:
        return {}
    named = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(named.encode()).decode()}"}


def _said(error: Exception) -> str:
    return shortened(str(error) or type(error).__name__)
