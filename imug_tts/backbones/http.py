"""HTTP calls to model servers, from as many threads as there are calls in flight, over urllib3.

urllib3 keeps the connections; what is added is a limit of time for a whole call, however slowly its bytes
come, and a way to end every call from another thread.
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
"""Of a connection with no answer yet, which cannot be interrupted: enough for one answer to be lost."""
_CONNECT_S: Final = 10.0
"""Of what follows: a tunnel, TLS."""
_KEPT_S: Final = 2.0
"""Idle connections are given up before uvicorn, which official servers use, closes them after 5 s."""
_KEPT: Final = 256
"""Connections to one server, and servers."""
_MAX_BYTES: Final = 256 << 20
_KEYS_IN: Final = ("authorization", "x-goog-api-key")
"""Headers that hold a key."""
_SHORTEST_KEY: Final = 8
"""Characters of a key that is looked for in responses; a shorter word may stand there by chance."""


class HttpFailure(Exception):
    """No whole response came. Says why, and nothing of the request."""


class Unreached(HttpFailure):
    """No connection was made, so that no call was made."""


class Late(HttpFailure):
    """The response took longer than it may."""


class TooLarge(HttpFailure):
    """The response has more bytes than are taken."""


class Response(NamedTuple):
    """A response of any status. `headers` finds names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        """The status, and what the body says or is: the words for a response that is not 200."""
        said = f"HTTP status {self.status}: {described(self.body)}"
        if not 300 <= self.status < 400:
            return said
        leads = self.headers.get("location")
        return f"{said}; it redirects to {shortened(leads) if leads else 'nowhere'}, which is not followed"


class _Lines:
    """The open connections of one client, which another thread can shut down for good."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()
        self._open: set[socket.socket] = set()

    def add(self, line: socket.socket) -> None:
        self._open.add(line)
        if self.interrupted.is_set():  # `shut_down` may have looked before
            self.shut_down()

    def discard(self, line: socket.socket) -> None:
        self._open.discard(line)

    def check(self) -> None:
        if self.interrupted.is_set():
            raise BackboneError("interrupted")

    def shut_down(self) -> None:
        self.interrupted.set()
        for line in list(self._open):
            with suppress(OSError):  # it is closed, or its peer has gone
                line.shutdown(socket.SHUT_RDWR)


class _InTime(io.RawIOBase):
    """Reads from a socket whose timeout is meant for all that is read, however little comes at once."""

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
    """A connection among the `lines` of its client. Its timeout is that of a whole call."""

    response_class = _Response

    def __init__(self, *args: Any, lines: _Lines, **options: Any) -> None:
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
            raise Unreached(f"no connection: {_said(error)}") from None
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
        # A server that failed may close the connection only after its response was read.
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
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class HttpClient:
    """Keeps its connections, and is safe to share between threads. Follows no redirects, repeats nothing."""

    def __init__(self, *, timeout_s: float, proxies: bool) -> None:
        """One client for all threads.

        Args:
            timeout_s: how long a call may take, from its beginning to the last byte read.
            proxies: whether calls go through the proxies that the environment names.
        """
        self._timeout_s = timeout_s
        self._proxies = getproxies() if proxies else {}
        self._lines = _Lines()
        self._managers: dict[tuple[str, str | None], PoolManager] = {}
        self._making = threading.Lock()

    @property
    def interrupted(self) -> threading.Event:
        """Set by `interrupt`; for whoever waits for something else meanwhile."""
        return self._lines.interrupted

    def interrupt(self) -> None:
        """End every call, those in flight and those to come, with a BackboneError "interrupted"."""
        self._lines.shut_down()

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

        A body that is compressed, and says so, is decompressed. Where a server repeats the key that it was
        sent, the response has "[key]" in its place, before anybody shortens, logs or keeps what it says.

        Raises:
            Unreached: there is no connection to be had.
            Late: the response has not come, or not to its end.
            TooLarge: the response has more than 256 MB.
            HttpFailure: the connection broke.
            BackboneError: the client was interrupted.
        """
        limit_s = timeout_s or self._timeout_s
        ends = time.monotonic() + limit_s
        self._lines.check()
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
            self._lines.check()
            raise _failure(error, ends) from None
        if len(received) > _MAX_BYTES:
            raise TooLarge(f"the response has more than {_MAX_BYTES} bytes")
        return _without_key(Response(response.status, response.headers, received), headers or {})

    def _manager(self, url: str) -> PoolManager:
        """What keeps the connections for a URL, direct ones or those to the proxy on its way."""
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
        if scheme == "https":  # the machine's certificate authorities, or those that SSL_CERT_FILE names
            options["ssl_context"] = ssl.create_default_context()
        manager = PoolManager(**options) if proxy is None else _proxied(proxy, options)
        pools = {"http": partial(_Pool, lines=self._lines), "https": partial(_TlsPool, lines=self._lines)}
        manager.pool_classes_by_scheme = pools  # type: ignore[assignment]
        return manager


def _without_key(response: Response, sent: Mapping[str, str]) -> Response:
    """The response without the key among the headers that were sent."""
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
        return Late("the response has not come to its end in time")
    return HttpFailure(_said(error))


def _said(error: Exception) -> str:
    """What went wrong, without the layers around it."""
    inner = [arg for arg in error.args if isinstance(arg, Exception)]
    if isinstance(error, DecodeError):
        return str(error.args[0])
    root = inner[0] if inner else error.__cause__ or error
    if isinstance(root, IncompleteRead):
        return "the response was cut off"
    return shortened(str(root) or type(root).__name__)


def _left_s(ends: float) -> float:
    """What is left, as the timeout of a socket, of which 0 means something else."""
    return max(ends - time.monotonic(), 0.001)
