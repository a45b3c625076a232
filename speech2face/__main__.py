"""`python -m speech2face` and the command `speech2face`: the command line as a process."""

import sys

from speech2face.interruption import exit_on_signals, ignore_signals


def main() -> int:
    """Run the command line of this process; returns its exit status."""
    exit_on_signals()  # before the imports, which take a second
    from speech2face.cli import main as command
    from speech2face.cli.streams import StandardStreams

    streams = StandardStreams.open()
    status = streams.close(command.main())
    ignore_signals()
    return status


if __name__ == "__main__":
    sys.exit(main())
