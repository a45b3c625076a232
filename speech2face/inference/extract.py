"""From a manifest to features and faces on disk: what evaluation reads.

What is extracted from is a voice model (S2F), its decoder on pictures (F2F), or a frozen recogniser
on photographs or on any folder of renders, such as the authors' own. A run leaves

    OUT/features.safetensors   one row a clip, in the manifest's order (`evaluation.features`)
    OUT/faces/ID.png           the face made, or the picture read
    OUT/extract.json           what made them, how many, and which clips were rejected and why
    OUT/clips/ID.npy           one feature a finished clip: what a killed run goes on from

The same command goes on where it stopped and ends in the same bytes. A clip that cannot be used is
recorded with its reason; the others are still done. It is tried again by the next run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from speech2face.audio.io import SAMPLE_RATE, Waveform, decode, without_leading_silence
from speech2face.audio.segment import halves, tile_or_cut
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.face.encoder import FaceEncoder
from speech2face.face.image import open_image
from speech2face.inference.photo import PhotoPipeline
from speech2face.inference.pictures import pictures
from speech2face.inference.pipeline import Pipeline
from speech2face.records import read_json_object

FEATURES, FACES, CLIPS, RECORD = "features.safetensors", "faces", "clips", "extract.json"
FORMAT = 1
HALF_MARKS = ("_half1", "_half2")  # appended to the clip's id when halves are extracted


@dataclass(frozen=True)
class Item:
    """One thing to extract: a whole clip, or a half of its speech (0 or 1)."""

    sample: Sample
    half: int | None = None

    @property
    def id(self) -> str:
        """Name in every file of the run."""
        return self.sample.id + ("" if self.half is None else HALF_MARKS[self.half])


@dataclass(frozen=True, eq=False)
class Extracted:
    """A face, `[H, W, 3]` uint8 RGB, and its feature `[D]`."""

    face: NDArray[np.uint8]
    feature: NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What became of an item: done now, kept from an earlier run, or rejected for a reason."""

    id: str
    rejected: str | None = None
    was_kept: bool = False


class Extractor(Protocol):
    """What turns an item into a face and a feature."""

    @property
    def provenance(self) -> Provenance:
        """What stands in the head of the feature file, and must agree when a run goes on."""
        ...

    def __call__(self, item: Item) -> Extracted:
        """Extract one item, or raise Speech2FaceError if that cannot be done."""
        ...


class VoiceExtractor:
    """An exported model on the voices of a manifest."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        exaggeration: float | None = None,
        clip_seconds: float | None = None,
    ) -> None:
        """Extract with `pipeline`.

        Args:
            pipeline: the model.
            exaggeration: its own default unless given.
            clip_seconds: how much to hear from where sound begins, such as 1, 2, 3 or 6; less is
                repeated to that length. All unless given.
        """
        if clip_seconds is not None and not 0.5 <= clip_seconds <= 60:
            raise Speech2FaceError(
                f"{clip_seconds} seconds of a clip", "choose half a second to a minute"
            )
        self.pipeline, self.clip_seconds = pipeline, clip_seconds
        given = exaggeration is not None
        self.exaggeration = exaggeration if given else pipeline.card.default_exaggeration

    @property
    def provenance(self) -> Provenance:
        """Of the model and of what it hears."""
        card = self.pipeline.card
        return Provenance(
            model=card.name,
            model_sha256=card.sha256,
            recogniser=f"face feature of {card.name}",
            exaggeration=self.exaggeration,
            clip_seconds=self.clip_seconds,
        )

    def __call__(self, item: Item) -> Extracted:
        """Face and feature heard in the item's speech."""
        face = self.pipeline.reconstruct(
            self.speech(item), sample_rate=SAMPLE_RATE, exaggeration=self.exaggeration
        )
        return Extracted(np.asarray(face.image), face.feature)

    def speech(self, item: Item) -> Waveform:
        """What the model is given to hear, `[L]` at 16 kHz."""
        waveform = decode(item.sample.voice).waveform  # [L]
        if item.sample.seconds is not None:  # what follows in the file is repetition
            waveform = waveform[: round(item.sample.seconds * SAMPLE_RATE)]
        if item.half is not None:
            waveform = halves(waveform)[item.half]
        if self.clip_seconds is not None:
            # A clip that begins with silence would otherwise be refused for its first second.
            waveform = without_leading_silence(waveform)
            waveform = tile_or_cut(waveform, round(self.clip_seconds * SAMPLE_RATE))
        return waveform


