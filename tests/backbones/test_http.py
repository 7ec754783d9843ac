"""The HTTP client against real sockets: whole bodies, broken ones, late ones, proxies of the environment."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from imug_tts.backbones.http import HttpClient, HttpFailure, Late, Unreached
from imug_tts.contracts import BackboneError


@contextmanager
def saying(
    *pieces: bytes, pause_s: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """A server that says the pieces to whoever asks, and hangs up; with what it was asked."""
    asked: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if tls is not None:
                try:
                    connection = tls.wrap_socket(connection, server_side=True)
                except OSError:  # the client does not trust it
                    connection.close()
                    continue
            with connection:
                asked.append(connection.recv(1 << 16))
                for piece in pieces:
                    try:
                        connection.sendall(piece)
                    except OSError:
                        break
                    time.sleep(pause_s)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}", asked
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [OK + b"Content-Length: 6\r\n\r\n", b"a s", b"tar"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\na s\r\n3\r\n", b"tar\r\n0\r\n\r\n"],
        [OK + b"\r\n", b"a s", b"tar"],
    ],
    ids=["length", "chunks", "until the end"],
)
def test_a_body_is_read_to_its_end_however_it_is_sent(pieces: Sequence[bytes]) -> None:
    with saying(*pieces, pause_s=0.05) as (url, _):
        response = HttpClient(timeout_s=5, proxies=False).send("GET", url)
    assert (response.status, response.body) == (200, b"a star")


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"HTTP/1.1 2"],
        [OK + b"Content-Length: 6\r\n\r\na s"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\na s\r\n3\r\nt"],
        [b"\0\0\0\0"],
    ],
    ids=["nothing", "half a status", "half a body", "half a chunk", "no HTTP"],
)
def test_half_a_response_is_a_failure_and_no_answer(pieces: Sequence[bytes]) -> None:
    with saying(*pieces) as (url, asked), pytest.raises(HttpFailure) as caught:
        HttpClient(timeout_s=5, proxies=False).send("POST", url, body=b"draw")
    assert not isinstance(caught.value, Unreached | Late)
    assert len(asked) == 1, "nothing is sent twice"


@pytest.mark.parametrize(
    "pieces",
    [
        10 * [b""],
        [OK + b"Content-Length: 100\r\n\r\n", *10 * [b"."]],
        [OK, *10 * [b"X-More: 1\r\n"]],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n", *10 * [b"0"]],
    ],
    ids=["no answer", "no end", "no end of the head", "no end of a chunk's size"],
)
def test_what_takes_too_long_is_late_however_often_something_comes(pieces: Sequence[bytes]) -> None:
    with saying(*pieces, pause_s=0.1) as (url, _):
        started = time.monotonic()
        with pytest.raises(Late):
            HttpClient(timeout_s=0.5, proxies=False).send("GET", url)
        assert time.monotonic() - started < 0.8


@contextmanager
def silent(backlog: int = 64) -> Iterator[str]:
    """A server that accepts nobody, and reads nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_does_not_read_is_late() -> None:
    pieces, headers = 8 * [b"x" * (1 << 20)], {"Content-Length": str(8 << 20)}
    client = HttpClient(timeout_s=0.5, proxies=False)
    started = time.monotonic()
    with silent() as address, pytest.raises(Late):
        client.send("POST", f"http://{address}", body=pieces, headers=headers)
    assert time.monotonic() - started < 1


def test_a_body_that_is_compressed_and_says_so_is_decompressed() -> None:
    for encoding, packed in (("gzip", gzip.compress(b"a star")), ("deflate", zlib.compress(b"a star"))):
        head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
        with saying(OK + head, packed) as (url, _):
            assert HttpClient(timeout_s=5, proxies=False).send("GET", url).body == b"a star"
    with (
        saying(OK + b"Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\na star") as (url, _),
        pytest.raises(HttpFailure, match="gzip"),
    ):
        HttpClient(timeout_s=5, proxies=False).send("GET", url)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"307 -\r\nContent-Length: 0\r\n\r\n", "HTTP status 307: nothing; it redirects to nowhere"),
        (b"307 -\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", "it redirects to /b, which is not followed"),
        (b"500 -\r\nContent-Length: 4\r\n\r\nlost", "HTTP status 500: 'lost'"),
        (b"500 -\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\0", "HTTP status 500: gzip data of 4 bytes"),
    ],
)
def test_a_response_that_is_no_answer_is_described_in_words(said: bytes, words: str) -> None:
    with saying(b"HTTP/1.1 " + said) as (url, asked):
        assert words in HttpClient(timeout_s=5, proxies=False).send("GET", url).problem
    assert len(asked) == 1


