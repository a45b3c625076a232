"""The server as a process of its own, and requests to it."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Status, headers and content."""

    status: int
    headers: Message
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def asked(
    address: str,
    path: str,
    body: bytes | None = None,
    timeout: float = 120,
    method: str | None = None,
    **headers: str,
) -> Answer:
    """What the server answers; underscores of header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address + path, data=body, headers=named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.headers, refused.read())


@contextmanager
def server(*options: str | Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address (with the last slash) and process of a server on a free port."""
    with _serving("readyz", "serve", *options) as found:
        yield found


@contextmanager
def xab_server(experiment: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The same of `speech2face xab run`."""
    with _serving("v1/consent", "xab", "run", experiment) as found:
        yield found


@contextmanager
def _serving(ready: str, *words: str | Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A command that serves; `ready` is a path that it answers as soon as it can."""
    command = [sys.executable, "-m", "speech2face", *map(str, words), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = process.stderr.readline().strip()
        assert address.startswith("http://"), address + process.stderr.read()
        _wait_until_ready(address, ready)
        yield address, process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _wait_until_ready(address: str, ready: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if asked(address, ready, timeout=5).status == 200:
                return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not become ready")
