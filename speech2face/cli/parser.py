"""The parser of a command, and the options that several commands have in common."""

import argparse
from typing import Any

from speech2face.cli.arguments import exaggeration, file_name, path


class CommandParser(argparse.ArgumentParser):
    """A parser that prints the description and the examples of a command as they are written.

    Sub-commands of its own are parsed by the same class.
    """

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)


def add_model(parser: Any) -> None:
    """Add `--model`, a model file in the place of the embedded one."""
    parser.add_argument(
        "--model",
        type=file_name,
        metavar="M",
        help="exported model file (default: the embedded one)",
    )


def add_exaggeration(parser: Any, *, default: float | None = None) -> None:
    """Add `--exaggeration`; without a default the model's own setting is used."""
    said = "the model's own setting" if default is None else f"{default:g}"
    parser.add_argument(
        "--exaggeration",
        type=exaggeration,
        default=default,
        metavar="A",
        help="how far to move away from the mean face: 0 not at all, 1.4 strongly, -1 is the mean "
        f"face itself (default: {said})",
    )


def add_image_folder(parser: Any) -> None:
    """Add `--out`, the folder that every image is written to."""
    parser.add_argument(
        "--out", required=True, type=file_name, metavar="DIR", help="folder for the images"
    )


def add_page_clips(parser: Any) -> None:
    """Add `--data`, the clips of the project page of the paper's authors."""
    parser.add_argument("--data", type=path, metavar="DIR", help="clips of the authors' page")
