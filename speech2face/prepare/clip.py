"""One clip of a video to what training reads: the sound as it is, and the face.

`clip` is pure: a `TalkingClip` in, a record or a named reason out. A record has the members

    wav             16 kHz mono, 16 bits, as long as the clip
    jpg             the face, 224 x 224, cropped loosely as in the paper
    landmarks.npy   its 68 points (x, y) in pixels of that picture, float32
    json            id, person, split, labels; when the picture was and how long the sound is

The features of recognisers are not here. They are added to shards later (`prepare.features`), so
that a new recogniser does not cost a second decoding of every video.
"""

import io
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from speech2face.audio.io import decode
from speech2face.audio.recording import MAX_SECONDS
from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.audio.wav import wav_of
from speech2face.data.face_track import FaceTrack, read_track
from speech2face.data.folder import FACE_SUFFIXES
from speech2face.data.store import Record, Rejected
from speech2face.data.talking_clip import TalkingClip
from speech2face.errors import Speech2FaceError
from speech2face.face.align import crop_placement, warp
from speech2face.face.detect import LocatedFace
from speech2face.face.image import RGBImage, open_image
from speech2face.face.video import Frame, frames_near_middle
from speech2face.prepare.face_finder import DetectorName, FaceFinder

CROP_SIZE = 224  # pixels
JPEG_QUALITY = 92
_LFS = b"version https://git-lfs"

Reason = Literal[
    "lfs_pointer",
    "unusable_video",
    "unusable_sound",
    "unusable_track",
    "no_face",
    "face_elsewhere",
    "several_faces",
    "crashed",
    "timeout",
]


@dataclass(frozen=True)
class ClipWork:
    """`clip` with its tools, which every process loads for itself; it can be pickled."""

    detector: DetectorName = "yunet"

    def __call__(self, source: TalkingClip) -> Record | Rejected:
        return clip(source, _finder(self.detector))


def clip(source: TalkingClip, finder: FaceFinder) -> Record | Rejected:
    """The record of one clip, or why there is none."""
    for file in {source.face, source.voice}:
        if _is_pointer(file):
            return _rejected("lfs_pointer", f"{file.name} is a pointer of Git LFS, not the file")
    track: FaceTrack | None = None
    if source.track is not None:
        try:
            track = read_track(source.track)
        except Speech2FaceError as error:
            return _rejected("unusable_track", error.problem)
        source = replace(source, start=track.start, end=track.end)
    sound = _sound(source)
    if isinstance(sound, Rejected):
        return sound
    face = _face(source, track, finder)
    return face if isinstance(face, Rejected) else _record(source, sound, face)


def _rejected(reason: Reason, detail: str) -> Rejected:
    return Rejected(reason, detail)


def _is_pointer(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(_LFS)) == _LFS
    except OSError:
        return False  # whoever opens it next says what is wrong


def _sound(source: TalkingClip) -> Waveform | Rejected:
    """Everything that is heard in the clip, `[L]`."""
    start, seconds = 0.0, MAX_SECONDS
    if source.voice == source.face:
        start = source.start
        seconds = MAX_SECONDS if source.end is None else min(MAX_SECONDS, source.end - start)
    try:
        recording = decode(
            source.voice, start_seconds=start, max_seconds=seconds, speech_only=False
        )
    except Speech2FaceError as error:
        return _rejected("unusable_sound", error.problem)
    return recording.waveform


@dataclass(frozen=True, eq=False)
class _Seen:
    """The face in one picture."""

    image: RGBImage
    located: LocatedFace
    seconds: float | None  # of the picture in its video; None for a photograph


def _face(source: TalkingClip, track: FaceTrack | None, finder: FaceFinder) -> _Seen | Rejected:
    """The face in the first picture that shows it, else what is wrong with the first picture."""
    first: Rejected | None = None
    try:
        if source.face.suffix.lower() in FACE_SUFFIXES:
            photograph = open_image(source.face)
            located = finder.find(photograph, source.centre)
            return located if isinstance(located, Rejected) else _Seen(photograph, located, None)
        for frame in frames_near_middle(source.face, source.start, source.end):
            located = finder.find(frame.image, _centre(source, track, frame))
            if not isinstance(located, Rejected):
                return _Seen(frame.image, located, frame.seconds)
            first = first or located
    except Speech2FaceError as error:
        return first or _rejected("unusable_video", error.problem)
    return first or _rejected("unusable_video", "there is no picture in it")


def _centre(
    source: TalkingClip, track: FaceTrack | None, frame: Frame
) -> tuple[float, float] | None:
    if track is None:
        return source.centre
    return track.centre_at(frame.seconds, frame.width, frame.height)


def _record(source: TalkingClip, sound: Waveform, face: _Seen) -> Record:
    placed = crop_placement(face.located, size=CROP_SIZE)
    about = {
        "id": source.id,
        "person": source.person,
        "video": source.video,
        "split": source.split,
        "labels": dict(source.labels),
        "seconds": len(sound) / SAMPLE_RATE,
        "picture_seconds": face.seconds,
    }
    return {
        "wav": wav_of(sound),
        "jpg": _as_jpeg(warp(face.image, placed, CROP_SIZE)),
        "landmarks": placed(face.located.landmarks).astype(np.float32),
        "json": (json.dumps(about, sort_keys=True) + "\n").encode(),
    }


def _as_jpeg(image: RGBImage) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


@cache
def _finder(detector: DetectorName) -> FaceFinder:
    """One for each process."""
    return FaceFinder(detector)