def interrupted_after(seconds: float, client: HttpClient, url: str) -> float:
    """Seconds from an interrupt to the end of the last of eight calls."""

    def call() -> None:
        with pytest.raises(BackboneError, match="interrupted"):
            client.send("GET", url)

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(call) for _ in range(8)]
        time.sleep(seconds)
        assert not any(call.done() for call in calls)
        started = time.monotonic()
        client.interrupt()
        for made in calls:
            made.result()
        call()
    return time.monotonic() - started


def test_an_interrupt_ends_calls_whatever_they_wait_for(tls: ssl.SSLContext) -> None:
    half = [OK + b"Content-Length: 9\r\n\r\n"]
    with silent() as address, saying(*half, pause_s=1) as (url, _):
        for waiting_for in (f"http://{address}", f"https://{address}", url):
            client = HttpClient(timeout_s=600, proxies=False)
            assert interrupted_after(0.3, client, waiting_for) < 0.5


def test_an_interrupt_ends_calls_that_get_no_connection() -> None:
    with silent(backlog=0) as address:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port))):  # nobody else fits in
            client = HttpClient(timeout_s=600, proxies=False)
            assert interrupted_after(0.3, client, f"http://{address}") < 2


def test_a_connection_is_kept_for_a_moment_and_no_longer() -> None:
    accepted = 0

    def serve(listening: socket.socket) -> None:
        nonlocal accepted
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                accepted += 1
                threading.Thread(target=answer, args=(connection,)).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(1 << 16):
                connection.sendall(OK + b"Content-Length: 2\r\n\r\nok")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        client = HttpClient(timeout_s=5, proxies=False)
        for pause_s, connections in ((0, 1), (0, 1), (2.5, 2)):
            time.sleep(pause_s)
            assert client.send("GET", f"http://127.0.0.1:{listening.getsockname()[1]}").body == b"ok"
            assert accepted == connections
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_nobody_there_is_not_reached() -> None:
    with saying() as (url, _):
        pass
    with pytest.raises(Unreached, match="refused"):
        HttpClient(timeout_s=5, proxies=False).send("GET", url)


def test_a_redirect_is_not_followed() -> None:
    with saying(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n") as (url, asked):
        assert HttpClient(timeout_s=5, proxies=False).send("GET", url).status == 302
    assert len(asked) == 1


def test_a_proxy_of_the_environment_is_used_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with saying(OK + b"Content-Length: 2\r\n\r\nok") as (url, asked):
        monkeypatch.setenv("http_proxy", url.replace("//", "//me:secret@"))
        monkeypatch.setenv("no_proxy", "near.example")
        proxied = HttpClient(timeout_s=5, proxies=True)
        assert proxied.send("GET", "http://far.example/v1/models").body == b"ok"
        with pytest.raises(Unreached):
            proxied.send("GET", "http://near.example/")
        with pytest.raises(Unreached):
            HttpClient(timeout_s=5, proxies=False).send("GET", "http://far.example/")
    [request] = asked
    assert request.startswith(b"GET http://far.example/v1/models HTTP/1.1\r\n")
    assert b"proxy-authorization: basic bwu6c2vjcmv0" in request.lower()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The context of a server whose certificate is trusted by way of the environment."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


SAYS_OK = OK + b"Content-Length: 2\r\n\r\nok"


def test_a_trusted_server_is_called_over_tls(tls: ssl.SSLContext) -> None:
    with saying(SAYS_OK, tls=tls) as (url, asked):
        assert HttpClient(timeout_s=5, proxies=False).send("GET", f"{url}/v1").body == b"ok"
    assert asked[0].startswith(b"GET /v1 HTTP/1.1\r\n")


def test_a_server_that_nobody_vouches_for_gets_no_call(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        saying(SAYS_OK, tls=tls) as (url, asked),
        pytest.raises(Unreached, match="certificate verify failed"),
    ):
        HttpClient(timeout_s=5, proxies=False).send("GET", url)
    assert not asked


@contextmanager
def tunnelling() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that opens one tunnel; with the head of the request for it."""
    heads: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def pipe(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        client, _ = listening.accept()
        heads.append(client.recv(1 << 16))
        host, _, port = heads[0].split()[1].decode().partition(":")
        with client, socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pipe, args=(server, client))
            back.start()
            pipe(client, server)
            back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://me:secret@127.0.0.1:{listening.getsockname()[1]}", heads
    finally:
        thread.join()
        listening.close()


def test_tls_goes_through_a_tunnel_that_alone_sees_the_proxys_password(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with saying(SAYS_OK, tls=tls) as (url, asked), tunnelling() as (proxy, heads):
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        client = HttpClient(timeout_s=5, proxies=True)
        assert client.send("GET", url).body == b"ok"
        del client  # hangs up
    assert heads[0].startswith(f"CONNECT {urlsplit(url).netloc} HTTP/1.".encode())
    assert b"Basic bWU6c2VjcmV0" in heads[0]
    assert b"Basic" not in asked[0]
