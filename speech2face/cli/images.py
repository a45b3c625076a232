"""What commands that write one image a file have in common: names, folders, images, progress."""

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech2face import Face, Speech2FaceError, __version__
from speech2face.inference.pipeline import EXAGGERATIONS, ModelCard
from speech2face.models.hub import sha256_of


def image_names(files: Sequence[str]) -> dict[str, str]:
    """Name of each file's image without `.png`, by file; no two alike, whatever the order.

    It is the shortest of these that no other file has: the stem; the file name; the file name
    after its folder's name, after two folders' names ... Capitals do not tell names apart, as
    they do not in some file systems. A file named twice is kept once.
    """
    given: dict[str, str] = {}
    for file in files:
        given.setdefault(os.path.abspath(file), file)
    names: dict[str, str] = {}
    for depth in range(max(len(Path(path).parts) for path in given) + 1):
        taken = Counter(_ending(path, depth).casefold() for path in given)
        for path in given.keys() - names.keys():
            if taken[_ending(path, depth).casefold()] == 1:
                names[path] = _ending(path, depth)
    taken = Counter(name.casefold() for name in names.values())
    for path in given:  # names of two depths may meet, where a file's own name has a hyphen
        if path not in names or taken[names[path].casefold()] > 1:
            names[path] = f"{Path(path).stem}-{sha256_of(os.fsencode(path))[:8]}"
    return {file: names[path] for path, file in given.items()}


def _ending(path: str, depth: int) -> str:
    """The stem at depth 0; from there on the file name after `depth - 1` names of folders."""
    return "-".join(Path(path).parts[-depth:]) if depth else Path(path).stem


def writable_folder(name: str) -> Path:
    """The folder, made if need be, or an error before any work is done."""
    folder = Path(name)
    probe = folder / f".speech2face-{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
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
    """Make the images of every file and print what each gave; 1 when any could not be done.

    Args:
        names: image name by file.
        noun: what the files are, the key of the file in its JSON line.
        make: file and name to what its JSON line says, written when it returns.
        as_json: print that line, else the images' paths.
    """
    n_failed = 0
    for index, (file, name) in enumerate(names.items()):
        if len(names) > 1:
            show_progress(f"[{index + 1}/{len(names)}] {file}")
        try:
            report = make(file, name)
        except Speech2FaceError as error:
            n_failed += 1
            report = {noun: file, "error": f"{error.problem}; {error.remedy}"}
            tell(str(error) if error.path else f"{file}: {error}")
        show_progress("")
        if as_json:
            print(json.dumps(report), flush=True)
        elif "image" in report:
            print("\n".join([report["image"], *report.get("likely", ())]), flush=True)
    return 1 if n_failed else 0


def refuse_existing(paths: Sequence[Path], file: str, *, force: bool) -> None:
    """Raise, in the name of `file`, when one of its images is there and may not be replaced."""
    for path in paths:
        if path.exists() and not force:
            remedy = "give --force to replace it, or another --out"
            raise Speech2FaceError(f"{path} exists already", remedy, file)


def png_text(notice: str, face: Face, card: ModelCard) -> dict[str, str]:
    """What an image says of itself: what it is, and which model made it how."""
    return {
        "Description": notice,
        "Software": f"speech2face {__version__}",
        "Model": card.name,
        "Model SHA-256": card.sha256,
        "Exaggeration": f"{face.exaggeration:g}",
    }


def write_png(destination: Path, image: Any, text: dict[str, str]) -> None:
    """Write under a temporary name, then rename: an image is there whole or not at all."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value)
    temporary = destination.with_name(f".speech2face-{os.getpid()}.part")
    try:
        image.save(temporary, format="PNG", pnginfo=info)
        temporary.replace(destination)
    except OSError as error:
        remedy = "make room, or choose another --out"
        problem = f"cannot be written ({_reason(error)})"
        raise Speech2FaceError(problem, remedy, str(destination)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def show_progress(line: str) -> None:
    """Replace the progress line, which only a person before a terminal sees."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """One line on standard error, in the place of the progress line."""
    show_progress("")
    print(line, file=sys.stderr)


def exaggeration(text: str) -> float:
    """Value of an option, for argparse."""
    low, high = EXAGGERATIONS
    value = float(text)
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
    return value
