"""The HTTP client against real sockets: whole bodies, broken ones, late ones, proxies of the environment."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from imug_tts.backbones.http import HttpClient, HttpFailure, Late, Unreached


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
    [10 * [b""], [OK + b"Content-Length: 100\r\n\r\n", *10 * [b"."]]],
    ids=["no answer", "no end"],
)
def test_what_takes_too_long_is_late(pieces: Sequence[bytes]) -> None:
    with saying(*pieces, pause_s=0.1) as (url, _), pytest.raises(Late):
        HttpClient(timeout_s=0.5, proxies=False).send("GET", url)


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
