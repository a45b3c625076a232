"""Answers HEAD as GET without a body, on every route: monitors and `curl -I` ask in this way."""

from speech2face.web.headers import Application, Message, Receive, Send


class HeadAsGet:
    """Passes HEAD on as GET; the server leaves the body of the answer out. Plain ASGI."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if is_head else scope, receive, send)
