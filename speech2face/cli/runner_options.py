"""Options of commands that can work in several processes or on a cluster."""

import argparse
from functools import partial

from speech2face.cli.arguments import positive_count
from speech2face.errors import Speech2FaceError
from speech2face.runners.contract import Runner

RUNNERS = ("serial", "processes", "ray")


def add_runner_options(parser: argparse.ArgumentParser, title: str) -> None:
    """Add `--runner`, `--workers` and `--address`, under a title for the help."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--runner",
        choices=RUNNERS,
        default="serial",
        help="one process, several processes of this machine, or a Ray cluster (default: serial)",
    )
    group.add_argument(
        "--workers",
        type=positive_count,
        metavar="N",
        help="shards to work on at a time (default: 2 processes; all processors of a cluster)",
    )
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of a running Ray cluster, whose machines must see the same files; without it one is "
        "started on this machine",
    )


def runner_of(arguments: argparse.Namespace) -> Runner:
    """The runner that the options describe.

    Raises:
        Speech2FaceError: an option does not belong to the runner.
    """
    if arguments.address is not None and arguments.runner != "ray":
        raise Speech2FaceError("--address belongs to a Ray cluster", "add --runner ray")
    if arguments.workers is not None and arguments.runner == "serial":
        raise Speech2FaceError("--workers needs several processes", "add --runner processes")
    if arguments.runner == "ray":
        from speech2face.runners import ray_tasks

        return partial(ray_tasks.run, address=arguments.address, workers=arguments.workers)
    from speech2face.runners import processes

    n_workers = 1 if arguments.runner == "serial" else arguments.workers or 2
    return partial(processes.run, workers=n_workers)
