"""HTTP calls to model servers over urllib3, from as many threads as there are calls in flight.

urllib3 keeps the connections. This module adds a timeout for a whole call, however slowly its bytes arrive,
and an interrupt that ends every call from another thread.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import (
    HTTPConnectionPool,
    HTTPHeaderDict,
    HTTPSConnectionPool,
    PoolManager,
    ProxyManager,
    Timeout,
    make_headers,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from imug_tts.contracts import BackboneError
from imug_tts.infer_protocol import described, shortened

__all__ = ["HttpClient", "HttpFailure", "Late", "Response", "TooLarge", "Unreached"]

_DIAL_S: Final = 1.5
"""Timeout of opening a TCP connection, which cannot be interrupted; long enough for one lost packet."""
_CONNECT_S: Final = 10.0
"""Timeout of the steps after that: proxy tunnel and TLS."""
_KEPT_S: Final = 2.0
"""Idle connections are closed after this time; uvicorn, which official servers use, closes them after 5 s."""
_KEPT: Final = 256
"""Maximum number of kept connections per server, and of servers."""
_MAX_BYTES: Final = 256 << 20
_KEYS_IN: Final = ("authorization", "x-goog-api-key")
"""Headers that hold a key."""
_SHORTEST_KEY: Final = 8
"""Minimum length of a key that is replaced in responses; a shorter word may occur by chance."""


class HttpFailure(Exception):
    """No complete response came. The message says why, and holds nothing of the request."""


class Unreached(HttpFailure):
    """No connection could be opened, so no call was made."""


class Late(HttpFailure):
    """The response took longer than the timeout."""


class TooLarge(HttpFailure):
    """The response exceeds the maximum size."""


class Response(NamedTuple):
    """A response of any status. `headers` ignores the case of names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        """The status with the body's text or type: the message for a status that is not 200."""
        said = f"HTTP status {self.status}: {described(self.body)}"
        if not 300 <= self.status < 400:
            return said
        leads = self.headers.get("location")
        return f"{said}; it redirects to {shortened(leads) if leads else 'nowhere'}, which is not followed"


