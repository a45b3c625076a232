"""What trainings share on the command line: --config, --set, --dry-run, and the log."""

import argparse
import json
import logging
import sys
from typing import Any, TypeVar

from speech2face.cli.arguments import path
from speech2face.extras import missing_extra

C = TypeVar("C")


def add_settings(parser: argparse.ArgumentParser, *, defaults: str, example: str) -> None:
    """Add --config, --set and --dry-run."""
    parser.add_argument(
        "--config",
        type=path,
        metavar="C.toml",
        action="append",
        default=[],
        help=f"settings that differ from {defaults}; may be given several times",
    )
    parser.add_argument(
        "--set",
        metavar="K=V",
        action="append",
        default=[],
        dest="settings",
        help=f"one setting, such as {example}; takes precedence over --config",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")


def require_extra() -> None:
    """Raise unless the packages that every training needs are installed."""
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as missing:
        raise missing_extra(str(missing.name), "train") from missing


def resolved(config: C, arguments: argparse.Namespace) -> C:
    """`config`, changed by what --config and --set say."""
    from speech2face.configuration import read_differences, with_differences

    source = ", ".join([*map(str, arguments.config), *(["--set"] if arguments.settings else [])])
    return with_differences(
        config, read_differences(arguments.config, arguments.settings), source or None
    )


def log_to_terminal() -> None:
    """Print the messages of the log on standard error, without times and levels."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


def print_settings(config: Any, arguments: argparse.Namespace) -> int:
    """Print all settings as TOML, or as JSON; returns the exit status, 0."""
    from speech2face.configuration import to_json, to_toml

    print(json.dumps(to_json(config)) if arguments.json else to_toml(config))
    return 0
