"""Headers of every answer: what a browser may do with it. A plain ASGI middleware."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from speech2face.web.problems import Problem
from speech2face.web.site import CONTENT_POLICY

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}
_BUG = Problem(500, "something went wrong in the server; please report it")
PRIVATE = ("cache-control", "no-store")  # what is made of a voice is kept by nobody


class SecurityHeaders:
    """Adds the headers to what another application answers, and tells `count` its status.

    An exception that leaves that application is a bug: it is answered with 500, and passed on to
    be logged.
    """

    def __init__(
        self, app: Application, count: Callable[[str, int], None], policy: str = CONTENT_POLICY
    ) -> None:
        self.app, self.count = app, count
        self.policy = ("content-security-policy", f"{policy}; frame-ancestors 'none'")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self.count(scope["path"], message["status"])
                given = {name.decode().lower() for name, _ in message["headers"]}
                added = [self.policy, *HEADERS.items()] + (
                    [] if "cache-control" in given else [PRIVATE]
                )
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in added),
                ]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            if not has_begun:
                start = {"type": "http.response.start", "status": _BUG.status}
                await send_with_headers({**start, "headers": _BUG.all_headers})
                await send_with_headers({"type": "http.response.body", "body": _BUG.body})
            raise
