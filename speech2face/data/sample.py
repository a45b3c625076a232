"""One clip: a voice and, if there is one, the face of the same clip."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from speech2face.errors import Speech2FaceError
from speech2face.records import can_be_stored

Split = Literal["train", "val", "test"]
SPLITS: tuple[str, ...] = get_args(Split)
LABELS = ("gender", "nationality", "age_group", "language")  # for evaluation, never for training

MAX_ID_BYTES = 200  # a file name has at most 255, and suffixes are added
MAX_SECONDS = 1_000_000  # eleven days; so numbers of samples cannot overflow


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What is known of one clip without opening its files.

    Attributes:
        id: unique in its manifest, and usable as a file name.
        person: who speaks. All clips of a person are in one split.
        voice: a sound or video file that PyAV can read.
        face: photograph of the person in the same clip, in any pose.
        canonical: frontal, neutral rendering of the same face (F2F), on white.
        landmarks: JSON list of 68 points `(x, y)` in pixels of `canonical`. If it is missing,
            landmarks are detected.
        teachers: the faces that other models made from this voice, by the name of the model.
        video: the recording from which the clip was cut; several clips may share it.
        seconds: length of the speech. What follows in a longer file is repetition.
        split: `train`, `val`, `test`, or None if the corpus has not been split.
        labels: some of `LABELS`, as the corpus gives them. For evaluation only.
    """

    id: str
    person: str
    voice: Path
    face: Path | None = None
    canonical: Path | None = None
    landmarks: Path | None = None
    teachers: Mapping[str, Path] = field(default_factory=dict)
    video: str | None = None
    seconds: float | None = None
    split: Split | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or Path(self.id).name != self.id:
            raise Speech2FaceError(
                f"sample id {self.id!r} cannot name a file", "use a name without separators"
            )
        if len(self.id.encode(errors="replace")) > MAX_ID_BYTES:
            raise Speech2FaceError(
                f"sample id {self.id[:40]!r}... is longer than {MAX_ID_BYTES} bytes",
                "use a shorter one: files are named after it",
            )
        for name in (self.id, self.person, self.video or ""):
            if not can_be_stored(name):
                problem = f"{ascii(name)} is not UTF-8, and no manifest could hold it"
                raise Speech2FaceError(problem, "rename the file, or write the name in UTF-8")
        if not self.person:
            raise Speech2FaceError(f"sample {self.id} names no person", "give every clip a person")
        if self.split is not None and self.split not in SPLITS:
            raise Speech2FaceError(
                f"sample {self.id} is in split {self.split!r}", f"splits are {list(SPLITS)}"
            )
        if self.seconds is not None and not 0 < self.seconds <= MAX_SECONDS:
            raise Speech2FaceError(
                f"sample {self.id} lasts {self.seconds} seconds",
                f"give a length between 0 and {MAX_SECONDS:,} seconds",
            )
        if unknown := sorted(self.labels.keys() - set(LABELS)):
            raise Speech2FaceError(
                f"sample {self.id} has unknown labels {unknown}", f"known are {list(LABELS)}"
            )
