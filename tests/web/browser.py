"""A real Chromium for the tests of the page, and what listens around it."""

import base64
import functools
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech2face.web.npm_packages import PACKAGES, NpmPackage, cache_folder, files_of

AXE = NpmPackage(
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "MPL-2.0",
    {"axe.min.js": "axe.js"},
)
CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT = 60_000  # ms: a shared machine may be slow


class _Files(http.server.SimpleHTTPRequestHandler):
    keeps_seconds = 0

    def log_message(self, *_: Any) -> None:
        pass

    def end_headers(self) -> None:
        if self.keeps_seconds:
            self.send_header("Cache-Control", f"max-age={self.keeps_seconds}")
        super().end_headers()


@contextmanager
def file_server(folder: Path, keeps_seconds: int = 0) -> Iterator[str]:
    """Address of a plain host of files, which browsers may keep so long; it ends with the block."""
    kind = type("_Kept", (_Files,), {"keeps_seconds": keeps_seconds})
    handler = functools.partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


# What Chromium itself asks for, with an empty page as well: its accounts, and its updates, which
# version 156 looks for two seconds and again a minute after its start in spite of the flags above.
BROWSERS_OWN = (
    "CONNECT accounts.google.com:443",
    "CONNECT android.clients.google.com:443",
    "CONNECT update.googleapis.com:443",
    "POST http://update.googleapis.com/service/update2/json?",
)


class Listener:
    """Stands where a proxy is expected and notes the first line of all that wants to go outside."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection:
                line = connection.recv(4096).split(b"\r\n")[0].decode(errors="replace")
            if line == "stop":
                return
            if line and not line.startswith(BROWSERS_OWN):
                self.heard.append(line)

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self.thread.join()
        self.socket.close()


def skip_unless_kept(package: NpmPackage) -> None:
    """Skip a test that needs an npm package that is not in the cache: tests fetch nothing."""
    if not (cache_folder() / package.archive_name).is_file():
        pytest.skip(f"{package.name} is not kept here: python tests/web/browser.py fetches it")


def opened(page: Any, address: str) -> Any:
    """The page, once the model is loaded."""
    page.set_default_timeout(WAIT)
    page.goto(address, timeout=WAIT)
    page.wait_for_selector("body[data-loaded]")
    return page


def settled(page: Any) -> None:
    """Wait until a face stands."""
    page.wait_for_selector("body[data-state=settled]")


def face_shown(page: Any) -> np.ndarray:
    """Pixels `[224, 224, 3]` of the large face."""
    script = """() => {
      const canvas = document.getElementById("picture");
      const { data } = canvas.getContext("2d").getImageData(0, 0, 224, 224);
      return btoa(Array.from(data, (value) => String.fromCharCode(value)).join(""));
    }"""
    return pixels_of(page.evaluate(script))


def pixels_of(encoded: str) -> np.ndarray:
    """`[224, 224, 3]` integers of base64 of RGBA bytes."""
    data = np.frombuffer(base64.b64decode(encoded), np.uint8)
    return data.reshape(224, 224, 4)[..., :3].astype(int)


def floats_for(page_argument: np.ndarray) -> str:
    """Samples as base64, as an argument of a script."""
    return base64.b64encode(page_argument.astype("<f4").tobytes()).decode()


if __name__ == "__main__":  # fetch what the tests of the page need; they themselves fetch nothing
    for needed in (*PACKAGES, AXE):
        files_of(needed)