class _OpenSockets:
    """The open sockets of one client, which another thread can shut down for good."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._is_shut = False

    def add(self, line: socket.socket) -> None:
        self._open.add(line)
        if self._is_shut:  # `shut_down` may have run before
            self.shut_down()

    def discard(self, line: socket.socket) -> None:
        self._open.discard(line)

    def check(self) -> None:
        if self._is_shut:
            raise BackboneError("interrupted")

    def shut_down(self) -> None:
        self._is_shut = True
        for line in list(self._open):
            with suppress(OSError):  # the socket is closed, or the peer is gone
                line.shutdown(socket.SHUT_RDWR)


class _InTime(io.RawIOBase):
    """A reader of a socket whose timeout covers the whole response, however few bytes come at once."""

    def __init__(self, sock: socket.socket, source: io.RawIOBase) -> None:
        self._sock, self._source = sock, source
        self._ends = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left_s(self._ends))
        read: int | None = self._source.readinto(buffer)
        return read

    def close(self) -> None:
        self._source.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_InTime(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    """A connection that is registered in `lines`. Its timeout covers a whole call."""

    response_class = _Response

    def __init__(self, *args: Any, lines: _OpenSockets, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lines = lines
        self._line: socket.socket | None = None
        self._ends = 0.0
        self._used = 0.0

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._used < _KEPT_S and super().is_connected

    def connect(self) -> None:
        try:
            super().connect()
        except (HTTPError, HTTPException, OSError) as error:
            raise Unreached(f"no connection: {_reason(error)}") from None
        self.sock.settimeout(self.timeout)

    def _new_conn(self) -> socket.socket:
        limit_s = self.timeout or _CONNECT_S
        self.timeout = min(_DIAL_S, limit_s)
        try:
            sock = super()._new_conn()
        finally:
            self.timeout = limit_s
        sock.settimeout(min(_CONNECT_S, limit_s))
        self._line = sock.dup()  # TLS takes `sock` over
        self._lines.add(self._line)
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        self._ends = time.monotonic() + (self.timeout or 0.0)
        super().request(*args, **options)

    def send(self, data: Any) -> None:
        if self.sock is not None and self._ends:
            self.sock.settimeout(_left_s(self._ends))
        super().send(data)

    def getresponse(self) -> Any:
        response = super().getresponse()
        # A failed server may close the connection after its response was read, so do not reuse it.
        self._used = time.monotonic() if response.status < 500 else -_KEPT_S
        return response

    def close(self) -> None:
        super().close()
        self._ends = 0.0
        if self._line is not None:
            self._lines.discard(self._line)
            self._line.close()
            self._line = None


class _TlsConnection(_Connection, HTTPSConnection):
    """A `_Connection` over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class HttpClient:
    """A thread-safe client that keeps connections. It follows no redirects and makes no retries."""

    def __init__(self, *, timeout_s: float, proxies: bool) -> None:
        """Create a client for all threads.

        Args:
            timeout_s: timeout of a call, from its beginning to the last byte read.
            proxies: whether calls use the proxies of the environment.
        """
        self._timeout_s = timeout_s
        self._proxies = getproxies() if proxies else {}
        self._lines = _OpenSockets()
        self._managers: dict[tuple[str, str | None], PoolManager] = {}
        self._making = threading.Lock()
        self.interrupted = threading.Event()
        """Set from `interrupt` to `resume`, for threads that wait for something else."""

    def interrupt(self) -> None:
        """End every call, running or future, with the BackboneError "interrupted", until `resume`."""
        self.interrupted.set()
        self._lines.shut_down()

    def resume(self) -> None:
        """Send calls again. A call that is still running after `interrupt` cannot send anything more."""
        with self._making:
            self._lines, self._managers = _OpenSockets(), {}
        self.interrupted.clear()

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """The response to one call.

        The timeout defaults to the client's. An iterable body must come with a Content-Length header.
        Compressed response bodies are decompressed. If a server repeats the key of the request, the response
        contains "[key]" instead, before anything is shortened, logged or stored.

        Raises:
            Unreached: no connection could be opened.
            Late: the response was not complete within the timeout.
            TooLarge: the response is larger than 256 MB.
            HttpFailure: the connection broke.
            BackboneError: the client was interrupted.
        """
        limit_s = timeout_s or self._timeout_s
        ends = time.monotonic() + limit_s
        lines = self._lines
        lines.check()
        try:
            response = self._manager(url).urlopen(
                method,
                url,
                body=body,
                headers={"User-Agent": "imug_tts", **(headers or {})},
                timeout=Timeout(total=limit_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(response):
                received = response.read(_MAX_BYTES + 1)
        except (HTTPError, HttpFailure) as error:
            lines.check()
            raise _failure(error, ends) from None
        if len(received) > _MAX_BYTES:
            raise TooLarge(f"the response has more than {_MAX_BYTES} bytes")
        return _without_key(Response(response.status, response.headers, received), headers or {})

    def _manager(self, url: str) -> PoolManager:
        """The connection manager for a URL: direct, or through its proxy."""
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme)
        if proxy is not None and proxy_bypass(parts.hostname or ""):
            proxy = None
        key = (parts.scheme, proxy)
        with self._making:
            if key not in self._managers:
                self._managers[key] = self._new_manager(*key)
            return self._managers[key]

    def _new_manager(self, scheme: str, proxy: str | None) -> PoolManager:
        options: dict[str, Any] = {"num_pools": _KEPT, "maxsize": _KEPT}
        if scheme == "https":  # certificate authorities of the machine, or of SSL_CERT_FILE
            options["ssl_context"] = ssl.create_default_context()
        manager = PoolManager(**options) if proxy is None else _proxied(proxy, options)
        pools = {"http": partial(_Pool, lines=self._lines), "https": partial(_TlsPool, lines=self._lines)}
        manager.pool_classes_by_scheme = pools  # type: ignore[assignment]
        return manager


def _without_key(response: Response, sent: Mapping[str, str]) -> Response:
    """The response with the key of the sent headers replaced by "[key]"."""
    by_name = {name.lower(): value for name, value in sent.items()}
    values = (by_name.get(name, "").removeprefix("Bearer ") for name in _KEYS_IN)
    for key in (value for value in values if len(value) >= _SHORTEST_KEY):
        headers = HTTPHeaderDict(
            (name, value.replace(key, "[key]")) for name, value in response.headers.items()
        )
        response = Response(response.status, headers, response.body.replace(key.encode(), b"[key]"))
    return response


def _proxied(proxy: str, options: Mapping[str, Any]) -> ProxyManager:
    url = proxy if "//" in proxy else f"http://{proxy}"
    parts = urlsplit(url)
    account = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return ProxyManager(url, proxy_headers=make_headers(proxy_basic_auth=account), **options)


def _failure(error: Exception, ends: float) -> HttpFailure:
    if isinstance(error, HttpFailure):
        return error
    if isinstance(error, ReadTimeoutError) or time.monotonic() >= ends:
        return Late("the response was not complete within the timeout")
    return HttpFailure(_reason(error))


def _reason(error: Exception) -> str:
    """The root cause of an error, without the layers around it."""
    inner = [arg for arg in error.args if isinstance(arg, Exception)]
    if isinstance(error, DecodeError):
        return str(error.args[0])
    root = inner[0] if inner else error.__cause__ or error
    if isinstance(root, IncompleteRead):
        return "the response was cut off"
    return shortened(str(root) or type(root).__name__)


def _left_s(ends: float) -> float:
    """The remaining seconds as a socket timeout, which must not be 0."""
    return max(ends - time.monotonic(), 0.001)
