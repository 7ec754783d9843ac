"""An HTTP server on 127.0.0.1 that answers with JSON, with one thread per connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

__all__ = ["JsonRequest", "JsonResponse", "serving"]


class JsonRequest(NamedTuple):
    """One request. `headers` ignores the case of names."""

    method: str
    path: str
    headers: Message
    content: bytes


class JsonResponse(NamedTuple):
    """One response."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


@contextmanager
def serving(answer: Callable[[JsonRequest], JsonResponse]) -> Iterator[str]:
    """The URL of a server that answers until the block ends."""

    class Handler(_Handler):
        def reply(self, asked: JsonRequest) -> JsonResponse:
            return answer(asked)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def reply(self, asked: JsonRequest) -> JsonResponse:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, *args: Any) -> None:
        """Log nothing."""

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("content-length", "0"))
        said = self.reply(JsonRequest(method, self.path, self.headers, self.rfile.read(length)))
        content = json.dumps(said.body).encode()
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
