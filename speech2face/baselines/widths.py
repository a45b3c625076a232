"""The widths of a paper's network, or a share of them for a trial of its training."""

from collections.abc import Sequence

NARROWEST = 4


def narrowed(width: int, share: float) -> int:
    """A share of a width, at least 4; with share 1 the width itself."""
    return width if share == 1 else max(NARROWEST, round(share * width))


def all_narrowed(widths: Sequence[int], share: float) -> tuple[int, ...]:
    """`narrowed` of each of them."""
    return tuple(narrowed(width, share) for width in widths)
