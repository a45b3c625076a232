"""`speech2face match`: ranks photos for a voice, or voices for a photo."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech2face.cli.parser import add_model
from speech2face.errors import Speech2FaceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DESCRIPTION = """\
Rank photos by how well they fit a voice, or with --voices recordings by how well they fit a face.
The best one comes first, with

  score     the cosine of voice and face, -1 to 1
  likely    the probability that a pair of this score is a true one, if it is as likely to be
            true as to be the voice and the face of two people of the same apparent gender

A folder stands for one person: all recordings or photos in it are averaged. This needs the extras
"face" and "sface", which read photos.
"""
EPILOG = """\
examples:
  speech2face match voice.m4a one.jpg two.jpg three.jpg
  speech2face match voice.m4a people/* --json
  speech2face match --voices portrait.jpg first.wav second.wav

A match is no identification: many people fit a voice as well as the person who speaks. Use voices
and pictures of people who agreed to it.

If a candidate cannot be used, one line on standard error gives the reason; the others are still
ranked, and the exit status is 1.
"""


def add_parser(subparsers: Any) -> None:
    """Add `match`."""
    parser = subparsers.add_parser(
        "match",
        help="rank photos for a voice, or voices for a photo",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "query", metavar="VOICE", help="sound or video file; with --voices a picture file"
    )
    parser.add_argument(
        "candidates", nargs="+", metavar="FACE", help="picture files; with --voices sound files"
    )
    parser.add_argument(
        "--voices", action="store_true", help="the first file is a photo, the others are voices"
    )
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON line per candidate")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Ranked:
    """One candidate that could be used."""

    name: str
    score: float
    probability: float


def run(arguments: argparse.Namespace) -> int:
    """Rank all candidates; 1 when any file could not be used."""
    from speech2face.inference.matcher import (
        NO_IDENTIFICATION,
        load_matcher,
        require_photo_readers,
    )

    require_photo_readers()
    matcher = load_matcher(arguments.model)
    hear, see = _Side(matcher.embed_voice, "recording"), _Side(matcher.embed_face, "photo")
    asked, shown = (see, hear) if arguments.voices else (hear, see)
    query = asked.vector_of(arguments.query)
    if query is None:
        return 1
    ranked = []
    for name in dict.fromkeys(arguments.candidates):
        vector = shown.vector_of(name)
        if vector is not None:
            score = float(query @ vector)
            ranked.append(Ranked(name, score, matcher.probability(score)))
    ranked.sort(key=lambda one: -one.score)  # of equals the one that was given first
    if arguments.json:
        _print_json(ranked, arguments, matcher.pipeline.card, NO_IDENTIFICATION)
    elif ranked:
        _print_table(ranked, NO_IDENTIFICATION)
    return 1 if asked.has_failed or shown.has_failed else 0


class _Side:
    """Embeds files of one kind, and says which of them cannot be used."""

    def __init__(self, embed: Callable[[Any], "NDArray[Any]"], noun: str) -> None:
        self.embed, self.noun = embed, noun
        self.has_failed = False

    def vector_of(self, name: str) -> "NDArray[Any] | None":
        """The vector `[K]` of a file, or of all files in a folder that can be used, if any."""
        from speech2face.inference.matcher import mean_vector

        files = _files(name)
        if not files:
            remedy = f"give a folder with at least one {self.noun}"
            self._tell(Speech2FaceError("the folder is empty", remedy, name), name)
        vectors = [vector for file in files if (vector := self._vector(file)) is not None]
        return mean_vector(vectors, self.noun) if vectors else None

    def _vector(self, file: str) -> "NDArray[Any] | None":
        try:
            return self.embed(file)
        except Speech2FaceError as error:
            self._tell(error, file)
            return None

    def _tell(self, error: Speech2FaceError, file: str) -> None:
        self.has_failed = True
        print(error if error.path else f"{file}: {error}", file=sys.stderr)


def _files(name: str) -> list[str]:
    """The file itself, or the visible files of a folder in the order of their names."""
    folder = Path(name)
    if not os.path.isdir(name):  # unlike `Path.is_dir`, no name of any length or bytes raises
        return [name]
    return [str(one) for one in sorted(folder.iterdir()) if one.is_file() and one.name[0] != "."]


def _print_table(ranked: Sequence[Ranked], notice: str) -> None:
    print(" score  likely")
    for one in ranked:
        print(f"{one.score:6.3f}  {one.probability:4.0%}    {one.name}")
    print(notice)


def _print_json(
    ranked: Sequence[Ranked], arguments: argparse.Namespace, card: Any, notice: str
) -> None:
    from speech2face.inference.telling import facts_of_match

    asked, shown = ("face", "voice") if arguments.voices else ("voice", "face")
    for place, one in enumerate(ranked, start=1):
        line = {
            asked: arguments.query,
            shown: one.name,
            **facts_of_match(one.score, one.probability, place),
            "model": card.name,
            "model_sha256": card.sha256,
            "what": notice,
        }
        print(json.dumps(line))
