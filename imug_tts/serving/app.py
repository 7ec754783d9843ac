"""The HTTP side: /infer and /health, admission, and an end that breaks no promise."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from imug_tts.calls import Journal
from imug_tts.contracts import ConfigurationError
from imug_tts.infer_protocol import ProtocolError
from imug_tts.serving.desk import Desk, Served
from imug_tts.serving.reading import Limits, read_request
from imug_tts.serving.settings import Service

__all__ = ["create_app", "serve"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Door:
    """Counts who is inside, and lets nobody in once it is closed."""

    def __init__(self, most: int) -> None:
        self.inside = 0
        self.closed = False
        self._most = most
        self._empty = asyncio.Event()

    @property
    def refusal(self) -> str | None:
        """Why nobody may enter now."""
        if self.closed:
            return "the server is stopping"
        return f"{self.inside} requests are in hand already" if self.inside >= self._most else None

    @contextmanager
    def enter(self) -> Iterator[None]:
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            if not self.inside:
                self._empty.set()

    async def close(self) -> None:
        """Let nobody in; returns when everybody has left."""
        self.closed = True
        while self.inside:
            self._empty.clear()
            await self._empty.wait()


def create_app(served: Served, journal: Journal, limits: Limits | None = None) -> FastAPI:
    """The application that answers with `served`, to be run by any ASGI server.

    POST /infer answers with status 200, a failed turn included (`response.error`); 413 or 422 with a
    `detail` that says what is wrong with the request; 503 with Retry-After when too many are in hand
    or the server is stopping. GET /health says what is served.

    Raises:
        ConfigurationError: the strategy cannot work with the models.
    """
    limits = limits or Limits()
    served.check()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.desk, app.state.door = Desk(served, journal), _Door(limits.requests)
        yield
        await app.state.desk.stop()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health() -> JSONResponse:
        door: _Door = app.state.door
        about = {"status": "stopping" if door.closed else "ok", "in_hand": door.inside}
        return JSONResponse(about | app.state.desk.about, 503 if door.closed else 200)

    @app.post("/infer")
    async def infer(request: Request) -> JSONResponse:
        door: _Door = app.state.door
        if door.refusal is not None:
            return _refused(503, door.refusal, {"retry-after": "1"})
        with door.enter():
            return await _infer(request, app.state.desk, limits)

    return app


def serve(service: Service, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; then refuse, finish what is in hand, and return.

    A second signal ends the process at once, with status 130. `ready` is told the URL.

    Raises:
        ConfigurationError: the address cannot be used, or the strategy cannot work with the models.
        StorageError: the journal's folder cannot be written.
    """
    settings = service.settings
    with ExitStack() as held:
        folder = settings.journal or Path(held.enter_context(TemporaryDirectory(prefix="imug_tts-serve-")))
        app = create_app(service.served, Journal(folder), settings.limits)
        listener = held.enter_context(_listen(settings.host, settings.port))
        ready(f"http://{settings.host}:{listener.getsockname()[1]}")
        # Idle connections outlive those of clients, so that no request meets one that is being closed.
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=75)
        asyncio.run(_Server(config).serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Closes the door before the sockets, and returns where uvicorn would raise the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        door: _Door = self.config.app.state.door  # type: ignore[union-attr]
        if door.closed:
            sys.stderr.write("stopped at once\n")
            os._exit(130)
        sys.stderr.write(f"stopping: {door.inside} requests in hand are finished (again to stop at once)\n")
        self._stopping = asyncio.create_task(self._stop_when_empty(door))

    async def _stop_when_empty(self, door: _Door) -> None:
        await door.close()
        self.should_exit = True


async def _infer(request: Request, desk: Desk, limits: Limits) -> JSONResponse:
    most = limits.megabytes << 20
    body = await _read(request, most)
    if body is None:
        return _refused(413, f"the body has more than {most} bytes")
    try:
        # In a thread, because large images take a while to decode.
        asked = await run_in_threadpool(read_request, body, limits)
        return JSONResponse(await desk.answer(asked))
    except (ProtocolError, ConfigurationError) as error:
        return _refused(422, str(error))


async def _read(request: Request, most: int) -> bytes | None:
    """The body; None when it has more bytes."""
    if int(request.headers.get("content-length", "0")) > most:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            return None
    return bytes(body)


def _refused(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": reason}, status, headers)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot serve at {host}:{port}: {error}; choose others with host= and port="
        ) from error
