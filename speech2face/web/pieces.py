"""Answers in pieces, each handed over when the client has read most of the one before.

Uvicorn keeps whatever it is given until it is sent, so that a client which does not read would keep
a whole file of the page in memory, once for each of its connections. A plain ASGI middleware.
"""

from speech2face.web.headers import Application, Message, Receive, Send

PIECE = 65_536  # bytes


class Pieces:
    """Cuts what another application answers."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_in_pieces(message: Message) -> None:
            body = message.get("body", b"")
            last = max(0, len(body) - 1) // PIECE * PIECE  # where the last piece begins
            for start in range(0, last, PIECE):
                piece = body[start : start + PIECE]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({**message, "body": body[last:]} if last else message)

        await self.app(scope, receive, send_in_pieces)
