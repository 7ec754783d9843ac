"""Servers of the /infer protocol on 127.0.0.1 that answer at once, late, wrongly or not at all, and count
requests.

The answer to a request depends only on its content. As a program it prints its URL and serves until it is
killed; `GET /stats` returns the counts:

    python -m imug_tts.testing.infer_servers [LATENCY_S [IMAGE_MEGABYTES]]
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import selectors
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

__all__ = [
    "Asked",
    "Fault",
    "InferServer",
    "Reply",
    "faulty",
    "infer_server",
    "process",
    "stats",
    "unused_url",
]

Fault = Literal["error", "status", "truncated", "garbage", "hang_up", "empty"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request. `times` is the number of earlier requests with the same body."""

    number: int
    times: int
    body: bytes
    digest: str

    @property
    def wants_image(self) -> bool:
        return b'"image_only"' in self.body

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP reply. With `hang_up` the connection is closed without a reply."""

    body: bytes = b""
    status: int = 200
    headers: str = ""
    delay_s: float = 0.0
    hang_up: bool = False


Answer = Callable[[Asked], Reply]


def drawn(shade: int, noise_megabytes: float = 0.0) -> bytes:
    """A PNG of 64x64 pixels in one shade, or a PNG of noise with about the given size."""
    import numpy as np
    from PIL import Image

    side = int((noise_megabytes * 1e6 / 3) ** 0.5) or 64
    pixels = np.full((side, side, 3), shade, np.uint8)
    if noise_megabytes:
        pixels = np.random.default_rng(shade).integers(0, 256, pixels.shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def by_content(latency_s: float = 0.0, image_megabytes: float = 0.0) -> Answer:
    """An answer function that selects a letter or a picture by the request's content."""
    pictures = [base64.b64encode(drawn(30 * shade, image_megabytes)) for shade in range(7)]
    images = [b'{"response":{"image":"%s"}}' % picture for picture in pictures]
    texts = [b'{"response":{"text":"%c"}}' % letter for letter in b"ABCDEFG"]

    def answer(asked: Asked) -> Reply:
        choices = images if asked.wants_image else texts
        return Reply(body=choices[int(asked.digest[:8], 16) % 7], delay_s=latency_s)

    return answer


def faulty(answer: Answer, fault: Fault, *, one_in: int = 1, times: int = 1 << 30) -> Answer:
    """The answer function with a fault in the first `times` replies to one request in `one_in`."""

    def answer_or_fail(asked: Asked) -> Reply:
        chosen = int(asked.digest[8:16], 16) % one_in == 0
        right = answer(asked)
        return _spoiled(right, fault) if chosen and asked.times < times else right

    return answer_or_fail


def _spoiled(reply: Reply, fault: Fault) -> Reply:
    match fault:
        case "error":
            reason = "CUDA out of memory. " + 1000 * "Tried to allocate more. "
            return replace(reply, body=json.dumps({"response": {"error": reason}}).encode())
        case "status":
            return replace(reply, status=500, body=b'{"detail":"Inference failed"}')
        case "truncated":
            picture = base64.b64encode(drawn(99)[:-30]).decode()
            return replace(reply, body=json.dumps({"response": {"image": picture}}).encode())
        case "garbage":
            return replace(reply, body=b"<html>Bad gateway</html>" * 1000)
        case "hang_up":
            return replace(reply, hang_up=True)
        case "empty":
            return replace(reply, body=b'{"response":{"text":"","image":""}}')


@dataclass
class InferServer:
    """A running server. It processes `slots` calls at a time; other calls wait."""

    answer: Answer
    slots: int = 1
    url: str = ""
    healthy: bool = True
    health: bytes = b""
    """The body of the response to GET /health."""
    calls: Counter[str] = field(default_factory=Counter)
    """Number of calls by the request's digest."""
    probes: int = 0
    most_at_once: int = 0
    last: bytes = b""
    _at_once: int = 0

    async def start(self) -> asyncio.Server:
        self._free = asyncio.Semaphore(self.slots)
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0, limit=1 << 22)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                start = head.find(b"content-length:")
                length = int(head[start + 15 :].split(b"\r\n")[0]) if start >= 0 else 0
                reply = await self._reply(head, await reader.readexactly(length))
                if reply.hang_up:
                    break
                top = f"HTTP/1.1 {reply.status} -\r\ncontent-length: {len(reply.body)}\r\n{reply.headers}\r\n"
                writer.write(top.encode() + reply.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has disconnected, or the server stops
        finally:
            writer.close()

    async def _reply(self, head: bytes, body: bytes) -> Reply:
        if head.startswith(b"get /stats"):
            return Reply(body=json.dumps({"calls": dict(self.calls), "most": self.most_at_once}).encode())
        if head.startswith(b"get"):
            self.probes += 1
            return Reply(status=200 if self.healthy else 503, body=self.health)
        digest = hashlib.sha256(body).hexdigest()
        self.last = body
        asked = Asked(number=self.calls.total(), times=self.calls[digest], body=body, digest=digest)
        self.calls[digest] += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            async with self._free:
                reply = self.answer(asked)
                await asyncio.sleep(reply.delay_s)
        finally:
            self._at_once -= 1
        return reply


@contextmanager
def infer_server(answer: Answer | None = None, **settings: Any) -> Iterator[InferServer]:
    """A server in a thread of this process, until the block ends."""
    server = InferServer(answer or by_content(), **settings)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def serve() -> None:
        listening = await server.start()
        started.set()
        try:
            await listening.serve_forever()
        finally:
            listening.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_until_cancelled(serve()))

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        thread.join()


async def _until_cancelled(serving: Any) -> None:
    try:
        await serving
    except asyncio.CancelledError:
        return


@contextmanager
def process(latency_s: float = 0.0, image_megabytes: float = 0.0) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    command = [sys.executable, str(Path(__file__)), str(latency_s), str(image_megabytes)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def stats(url: str) -> Counter[str]:
    """Number of calls by the request's digest, from the server at `url`."""
    with urlopen(f"{url}/stats") as response:
        return Counter(json.load(response)["calls"])


def unused_url() -> str:
    """A URL at which no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def _serve(latency_s: float, image_megabytes: float) -> None:
    server = InferServer(by_content(latency_s, image_megabytes))
    listening = await server.start()
    print(server.url, flush=True)
    await listening.serve_forever()


def _exact_loop() -> asyncio.AbstractEventLoop:
    """An event loop with exact sleep times; one over epoll rounds up to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_exact_loop) as runner:
        runner.run(_serve(*map(float, [*sys.argv[1:], *["0", "0"][len(sys.argv) - 1 :]])))
