"""Runs an XAB experiment on this machine: one process, one folder, nobody else can reach it."""

from collections.abc import Callable
from pathlib import Path

from speech2face.files import make_folder, only_writer
from speech2face.web.limits import ServerLimits
from speech2face.web.server import LOCAL_NAMES, ServerSettings, require_serve, serve_app
from speech2face.xab.experiment import open_experiment


def run_experiment(folder: Path, port: int, tell: Callable[[str], None]) -> None:
    """Serve the page of an experiment until the process is told to stop.

    Args:
        folder: of the experiment.
        port: 0 is any that is free.
        tell: called with the address.

    Raises:
        Speech2FaceError: the experiment cannot be used, another process runs it, or the address
            cannot be used.
    """
    require_serve()
    from speech2face.web.xab_api import LIMITS, create_xab_app

    experiment = open_experiment(folder)
    make_folder(experiment.answers)
    with only_writer(experiment.answers):
        serve_app(create_xab_app(experiment, LOCAL_NAMES), _settings(port, LIMITS), tell)


def _settings(port: int, limits: ServerLimits) -> ServerSettings:
    return ServerSettings("127.0.0.1", port, 1, None, None, has_page=True, limits=limits)
