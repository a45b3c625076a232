"""Headers of every answer: what a browser may do with it. A plain ASGI middleware."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

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
PRIVATE = ("cache-control", "no-store")  # what is made of a voice is kept by nobody


class SecurityHeaders:
    """Adds the headers to what another application answers, and tells `count` its status."""

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

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
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

        await self.app(scope, receive, send_with_headers)
