"""The FastAPI app of `imug_tts` servers: /infer and /health, admission control, and graceful shutdown."""

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
from imug_tts.serving.handler import RequestHandler, Served
from imug_tts.serving.reading import Limits, read_request
from imug_tts.serving.settings import Service

__all__ = ["create_app", "serve"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Admission:
    """Admission control: counts the requests in flight, and refuses new ones at the limit or once closed."""

    def __init__(self, most: int) -> None:
        self.in_flight = 0
        self.closed = False
        self._most = most
        self._empty = asyncio.Event()

    @property
    def refusal(self) -> str | None:
        """The reason to refuse a new request now; None if it is admitted."""
        if self.closed:
            return "the server is stopping"
        return f"{self.in_flight} requests are in flight already" if self.in_flight >= self._most else None

    @contextmanager
    def slot(self) -> Iterator[None]:
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._empty.set()

    async def close(self) -> None:
        """Refuse new requests from now on, and wait until no request is in flight."""
        self.closed = True
        while self.in_flight:
            self._empty.clear()
            await self._empty.wait()


def create_app(served: Served, journal: Journal, limits: Limits | None = None) -> FastAPI:
    """Return an ASGI application that answers requests with `served`.

    POST /infer responds with status 200, also for a failed turn (`response.error`); with 413 or 422 and a
    `detail` for a request that is too large or wrong; with 503 and Retry-After at the limit of requests in
    flight or during shutdown. GET /health describes the model and strategy.

    Raises:
        ConfigurationError: the strategy cannot work with the models.
    """
    limits = limits or Limits()
    served.check()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.handler, app.state.admission = RequestHandler(served, journal), _Admission(limits.requests)
        yield
        await app.state.handler.stop()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health() -> JSONResponse:
        admission: _Admission = app.state.admission
        about = {"status": "stopping" if admission.closed else "ok", "in_hand": admission.in_flight}
        return JSONResponse(about | app.state.handler.about, 503 if admission.closed else 200)

    @app.post("/infer")
    async def infer(request: Request) -> JSONResponse:
        admission: _Admission = app.state.admission
        if admission.refusal is not None:
            return _refused(503, admission.refusal, {"retry-after": "1"})
        with admission.slot():
            return await _infer(request, app.state.handler, limits)

    return app


def serve(service: Service, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; then refuse new requests, finish those in flight, and return.

    A second signal ends the process at once, with status 130. `ready` is called with the URL.

    Raises:
        ConfigurationError: the address cannot be used, or the strategy cannot work with the models.
        StorageError: the journal's folder cannot be written.
    """
    settings = service.settings
    with ExitStack() as stack:
        folder = settings.journal or Path(stack.enter_context(TemporaryDirectory(prefix="imug_tts-serve-")))
        app = create_app(service.served, Journal(folder), settings.limits)
        listener = stack.enter_context(_listen(settings.host, settings.port))
        ready(f"http://{settings.host}:{listener.getsockname()[1]}")
        # Longer than clients keep idle connections, so that no request is sent on one that is being closed.
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=75)
        asyncio.run(_Server(config).serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """A uvicorn server that stops admission before it closes sockets, and does not re-raise the signal."""

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
        admission: _Admission = self.config.app.state.admission  # type: ignore[union-attr]
        if admission.closed:
            sys.stderr.write("stopped at once\n")
            os._exit(130)
        sys.stderr.write(
            f"stopping: finishing {admission.in_flight} requests in flight (again to stop at once)\n"
        )
        self._stopping = asyncio.create_task(self._stop_when_empty(admission))

    async def _stop_when_empty(self, admission: _Admission) -> None:
        await admission.close()
        self.should_exit = True


async def _infer(request: Request, handler: RequestHandler, limits: Limits) -> JSONResponse:
    most = limits.megabytes << 20
    body = await _read(request, most)
    if body is None:
        return _refused(413, f"the body has more than {most} bytes")
    try:
        # In a thread, because large images take a while to decode.
        asked = await run_in_threadpool(read_request, body, limits)
        return JSONResponse(await handler.answer(asked))
    except (ProtocolError, ConfigurationError) as error:
        return _refused(422, str(error))


async def _read(request: Request, most: int) -> bytes | None:
    """Return the body of a request; None if it has more than `most` bytes."""
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
