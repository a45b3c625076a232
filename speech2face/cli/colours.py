"""Colours on a terminal that shows them, and nowhere else: https://no-color.org."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 48  # of a picture in a terminal; a letter shows two points above each other
RED, BOLD, PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


def has_colours(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal on which nobody has forbidden colours."""
    is_terminal = stream is not None and stream.isatty()
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str, stream: TextIO | None) -> str:
    """The text in a colour, if the stream shows colours."""
    return f"{colour}{text}{PLAIN}" if has_colours(stream) else text


def picture_lines(image: "Image") -> Iterator[str]:
    """A picture as lines of half blocks, each of which has a colour above and one below."""
    import numpy as np  # the commands start without it

    pixels = np.asarray(image.convert("RGB").resize((COLUMNS, COLUMNS)))  # [COLUMNS, COLUMNS, 3]
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        points = (
            f"\x1b[38;2;{r};{g};{b};48;2;{x};{y};{z}m\u2580"
            for (r, g, b), (x, y, z) in zip(upper.tolist(), lower.tolist(), strict=True)
        )
        yield "".join(points) + PLAIN
