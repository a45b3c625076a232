"""Uvicorn's connections, given up when the client does not do its part in time.

Uvicorn waits without end for the first lines of a request, for the rest of a request that was
answered before it was complete, and for a client that does not read its answer. So a few clients
could hold every connection. The time for a body that is wanted is in `uploads.py`.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from speech2face.web.problems import Problem

HEADER_SECONDS = 10.0  # for the first lines of a request
REST_SECONDS = 20.0  # for the rest of a request that is answered already; it is not looked at
READING_SECONDS = 10.0  # in which a client has to take at least `READ_BYTES` of its answer
READ_BYTES = 32_768


class PatientProtocol(H11Protocol):
    """Closes a connection on which the client has begun something that it does not go on with."""

    _giving_up: asyncio.TimerHandle | None = None
    _watching: asyncio.TimerHandle | None = None
    _unread = 0  # bytes of answers that the client had not taken when it was looked at last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            self.app = _too_many
        self.limit_concurrency = None  # uvicorn's own answer is neither a problem nor has a time
        self._wait(HEADER_SECONDS)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop waiting when all is there; further bytes of it do not prolong the time."""
        super().data_received(data)
        if self._is_owed_a_request:
            if self._giving_up is None:
                self._wait(HEADER_SECONDS)
        elif not self._is_owed_a_rest:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the rest of a request that has its answer."""
        super().on_response_complete()
        if self._is_owed_a_rest:
            self._wait(REST_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request with a problem, unless an answer has begun."""
        if self.cycle is not None:  # what is still made for this client has nobody to go to
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_written(self.conn, _NO_REQUEST))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        if self._watching is not None:
            self._watching.cancel()
        super().connection_lost(exc)

    @property
    def _is_owed_a_request(self) -> bool:
        return self.conn.their_state is h11.IDLE

    @property
    def _is_owed_a_rest(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._giving_up = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def resume_writing(self) -> None:
        """The client has read: what is written next is another answer, or another piece of it."""
        self._unread = 0
        super().resume_writing()

    def _watch(self) -> None:
        """Look from time to time whether the client takes what is sent to it."""
        unread = self.transport.get_write_buffer_size()
        if self._unread and unread > max(0, self._unread - READ_BYTES):
            self.transport.abort()  # `close` would wait until the client has read
            return
        self._unread = unread
        self._watching = self.loop.call_later(READING_SECONDS, self._watch)


_NO_ROOM = Problem(
    503, "too many connections are open; try again later", retry_after=1, closes=True
)
_NO_REQUEST = Problem(400, "this is no HTTP request that can be read; send it again", closes=True)


async def _too_many(_: Any, __: Any, send: Any) -> None:
    """The application on a connection beyond the limit."""
    start = {"type": "http.response.start", "status": _NO_ROOM.status}
    await send({**start, "headers": _NO_ROOM.all_headers})
    await send({"type": "http.response.body", "body": _NO_ROOM.body})


def _written(connection: h11.Connection, found: Problem) -> bytes:
    """The bytes of an answer that no application gives."""
    head = h11.Response(
        status_code=found.status, headers=found.all_headers, reason=found.title.encode()
    )
    events = (head, h11.Data(data=found.body), h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)
