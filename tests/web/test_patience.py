"""Clients that do not do their part: their connections end, and little is kept for them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn of the extra serve is not installed")

from speech2face.web import patience  # noqa: E402
from speech2face.web.limits import ServerLimits  # noqa: E402
from speech2face.web.pieces import PIECE, Pieces  # noqa: E402
from speech2face.web.server import ServerSettings, _configured  # noqa: E402

LARGE = bytes(20_000_000)  # more than the buffers of a connection hold
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADER_SECONDS", "REST_SECONDS", "READING_SECONDS"):
        monkeypatch.setattr(patience, name, 0.4)


async def small(_: Any, __: Any, send: Any) -> None:
    """Answers at once, without a look at the body."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def large(_: Any, __: Any, send: Any) -> None:
    headers = [(b"content-length", str(len(LARGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": LARGE})


async def patient(_: Any, receive: Any, send: Any) -> None:
    """Answers after the whole body."""
    while (await receive()).get("more_body"):
        pass
    await small(None, None, send)


@contextmanager
def running(app: Any, connections: int = 64) -> Iterator[tuple[Any, tuple[str, int]]]:
    """A server in this process, with the settings of `speech2face serve`."""
    limits = ServerLimits(connections=connections)
    settings = ServerSettings("127.0.0.1", 0, 1, None, None, has_page=False, limits=limits)
    config = _configured(app, settings)
    config.lifespan = "off"
    found = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=found.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield found, listening.getsockname()
        finally:
            found.should_exit = True
            thread.join(30)


def until_closed(connection: socket.socket, drip: bytes, seconds: float = 20) -> bytes:
    """What is answered until the server closes, while the client goes on to send very little."""
    connection.settimeout(0.1)
    answer, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            part = connection.recv(65_536)
            if not part:
                return answer
            answer += part
        except TimeoutError:
            try:
                connection.sendall(drip)
            except OSError:
                return answer
        except ConnectionError:
            return answer
    raise AssertionError("the connection is still held")


@pytest.mark.parametrize(
    ("start", "drip"),
    [
        (GET, b"X: y\r\n"),  # a header without an end
        (GET + b"Content-Length: 9999\r\n\r\n", b"x"),  # the rest of what is answered already
        (GET + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (GET + b"\r\n" + GET, b"X: y\r\n"),  # the second header
    ],
)
def test_a_client_that_sends_very_slowly_is_left(start: bytes, drip: bytes) -> None:
    with running(small) as (_, address), socket.create_connection(address) as connection:
        connection.sendall(start)
        answer = until_closed(connection, drip)
    assert answer.startswith(b"HTTP/1.1 200") or start == GET


def test_a_body_that_is_read_may_take_longer_than_a_header() -> None:
    with running(patient) as (_, address), socket.create_connection(address) as connection:
        connection.sendall(GET + b"Content-Length: 12\r\n\r\n")
        for _ in range(12):  # three times the time for a header
            time.sleep(0.1)
            connection.sendall(b"x")
        connection.settimeout(10)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_read_is_left() -> None:
    with running(Pieces(large)) as (found, address):
        with socket.create_connection(address) as connection:
            connection.sendall(GET + b"\r\n")
            deadline = time.monotonic() + 20
            while not found.server_state.connections:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            (protocol,) = found.server_state.connections
            kept = 0
            while found.server_state.connections:
                kept = max(kept, protocol.transport.get_write_buffer_size())
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert 0 < kept <= 3 * PIECE


def test_a_client_that_reads_slowly_gets_all_of_it() -> None:
    with running(Pieces(large)) as (_, address), socket.create_connection(address) as connection:
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        n_read, is_slow = 0, time.monotonic() + 1.5  # longer than a client may stand still
        connection.settimeout(10)
        while part := connection.recv(65_536):
            n_read += len(part)
            if time.monotonic() < is_slow:
                time.sleep(0.02)
        assert n_read > len(LARGE)


def test_on_a_connection_too_many_there_is_503_with_a_time() -> None:
    with running(small, connections=2) as (_, address):
        others = [socket.create_connection(address) for _ in range(2)]
        time.sleep(0.1)
        with socket.create_connection(address) as connection:
            connection.sendall(GET + b"\r\n")
            answer = until_closed(connection, b"").lower()
        for other in others:
            other.close()
    assert answer.startswith(b"http/1.1 503 service unavailable")
    assert b"retry-after: 1\r\n" in answer and b"application/problem+json" in answer


def test_what_is_no_request_is_a_problem_and_logs_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A client that could log without end would fill a pipe that nobody reads."""
    with running(patient) as (_, address):
        for request in (b"nonsense\r\n\r\n", GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
            with socket.create_connection(address) as connection:
                connection.sendall(request)
                answer = until_closed(connection, b"")
            assert answer.startswith(b"HTTP/1.1 400 Bad Request")
            assert b"application/problem+json" in answer
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_are_the_whole(size: int) -> None:
    import asyncio

    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    said: list[dict[str, Any]] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def keep(message: dict[str, Any]) -> None:
        said.append(message)

    thread = threading.Thread(
        target=lambda: asyncio.run(Pieces(app)({"type": "http"}, None, keep))  # type: ignore[arg-type]
    )
    thread.start()
    thread.join()
    assert b"".join(one.get("body", b"") for one in said) == body
    assert [one.get("more_body", False) for one in said[1:]] == [True] * (len(said) - 2) + [False]
    assert max(len(one.get("body", b"")) for one in said) <= PIECE
