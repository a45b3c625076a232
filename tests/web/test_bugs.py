"""A bug in the server is one answer with the headers of every answer, counted as any other."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from media import EXAMPLES

import speech2face
from speech2face.web import api
from speech2face.web.headers import SecurityHeaders
from speech2face.web.limits import ServerLimits

pytest.importorskip("fastapi", reason="fastapi of the extra serve is not installed")


def test_a_bug_after_an_answer_has_begun_adds_nothing_to_it() -> None:
    said: list[dict[str, Any]] = []

    async def broken(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("in the middle")

    async def send(message: Any) -> None:
        said.append(message)

    async def play() -> None:
        with pytest.raises(RuntimeError):
            scope = {"type": "http", "path": "/"}
            await SecurityHeaders(broken, lambda *_: None)(scope, send, send)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as own_thread:
        own_thread.submit(asyncio.run, play()).result()
    assert [message.get("status") for message in said] == [200]


def test_a_bug_is_a_problem_with_the_headers_of_every_answer(
    stand_in_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(api, "_face_answer", broken)
    app = api.create_app(speech2face.load_model(stand_in_model), ServerLimits())
    said: list[dict[str, Any]] = []

    async def ask(method: str, path: str, body: bytes = b"") -> None:
        scope = {"type": "http", "method": method, "path": path, "query_string": b""}
        headers = [(b"host", b"localhost"), (b"content-type", b"audio/ogg")]
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return given.pop() if given else await asyncio.Future()

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        await app({**scope, "headers": headers}, receive, send)

    async def play() -> None:
        with pytest.raises(RuntimeError):  # passed on, so that the server logs it
            await ask("POST", "/v1/faces", (EXAMPLES / "slt.ogg").read_bytes())
        await ask("GET", "/metrics")

    with ThreadPoolExecutor(1) as own_thread:
        own_thread.submit(asyncio.run, play()).result()
    start, body, _, metrics = said
    headers = dict(start["headers"])
    assert start["status"] == 500
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"content-security-policy" in headers
    assert b"secret" not in body["body"] and b"please report it" in body["body"]
    assert b'path="/v1/faces",status="500"' in metrics["body"]
