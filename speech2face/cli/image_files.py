"""Names, folders and files of images, for the commands that write one image per input file."""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech2face import Speech2FaceError
from speech2face.files import write_whole
from speech2face.inference.png import png_of
from speech2face.models.hub import sha256_of
from speech2face.progress import Progress

STANDARD_INPUT = "-"
_MAX_NAME_BYTES = 230  # file systems allow 255, and `.likely-1.png` is appended


def image_names(files: Sequence[str]) -> dict[str, str]:
    """For each file the name of its image, without `.png`. No two are alike.

    The order of the files makes no difference.

    The name is the shortest of these that no other file has: the file name without its ending; the
    file name; the file name after the name of its folder; after the names of two folders, and so
    on. Capital and small letters count as equal, as they do in some file systems. A name that is
    too long for a file, or that is still not unique, is shortened and ends in a hash of the path. A
    file that is given twice is kept once. Standard input, `-`, is called `stdin`.
    """
    given: dict[str, str] = {}
    for file in files:
        path = "/dev/stdin" if file == STANDARD_INPUT else os.path.abspath(file)
        given.setdefault(path, file)
    names: dict[str, str] = {}
    for depth in range(max(len(Path(path).parts) for path in given) + 1):
        taken = Counter(_ending(path, depth).casefold() for path in given)
        for path in given.keys() - names.keys():
            if taken[_ending(path, depth).casefold()] == 1:
                names[path] = _ending(path, depth)
    taken = Counter(name.casefold() for name in names.values())
    for path in given:  # a file name with a hyphen may equal another one with its folder in front
        name = names.get(path)
        if name is None or taken[name.casefold()] > 1 or _n_bytes(name) > _MAX_NAME_BYTES:
            names[path] = _shortened(Path(path).stem, sha256_of(os.fsencode(path))[:8])
    return {file: names[path] for path, file in given.items()}


def _shortened(stem: str, ending: str) -> str:
    while _n_bytes(f"{stem}-{ending}") > _MAX_NAME_BYTES:
        stem = stem[:-1]
    return f"{stem}-{ending}"


def _n_bytes(name: str) -> int:
    return len(os.fsencode(name))


def _ending(path: str, depth: int) -> str:
    """The stem at depth 0; at greater depth the file name after `depth - 1` names of folders."""
    return "-".join(Path(path).parts[-depth:]) if depth else Path(path).stem


def writable_folder(name: str) -> Path:
    """The folder, which is made if it is missing.

    Raises:
        Speech2FaceError: no image can be written there. This is found before any work is done.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        problem = f"no image can be written there ({_reason(error)})"
        raise Speech2FaceError(problem, "choose another --out", name) from error
    return folder


def each_file(
    names: Mapping[str, str],
    noun: str,
    make: Callable[[str, str], dict[str, Any]],
    *,
    as_json: bool,
) -> int:
    """Make the images of every file and print the result of each.

    Args:
        names: for each file the name of its image.
        noun: what the files are, such as `voice`; also the key of the file in its JSON line.
        make: takes a file and a name, writes the images, and returns the content of the JSON line.
        as_json: print that line instead of the paths of the images.

    Returns:
        The exit status: 1 if any file could not be done, else 0.
    """
    n_failed = 0
    with Progress(len(names), unit=f"{noun}s") as progress:
        for file, name in names.items():
            try:
                report = make(file, name)
            except Speech2FaceError as error:
                n_failed += 1
                report = {noun: file, "error": f"{error.problem}; {error.remedy}"}
                progress.tell(str(error) if error.path else f"{file}: {error}")
            for note in report.get("notes", ()):
                progress.tell(f"{file}: {note}")
            if as_json:
                progress.tell(json.dumps(report), sys.stdout)
            elif "image" in report:
                images = [report["image"], *report.get("likely", ()), *report.get("cartoons", ())]
                progress.tell("\n".join(images), sys.stdout)
            progress.advance(name)
    return 1 if n_failed else 0


def refuse_existing(paths: Sequence[Path], file: str, *, force: bool) -> None:
    """Raise when an image of `file` exists and may not be replaced."""
    for path in paths:
        if path.exists() and not force:
            remedy = "give --force to replace it, or another --out"
            raise Speech2FaceError(f"{path} exists already", remedy, file)


def write_png(destination: Path, image: Any, text: dict[str, str]) -> None:
    """Write an image with text inside it. The file is complete or absent."""
    write_whole(destination, png_of(image, text))


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
