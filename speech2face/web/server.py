"""Runs the application: in this process, or in several under a supervisor. The door to uvicorn."""

import ipaddress
import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech2face import load_model
from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.web.limits import ServerLimits

if TYPE_CHECKING:
    from fastapi import FastAPI

SETTINGS = "SPEECH2FACE_SERVER"  # environment variable that tells worker processes their settings
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class ServerSettings:
    """What `speech2face serve` was asked for."""

    host: str
    port: int  # 0: any that is free
    workers: int
    model: str | None
    packages: str | None  # folder of the page's npm archives
    has_page: bool
    limits: ServerLimits

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def serve(settings: ServerSettings, tell: Callable[[str], None]) -> None:
    """Serve until the process is told to stop; what is under way is done first.

    Args:
        settings: what is served, and where.
        tell: called with lines for whoever started it, the address first.

    Raises:
        Speech2FaceError: the extra is not installed, the model or the page cannot be had, or the
            address cannot be used.
    """
    require_serve()
    # Built before an address is taken: what cannot be served is said at once.
    serve_app(build(settings), settings, tell)


def require_serve() -> None:
    """Raise unless the packages that a server needs are installed."""
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as missing:
        raise missing_extra(str(missing.name), "serve") from missing


def serve_app(app: "FastAPI", settings: ServerSettings, tell: Callable[[str], None]) -> None:
    """Serve an application, as `serve` does; several workers build theirs by the settings."""
    import uvicorn

    from speech2face.web.supervisor import Supervisor

    with _listening(settings) as listening:
        tell(_address(settings, listening))
        if not settings.is_local:
            tell("everybody who can reach this address can use it")
        if settings.workers == 1:
            uvicorn.Server(_configured(app, settings)).run(sockets=[listening])
            return
        os.environ[SETTINGS] = json.dumps(asdict(settings))
        config = _configured("speech2face.web.server:of_environment", settings)
        Supervisor(config, sockets=[listening]).run()


def build(settings: ServerSettings) -> "FastAPI":
    """The application of these settings."""
    from speech2face.inference.matcher import matcher_of
    from speech2face.web.api import create_app
    from speech2face.web.site import site_files

    # Several processes share the processors; one alone may use two for a face.
    pipeline = load_model(settings.model, threads=None if settings.workers == 1 else 1)
    packages = None if settings.packages is None else Path(settings.packages)
    site = site_files(settings.model, packages) if settings.has_page else None
    hosts = (*LOCAL_NAMES, settings.host) if settings.is_local else ("*",)
    open_matcher = partial(matcher_of, pipeline, settings.model)
    return create_app(pipeline, settings.limits, site, hosts, open_matcher)


def of_environment() -> "FastAPI":
    """The application of a worker process, by the settings that the supervisor left it."""
    from speech2face.web.supervisor import end_with_supervisor

    end_with_supervisor()
    given = json.loads(os.environ[SETTINGS])
    return build(ServerSettings(**{**given, "limits": ServerLimits(**given["limits"])}))


def _configured(app: Any, settings: ServerSettings) -> Any:
    import uvicorn

    from speech2face.web.patience import PatientProtocol

    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        # What a client can cause is not logged: it could fill a pipe that nobody reads, and the
        # next line would stop the server.
        log_level="error",
        access_log=False,  # who asked is nobody's business
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.limits.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=round(settings.limits.grace_seconds),
    )


def _listening(settings: ServerSettings) -> socket.socket:
    """A socket on the address."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        settings.host.encode("idna")  # which `create_server` would refuse with a socket left open
        return socket.create_server(
            (settings.host, settings.port), family=family, backlog=settings.limits.connections
        )
    except (OSError, ValueError) as refused:  # ValueError: what cannot be the name of a host
        reason = (getattr(refused, "strerror", None) or str(refused)).lower()
        problem = f"cannot listen on {settings.host}, port {settings.port} ({reason})"
        raise Speech2FaceError(problem, "choose another --port or --host") from refused


def _address(settings: ServerSettings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}/"
