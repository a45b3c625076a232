"""How much of all requests together a process holds in memory. A plain ASGI middleware.

A request is held from its first byte until it is answered, so that many large ones at once, each
within its own limit, would fill the memory before the queue is full.
"""

from speech2face.web.headers import Application, Message, Receive, Send
from speech2face.web.problems import Problem


class Intake:
    """Sends a request away if what is held would become too much with it."""

    def __init__(self, app: Application, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes
        self.n_bytes = 0  # that are held

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        held = 0

        async def receive_within() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if self.n_bytes + size > self.max_bytes:
                raise Problem(503, "too many voices arrive; try again later", retry_after=5)
            held += size
            self.n_bytes += size
            return message

        try:
            await self.app(scope, receive_within, send)
        finally:
            self.n_bytes -= held
