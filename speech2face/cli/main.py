"""The command `speech2face`: its sub-commands, and how it reports errors."""

import argparse
import sys
from collections.abc import Sequence

from speech2face import Speech2FaceError, __version__
from speech2face.cli import (
    compare,
    completion,
    convert_vgg_face,
    default_matcher,
    default_model,
    evaluate,
    export,
    extract,
    fetch,
    live,
    match,
    models,
    prepare,
    reconstruct,
    reconstruct_photo,
    serve,
    train,
    web_export,
    xab,
)
from speech2face.cli.colours import RED, coloured
from speech2face.cli.parser import CommandParser
from speech2face.cli.results import add_json

# A sub-command is a file with a function `add_parser(subparsers)`, which sets `run` to a function
# from the arguments to the exit status. Heavy packages are imported inside `run`, so that the other
# commands start without them.
COMMANDS = (
    reconstruct,
    reconstruct_photo,
    live,
    match,
    extract,
    evaluate,
    compare,
    models,
    convert_vgg_face,
    fetch,
    prepare,
    train,
    default_model,
    default_matcher,
    export,
    web_export,
    serve,
    xab,
    completion,
)

DESCRIPTION = "A face consistent with a voice: an average-looking face, never the speaker's own."
EPILOG = """\
example:
  speech2face reconstruct voice.m4a --out faces     writes faces/voice.png

exit status: 0 all done, 1 something could not be done (one line says what), 2 wrong usage
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. By default `arguments` are those of the process.

    `speech2face.__main__` sets up signals and standard streams before it calls this.
    """
    try:
        parsed = make_parser().parse_args(arguments)
        status: int = parsed.run(parsed)
    except Speech2FaceError as error:
        told = str(error) if error.path else f"speech2face: {error}"
        print(coloured(told, RED, sys.stderr), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("speech2face: stopped", file=sys.stderr)
        return 130
    except SystemExit as stop:  # argparse: 0 after --help, 2 for wrong usage
        return int(stop.code or 0)
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line, with all sub-commands."""
    parser = CommandParser(prog="speech2face", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"speech2face {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    add_json(parser)
    return parser