@dataclass(frozen=True)
class Pictures:
    """One picture a clip.

    Attributes:
        which: "face", "canonical", or the name of a teacher in the manifest; with `folder` only
            a name for the record.
        folder: holds `ID.png` or `ID.jpg`, instead of the manifest's pictures.
    """

    which: str = "face"
    folder: Path | None = None

    def of(self, sample: Sample) -> Path:
        """The file to read for one clip."""
        if self.folder is not None:
            return pictures(self.folder, [sample.id])[0]
        own = {"face": sample.face, "canonical": sample.canonical, **sample.teachers}
        path = own.get(self.which)
        if path is None:
            known = sorted(name for name, file in own.items() if file is not None)
            raise Speech2FaceError(f"{sample.id} has no picture {self.which!r}", f"it has {known}")
        return path


class PictureExtractor:
    """A frozen recogniser on one picture a clip: the photo, the F2F, or any folder's render."""

    def __init__(self, encoder: FaceEncoder, which: str, folder: Path | None = None) -> None:
        """Extract with `encoder`; `which` and `folder` as in `Pictures`."""
        self.encoder, self.pictures = encoder, Pictures(which, folder)

    @property
    def provenance(self) -> Provenance:
        """Of the recogniser and of whose pictures these are."""
        return Provenance(
            model=self.encoder.name,
            recogniser=self.encoder.name,
            corpus=f"pictures: {self.pictures.which}",
        )

    def __call__(self, item: Item) -> Extracted:
        """The item's picture and its feature."""
        image = open_image(self.pictures.of(item.sample))
        return Extracted(image, self.encoder.encode([image])[0])


class PhotoExtractor:
    """An exported model's decoder on one picture a clip (F2F).

    As the judges do, it goes on with a fixed box where no face is found: leaving such clips out
    would leave the hard ones out.
    """

    def __init__(self, pipeline: PhotoPipeline, which: str, folder: Path | None = None) -> None:
        """Extract with `pipeline`; `which` and `folder` as in `Pictures`."""
        self.pipeline, self.pictures = pipeline, Pictures(which, folder)

    @property
    def provenance(self) -> Provenance:
        """Of the model and of whose pictures these are."""
        card = self.pipeline.pipeline.card
        return Provenance(
            model=card.name,
            model_sha256=card.sha256,
            recogniser=f"face feature of {card.name}",
            corpus=f"F2F of pictures: {self.pictures.which}",
        )

    def __call__(self, item: Item) -> Extracted:
        """The face that the decoder makes of the item's picture, and its feature."""
        image = open_image(self.pictures.of(item.sample))
        located = self.pipeline.detector.locate(image)
        face = self.pipeline.reconstruct_located(image, located)
        return Extracted(np.asarray(face.image), face.feature)


def items_of(samples: Iterable[Sample], *, in_halves: bool = False) -> list[Item]:
    """One item a sample, or the two disjoint halves of its speech."""
    if in_halves:
        return [Item(sample, half) for sample in samples for half in (0, 1)]
    return [Item(sample) for sample in samples]


