"""Requests to an application without a server, by the interface ASGI alone."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from typing import Any

from web.serving import Answer

BOUNDARY = "a-line-that-no-file-holds"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def asked_directly(
    app: Any, path: str, body: bytes = b"", *, method: str = "POST", **headers: str
) -> Answer:
    """What an application answers; underscores of header names become hyphens."""
    # In a thread of its own: Playwright keeps an event loop running in the thread of the tests.
    with ThreadPoolExecutor(1) as own_thread:
        asking = said_by(app, path, body, method=method, **headers)
        return answer_of(own_thread.submit(asyncio.run, asking).result())


async def said_by(
    app: Any, path: str, body: bytes | None = b"", *, method: str = "POST", **headers: str
) -> list[dict[str, Any]]:
    """The messages of an answer; a body that is None never comes."""
    named = [(b"host", b"localhost")] + [
        (name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()
    ]
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": f"/{path}",
        "query_string": query.encode(),
        "headers": named,
    }
    given = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return given.pop() if given else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said


def answer_of(said: Sequence[dict[str, Any]]) -> Answer:
    """The messages of an answer as one."""
    answered = Message()
    for name, value in said[0]["headers"]:
        answered[name.decode()] = value.decode()
    content = b"".join(one.get("body", b"") for one in said[1:])
    return Answer(said[0]["status"], answered, content)


def form_of_files(files: Sequence[tuple[str, bytes]]) -> bytes:
    """A form with files, each under the name of its field."""
    body = b""
    for name, content in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="x"'
        body += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()
