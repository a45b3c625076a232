"""Types of options, for argparse: a value that makes no sense is refused before any work begins."""

import argparse
import math
import os
from pathlib import Path

from speech2face.audio.recording import MAX_SECONDS, MIN_SECONDS
from speech2face.files import encoded
from speech2face.inference.pipeline import EXAGGERATIONS

_MAX_PATH_BYTES = 4095  # Linux; other systems allow less, and say so when the file is opened
_MAX_SHOWN = 40  # characters of a refused value


def path(text: str) -> Path:
    """A file or folder."""
    return Path(file_name(text))


def file_name(text: str) -> str:
    """The name of a file or folder, or a word that may stand in its place, as it was typed."""
    if not text:
        raise argparse.ArgumentTypeError("an empty text is not the name of a file")
    if len(os.fsencode(text)) > _MAX_PATH_BYTES:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is too long for the name of a file")
    return text


def named_path(text: str) -> tuple[str, Path]:
    """`NAME=PATH`."""
    name, _, place = text.partition("=")
    if not (name and place):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not NAME=PATH")
    return encoded(name).decode(), path(place)  # it stands in figures, which take no other text


def exaggeration(text: str) -> float:
    """A number in the range that models accept."""
    return _number(text, *EXAGGERATIONS)


def seconds(text: str) -> float:
    """A length of speech that can be used."""
    return _number(text, MIN_SECONDS, MAX_SECONDS)


def share(text: str) -> float:
    """A part of a whole."""
    return _number(text, 0.0, 1.0)


def port(text: str) -> int:
    """A port of this machine; 0 stands for any that is free."""
    return _whole_number(text, 0, 65_535)


def seed(text: str) -> int:
    """A seed that every random generator accepts."""
    return _whole_number(text, 0, 2**63 - 1)


def count(text: str) -> int:
    """A number of things, zero or more."""
    return _whole_number(text, 0, 1_000_000)


def positive_count(text: str) -> int:
    """A number of things, one or more."""
    return _whole_number(text, 1, 1_000_000_000)


def positive_number(text: str) -> float:
    """A number above zero, such as a rate."""
    return _number(text, 1e-3, 1e9)


def device(text: str) -> str:
    """The device on which torch computes."""
    kind, _, index = text.partition(":")
    if text not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdecimal()):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not auto, cpu, cuda or cuda:N")
    return text


def sha256(text: str) -> str:
    """A SHA-256 digest in hexadecimal."""
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not 64 hexadecimal digits")
    return text.lower()


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:  # NaN fails this comparison, so it is refused as well
        raise argparse.ArgumentTypeError(
            f"{_shown(text)} is not a number between {low:g} and {high:g}"
        )
    return value


def _whole_number(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:  # Python also raises it for more than 4,300 digits
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(
            f"{_shown(text)} is not a whole number between {low} and {high}"
        )
    return value


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")
