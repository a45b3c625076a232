"""What the server answers when it cannot do something: RFC 9457, in the command line's words."""

import json
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is not the wanted one; with `closes` it is the last one of a connection."""

    def __init__(
        self, status: int, detail: str, *, retry_after: int | None = None, closes: bool = False
    ) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after
        self.closes = closes

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer beside those of every answer."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return found | ({"Connection": "close"} if self.closes else {})

    @property
    def title(self) -> str:
        """The name of the status."""
        return HTTPStatus(self.status).phrase

    @property
    def content(self) -> dict[str, Any]:
        """The members of RFC 9457; `detail` is what is wrong and what to do."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }

    @property
    def body(self) -> bytes:
        """The same as JSON, for answers that no application gives."""
        return json.dumps(self.content).encode()

    @property
    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of such an answer, as ASGI has them."""
        named = {**self.headers, "Content-Type": MEDIA_TYPE, "Content-Length": str(len(self.body))}
        return [(name.lower().encode(), value.encode()) for name, value in named.items()]
