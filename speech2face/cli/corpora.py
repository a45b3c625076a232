"""The samples of what a command was given: a manifest, or a folder of the authors' page."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speech2face.data.sample import Sample


def read_samples(place: Path) -> "list[Sample]":
    """The samples of a manifest, or of a folder with the clips of the authors' page.

    Raises:
        Speech2FaceError: the place has neither, or a line of the manifest is wrong.
    """
    from speech2face.data import authors_page
    from speech2face.data.manifest import read_manifest

    return authors_page.read(place) if place.is_dir() else read_manifest(place)
