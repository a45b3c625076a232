"""Tasks on a cluster, by Ray; the only file that opens Ray.

Plain Ray tasks are used. Ray Data's pools of actors never end when an item crashes its worker
(ray-project/ray, issue 62746).
"""

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.runners.contract import S, T

LOCAL = "127.0.0.1"
CONNECTION_SECONDS = 10.0  # until a port counts as closed


def run(
    do: Callable[[T], S],
    tasks: Iterable[T],
    again: Callable[[T], T],
    *,
    address: str | None = None,
    workers: int | None = None,
) -> Iterator[tuple[T, S]]:
    """A `Runner` on a cluster. All its machines need this package and see the same files.

    Args:
        address: of the cluster, as Ray takes it. Without one, a cluster is started on this
            machine for the time of the run.
        workers: tasks at a time; as many as the cluster has processors unless given.

    Raises:
        Speech2FaceError: Ray is not installed, or there is no such cluster.
    """
    ray = load_ray()
    _connect(ray, address, workers)
    try:
        at_a_time = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        yield from _run(ray, do, tasks, again, at_a_time)
    finally:
        ray.shutdown()


def _run(
    ray: ModuleType,
    do: Callable[[T], S],
    tasks: Iterable[T],
    again: Callable[[T], T],
    at_a_time: int,
) -> Iterator[tuple[T, S]]:
    died = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ObjectLostError,
    )
    remote = ray.remote(num_cpus=1, max_retries=0)(_do)  # the caller decides what is tried again
    sent = ray.put(do)
    waiting = iter(tasks)
    running: dict[Any, T] = {}
    while True:
        while len(running) < at_a_time and (task := next(waiting, None)) is not None:
            running[remote.remote(sent, task)] = task
        if not running:
            return
        (done,), _ = ray.wait(list(running), num_returns=1)
        task = running.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayTaskError as raised:
            raise raised.cause from raised
        except died:
            task = again(task)
            running[remote.remote(sent, task)] = task
            continue
        yield task, result


def _do(do: Callable[[Any], Any], task: Any) -> Any:
    return do(task)


def _connect(ray: ModuleType, address: str | None, workers: int | None) -> None:
    if address is not None:
        _refuse_closed_port(address)
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            here = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
            ray.init(num_cpus=workers, _node_ip_address=LOCAL, runtime_env=here, **quiet)
        else:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as refused:  # Ray raises this very class when a cluster does not start in time
        raise _unreachable(address, refused) from refused


def _refuse_closed_port(address: str) -> None:
    """Ray itself tries for minutes to reach a port where nobody listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return  # a word such as "auto", which Ray understands
    try:
        socket.create_connection((host, int(port)), timeout=CONNECTION_SECONDS).close()
    except (OSError, OverflowError) as refused:
        raise _unreachable(address, refused) from refused


def _unreachable(address: str | None, reason: Exception) -> Speech2FaceError:
    problem = f"no cluster can be started or reached ({reason})"
    remedy = "start one with `ray start --head`, and give the address that it prints; for a token, "
    remedy += "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token"
    return Speech2FaceError(problem, remedy, address)


def load_ray() -> ModuleType:
    """The module ray, which reports nothing about its use.

    Raises:
        Speech2FaceError: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when a cluster is started
    try:
        import ray
    except ModuleNotFoundError as missing:
        raise missing_extra("ray", "ray") from missing
    return ray
