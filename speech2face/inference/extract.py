"""From a manifest to features and faces on disk: what evaluation reads.

What is extracted from is a voice model (S2F), its decoder on pictures (F2F), or a frozen recogniser
on photographs or on any folder of renders, such as the authors' own. A run leaves

    OUT/features.safetensors   one row per clip, in the order of the manifest
    OUT/faces/ID.png           the face made, or the picture read
    OUT/extract.json           what made them, how many, and which clips were rejected and why
    OUT/clips/                 feature and face of each finished clip, as `data.store` keeps them

The same command goes on where it stopped and ends in the same bytes. Finished clips are found again
by the content of their files, so other clips of the same ids are never mistaken for them. A clip
that cannot be used is recorded with its reason and does not stop the others; the next run tries it
again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from speech2face.audio.recording import MIN_SECONDS, Recording
from speech2face.audio.segment import halves, tile_or_cut
from speech2face.audio.speech import FINDER, SAMPLE_RATE
from speech2face.data.sample import Sample
from speech2face.data.speech import recording_of
from speech2face.data.store import Record, Rejected, Store, fingerprint_of, key_of
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.face.detect import LocatedFace
from speech2face.face.encoder import FaceEncoder
from speech2face.face.image import RGBImage, open_image
from speech2face.files import write_whole
from speech2face.inference.extraction_run import CLIPS, FACES, FEATURES, begin_run, finish_run
from speech2face.inference.photo import PhotoPipeline
from speech2face.inference.pictures import pictures
from speech2face.inference.pipeline import Pipeline

SHARD_SIZE = 16  # clips that a killed run loses at most
UNUSABLE = "unusable"  # the one reason for which a clip is rejected here
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

    def key(self, item: Item) -> str:
        """Digest of what the item is extracted from: the same content has the same key."""
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
            clip_seconds: how much speech to hear, such as 1, 2, 3 or 6; less is repeated to that
                length. All unless given.
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

    def key(self, item: Item) -> str:
        """Of the recording, of how speech is found in it, and of which part is heard."""
        return key_of(item.sample.voice, item.sample.seconds, item.half, FINDER)

    def __call__(self, item: Item) -> Extracted:
        """Face and feature heard in the item's speech."""
        return self.heard(self.speech(item))

    def heard(self, speech: Recording) -> Extracted:
        """Face and feature heard in speech that `part` has cut."""
        face = self.pipeline.reconstruct(speech, exaggeration=self.exaggeration)
        return Extracted(np.asarray(face.image), face.feature)

    def speech(self, item: Item) -> Recording:
        """What the model is given to hear; there is no need to find the speech in it again."""
        return self.part(recording_of(item.sample), item.half)

    def part(self, found: Recording, half: int | None) -> Recording:
        """The half that is asked for, or all, of speech; as long as this extraction hears."""
        waveform = found.waveform  # [L]
        if half is not None:
            waveform = halves(waveform)[half]
            if len(waveform) < MIN_SECONDS * SAMPLE_RATE:
                seconds = len(waveform) / SAMPLE_RATE
                problem = f"a half of its speech is only {seconds:.2f} s long"
                raise Speech2FaceError(problem, f"give at least {2 * MIN_SECONDS} s of speech")
        if self.clip_seconds is not None:
            waveform = tile_or_cut(waveform, round(self.clip_seconds * SAMPLE_RATE))
        return replace(found, waveform=waveform)


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

    def key(self, item: Item) -> str:
        """Digest of the picture; of the id where there is none, since the message names it."""
        try:
            return key_of(self.of(item.sample))
        except Speech2FaceError:
            return key_of("no picture", item.id)


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

    def key(self, item: Item) -> str:
        """Of the item's picture."""
        return self.pictures.key(item)

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

    def key(self, item: Item) -> str:
        """Of the item's picture."""
        return self.pictures.key(item)

    def __call__(self, item: Item) -> Extracted:
        """The face that the decoder makes of the item's picture, and its feature."""
        image = open_image(self.pictures.of(item.sample))
        return self.drawn(image, self.pipeline.detector.locate(image))

    def drawn(self, image: RGBImage, located: LocatedFace) -> Extracted:
        """The face that the decoder makes of a located one, and its feature."""
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
    shard_size: int = SHARD_SIZE,
) -> FeatureSet:
    """Extract every item that is not there yet, and write the whole.

    Args:
        items: what to extract, in the order of the feature file.
        extractor: a voice model, or a recogniser.
        out: folder of the run, as the module describes.
        report: called once per item, for a progress bar.
        shard_size: clips that are kept together, and lost together if the run is killed.

    Returns:
        The features, as in `OUT/features.safetensors`.

    Raises:
        Speech2FaceError: `out` holds another run, another process writes into it, or not a single
            item could be extracted.
    """
    begin_run(out, extractor.provenance)
    store = Store(out / CLIPS, fingerprint_of(asdict(extractor.provenance)))
    keys = {item.id: extractor.key(item) for item in items}
    rejected: dict[str, str] = {}
    for outcome in store.fill(
        [(keys[item.id], item) for item in items],
        lambda item: _record_of(item, extractor),
        shard_size=shard_size,
        retry=(UNUSABLE,),
    ):
        why = None if outcome.rejected is None else outcome.rejected.detail
        if why is not None:
            rejected[outcome.source.id] = why
        report(Outcome(outcome.source.id, why, outcome.was_kept))
    done = [item for item in items if item.id not in rejected]
    features = None
    if done:
        features = FeatureSet(
            np.array([item.id for item in done]),
            np.array([item.sample.person for item in done]),
            np.stack([store.array(keys[item.id], "feature") for item in done]),
            extractor.provenance,
            str(out / FEATURES),
        )
        for item in done:
            _write_face(out / FACES / f"{item.id}.png", store.content(keys[item.id], "png"))
    return finish_run(out, extractor.provenance, features, rejected)


def faces_folder(out: Path) -> Path:
    """Where a run keeps its faces; `out` itself if it is a plain folder of pictures."""
    return out / FACES if (out / FACES).is_dir() else out


def _record_of(item: Item, extractor: Extractor) -> Record | Rejected:
    try:
        extracted = extractor(item)
    except Speech2FaceError as error:
        return unusable(error)
    return {"feature": extracted.feature, "png": png_of(extracted.face)}


def unusable(error: Speech2FaceError) -> Rejected:
    """What stands for the result of a clip that cannot be used."""
    return Rejected(UNUSABLE, f"{error.problem}; {error.remedy}")


def png_of(image: RGBImage) -> bytes:
    """A picture as a file."""
    picture = io.BytesIO()
    Image.fromarray(image).save(picture, format="PNG")
    return picture.getvalue()


def _write_face(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:  # a finished run writes nothing again
        write_whole(path, content)