def extract(
    items: Sequence[Item],
    extractor: Extractor,
    out: Path,
    *,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> FeatureSet:
    """Extract every item that is not there yet, and write the whole.

    Args:
        items: what to extract, in the order of the feature file.
        extractor: a voice model, or a recogniser.
        out: folder of the run, as the module describes.
        report: called once an item, for a progress bar.

    Returns:
        The features, as in `OUT/features.safetensors`.

    Raises:
        Speech2FaceError: `out` holds another run, or not a single item could be extracted.
    """
    _begin(out, extractor.provenance)
    rejected: dict[str, str] = {}
    done: list[Item] = []
    for item in items:
        outcome = _extract_one(item, extractor, out)
        if outcome.rejected is None:
            done.append(item)
        else:
            rejected[item.id] = outcome.rejected
        report(outcome)
    _write_record(out, extractor.provenance, n_done=len(done), rejected=rejected)
    if not done:
        reason = next(iter(rejected.values()), "there are no clips")
        raise Speech2FaceError(
            f"not one of {len(items)} clips could be extracted ({reason})",
            "check the manifest's paths",
            str(out / RECORD),
        )
    features = FeatureSet(
        np.array([item.id for item in done]),
        np.array([item.sample.person for item in done]),
        np.stack([_load(_feature_file(out, item)) for item in done]),
        extractor.provenance,
        str(out / FEATURES),
    )
    features.save(out / FEATURES)
    return features


def faces_folder(out: Path) -> Path:
    """Where a run keeps its faces; `out` itself if it is a plain folder of pictures."""
    return out / FACES if (out / FACES).is_dir() else out


def _extract_one(item: Item, extractor: Extractor, out: Path) -> Outcome:
    feature, face = _feature_file(out, item), _face_file(out, item)
    if feature.is_file() and face.is_file():
        return Outcome(item.id, was_kept=True)
    try:
        extracted = extractor(item)
    except Speech2FaceError as error:
        return Outcome(item.id, rejected=f"{error.problem}; {error.remedy}")
    _write(face, lambda partial: Image.fromarray(extracted.face).save(partial, format="PNG"))
    # The feature last: where it exists, the face does.
    _write(feature, lambda partial: _save_array(partial, extracted.feature))
    return Outcome(item.id)


def _begin(out: Path, provenance: Provenance) -> None:
    """Make the folders, or refuse to go on with a run of other settings."""
    record = out / RECORD
    if record.is_file():
        try:
            earlier = read_json_object(record)["provenance"]
        except (Speech2FaceError, KeyError) as error:
            remedy = "choose another folder, or remove this one"
            raise Speech2FaceError("not a record of extraction", remedy, str(record)) from error
        if earlier != asdict(provenance):
            changed = sorted(
                name for name, value in asdict(provenance).items() if earlier.get(name) != value
            )
            raise Speech2FaceError(
                f"the folder holds an extraction with another {', '.join(changed)}",
                "choose another folder, or remove this one",
                str(out),
            )
    for folder in (out / FACES, out / CLIPS):
        folder.mkdir(parents=True, exist_ok=True)
    if not record.is_file():
        _write_record(out, provenance, n_done=None, rejected={})


def _write_record(
    out: Path, provenance: Provenance, *, n_done: int | None, rejected: Mapping[str, str]
) -> None:
    record: dict[str, Any] = {
        "format": FORMAT,
        "provenance": asdict(provenance),
        "is_complete": n_done is not None,
        "n_done": n_done,
        "rejected": dict(sorted(rejected.items())),
    }
    text = json.dumps(record, indent=2) + "\n"
    _write(out / RECORD, lambda partial: partial.write_text(text, encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write under a temporary name, then rename: a file is there whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _save_array(path: Path, array: NDArray[np.float32]) -> None:
    with path.open("wb") as file:  # by handle: given a name, NumPy appends its own suffix
        np.save(file, array, allow_pickle=False)


def _load(path: Path) -> NDArray[np.float32]:
    return np.asarray(np.load(path, allow_pickle=False), np.float32)


def _feature_file(out: Path, item: Item) -> Path:
    return out / CLIPS / f"{item.id}.npy"


def _face_file(out: Path, item: Item) -> Path:
    return out / FACES / f"{item.id}.png"
