"""A video site on this machine that misbehaves in every way that the tests of fetching need."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZE = 60_000  # bytes of each video
REFUSALS = {
    "gone": (404, "Not Found"),
    "erased": (410, "Gone"),
    "private": (401, "Unauthorized"),
    "law": (451, "Unavailable For Legal Reasons"),
    "bots": (403, "Sign in to confirm you are not a bot"),
    "broken": (500, "Internal Server Error"),
    "busy": (429, "Too Many Requests"),
}


def content_of(video: str) -> bytes:
    """What a good video consists of; nothing here decodes it."""
    return (video.encode() + b" ") * (SIZE // (len(video) + 1))


class Site(ThreadingHTTPServer):
    """Each video is named after how it behaves, such as `gone-1`; other names are good ones.

    Attributes:
        asked: number of requests by id.
        refusing: number of requests for each `busy` video that are refused, before it is given.
        cookies: that came with each request.
        delay: seconds before a good video is sent.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.cookies: list[str] = []
        self.refusing, self.delay = 1, 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{{id}}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that were killed are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        video = self.path.strip("/")
        kind = video.partition("-")[0]
        self.server.asked[video] += 1
        self.server.cookies.append(self.headers.get("Cookie", ""))
        if kind == "busy" and self.server.asked[video] > self.server.refusing:
            kind = "good"
        if kind in REFUSALS:
            self.send_error(*REFUSALS[kind])
        elif kind == "drop":
            self.connection.close()
        elif kind == "hang":
            time.sleep(20)
        elif kind == "page":
            self._send("text/html", b"<html><body>Nothing to see</body></html>")
        elif kind == "empty":
            self._send("video/mp4", b"")
        else:
            time.sleep(self.server.delay)
            content = content_of(video)
            self._send("video/mp4", content[:700] if kind == "cut" else content, len(content))

    def _send(self, kind: str, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silence."""


@contextmanager
def running() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
