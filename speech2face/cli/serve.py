"""`speech2face serve`: the page and an interface for programs, on an address of this machine."""

import argparse
import math
import sys
from typing import Any

from speech2face.cli.arguments import count, file_name, positive_count
from speech2face.cli.parser import add_model

MAX_WORKERS = 256  # processes, each with a model of its own in memory

DESCRIPTION = """\
Serve the web page and an interface for programs.

POST /v1/faces takes a recording and answers with a face; GET /openapi.json describes everything.
Without --host only this machine can reach the server. The page is that of `speech2face
web-export` and makes its faces in the browser. What is sent to /v1/faces stays in memory and is
not kept.
"""
EPILOG = """\
examples:
  speech2face serve
  curl --data-binary @voice.m4a -H 'Content-Type: audio/mp4' -H 'Accept: image/png' \\
      http://127.0.0.1:8000/v1/faces > face.png
  curl -F voice=@voice.m4a 'http://127.0.0.1:8000/v1/faces?exaggeration=0.7&draws=4'

A recording that cannot be used is answered with status 422 and the words of `speech2face
reconstruct`; too many requests at once are answered with 503 and the header Retry-After. After
Ctrl-C or SIGTERM, the requests that have begun are still answered, and then the server ends.
"""


def add_parser(subparsers: Any) -> None:
    """Add `serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="serve the web page, and faces for programs",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        type=file_name,
        metavar="H",
        help="address (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        default=8000,
        type=_port,
        metavar="P",
        help="port; 0 takes any free one (default: 8000)",
    )
    parser.add_argument(
        "--workers", default=1, type=_workers, metavar="N", help="processes (default: 1)"
    )
    parser.add_argument(
        "--waiting",
        default=16,
        type=count,
        metavar="N",
        help="requests that may wait in each process; further ones are refused (default: 16)",
    )
    parser.add_argument(
        "--megabytes",
        default=32,
        type=positive_count,
        metavar="N",
        help="size of the largest request in MiB (default: 32)",
    )
    parser.add_argument(
        "--seconds",
        default=60,
        type=_seconds,
        metavar="S",
        help="seconds that one face may take, waiting included (default: 60)",
    )
    add_model(parser)
    parser.add_argument("--no-page", action="store_true", help="serve no page")
    parser.add_argument(
        "--packages", type=file_name, metavar="DIR", help="folder of the page's npm archives"
    )
    parser.set_defaults(run=run, has_result=False)


def run(arguments: argparse.Namespace) -> int:
    """Serve until the process is told to stop."""
    from speech2face.web.limits import ServerLimits
    from speech2face.web.server import ServerSettings, serve

    limits = ServerLimits(
        body_bytes=arguments.megabytes * 2**20,
        waiting=arguments.waiting,
        face_seconds=arguments.seconds,
    )
    settings = ServerSettings(
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        model=arguments.model,
        packages=arguments.packages,
        has_page=not arguments.no_page,
        limits=limits,
    )
    serve(settings, lambda line: print(line, file=sys.stderr, flush=True))
    return 0


def _port(text: str) -> int:
    port = count(text)
    if port > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; choose 0 to 65535")
    return port


def _workers(text: str) -> int:
    workers = positive_count(text)
    if workers > MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text} processes are too many; at most {MAX_WORKERS}")
    return workers


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 3600:  # NaN is not either
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return seconds
