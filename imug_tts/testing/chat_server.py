"""A chat-completions endpoint on 127.0.0.1 with scripted replies, which records its requests.

As a program it prints its address and sends the same reply to every call, after a fixed delay:

    python -m imug_tts.testing.chat_server DELAY_S REPLY
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["ChatServer", "Reply", "chat_server", "completion", "process"]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP reply; a dictionary is sent as JSON. With `hang_up` the connection is closed without a
    reply.
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False


NOT_FOUND: Final = Reply(status=404, body={"detail": "Not Found"})


def completion(text: Any, *, finish: str | None = "stop", delay_s: float = 0.0, **message: Any) -> Reply:
    """A reply with one choice; `message` adds fields to its message, e.g. a refusal."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "total_tokens": 107,
        "prompt_tokens_details": {"cached_tokens": 60},
    }
    return Reply(body={"object": "chat.completion", "choices": [choice], "usage": usage}, delay_s=delay_s)


@dataclass
class ChatServer:
    """A server and the requests that it got, in order of arrival. `reply` gives the reply to call number n
    (from 0).
    """

    reply: Callable[[int, dict[str, Any]], Reply]
    models: Sequence[str] | None = ("grader",)
    """The models that the server lists; None for a server without a model list."""
    path: str = "/v1/chat/completions"
    """The path of calls; another one for services of other kinds."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    host: str = ""
    base_url: str = ""
    port: int = 0
    """The port; 0 selects a free one."""
    most_at_once: int = 0
    _at_once: int = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._converse, "127.0.0.1", self.port, limit=1 << 20)
        self.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.base_url = f"{self.host}/v1"
        return server

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                if head.startswith("GET"):
                    await _send(writer, self._listed(head))
                    continue
                length = next(
                    int(line[15:])
                    for line in head.lower().split("\r\n")
                    if line.startswith("content-length:")
                )
                if not await self._answer(head, json.loads(await reader.readexactly(length)), writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has disconnected, or the server stops
        finally:
            writer.close()

    def _listed(self, head: str) -> Reply:
        if self.models is None or not head.startswith("GET /v1/models "):
            return NOT_FOUND
        return Reply(body={"object": "list", "data": [{"id": model} for model in self.models]})

    async def _answer(self, head: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Answer one call; returns whether the connection stays open."""
        if not head.startswith(f"POST {self.path} "):
            await _send(writer, NOT_FOUND)
            return True
        number = len(self.bodies)
        self.bodies.append(body)
        self.headers.append(head)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        reply = self.reply(number, body)
        await asyncio.sleep(reply.delay_s)
        self._at_once -= 1
        if reply.hang_up:
            return False
        await _send(writer, reply)
        return True


def _packed(reply: Reply) -> bytes:
    """The bytes of a reply."""
    content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    lines = [
        f"HTTP/1.1 {reply.status} X",
        f"Content-Length: {len(content)}",
        "Content-Type: application/json",
    ]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(_packed(reply))
    await writer.drain()


@contextmanager
def chat_server(reply: Callable[[int, dict[str, Any]], Reply], **settings: Any) -> Iterator[ChatServer]:
    """A server in a thread of its own, until the block ends."""
    server = ChatServer(reply, **settings)
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with await server.start():
            started.set()
            await stop.wait()
            conversations = asyncio.all_tasks() - {asyncio.current_task()}
            for conversation in conversations:
                conversation.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)
            await asyncio.sleep(0)  # the loop closes their connections in its next iteration

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    started.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def process(delay_s: float, text: str) -> Iterator[str]:
    """The address of a server in a process of its own that sends the same reply to every call."""
    command = [sys.executable, str(Path(__file__)), str(delay_s), text]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def _answer_all(connection: socket.socket, delay_s: float, reply: bytes) -> None:
    """Send the same reply to every call of one connection, a fixed time after the call."""
    with connection, connection.makefile("rb") as calls:
        while calls.readline():
            heads = dict(line.lower().split(b":", 1) for line in iter(calls.readline, b"\r\n"))
            calls.read(int(heads[b"content-length"]))
            time.sleep(delay_s)  # an event loop would round the delay up to milliseconds
            connection.sendall(reply)


def _serve_for_ever(delay_s: float, text: str) -> None:
    reply = _packed(completion(text))
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", flush=True)
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer_all, args=(connection, delay_s, reply), daemon=True).start()


if __name__ == "__main__":
    _serve_for_ever(float(sys.argv[1]), sys.argv[2])
