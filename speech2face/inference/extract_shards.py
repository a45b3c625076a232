"""Extraction from a folder of prepared videos, by any runner, on one machine or on many.

There sound and face of each clip are members of tar shards, and no other file is opened. A run
leaves

    OUT/clips/shard-*          results of 512 clips each, as `data.store` keeps them: the feature,
                               and the face as a picture if the model has drawn one
    OUT/features.safetensors   one row per clip, in the order of `clips.jsonl`
    OUT/extract.json           what made them, how many, and which clips were rejected and why

Ids of such clips may contain anything, so no file is named after them. Starting the same command
again does the shards that are missing, and ends in the same bytes, on every runner.
"""

import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from speech2face.audio.io import as_recording
from speech2face.audio.speech import FINDER, SAMPLE_RATE, Waveform
from speech2face.audio.wav import waveform_of
from speech2face.data.prepared import CLIPS as CLIP_LIST
from speech2face.data.prepared import PREPARED, open_prepared, read_clips
from speech2face.data.sample import Split
from speech2face.data.shards import fill_shards
from speech2face.data.store import MemberPlace, Record, Rejected, Store, fingerprint_of, key_of
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.face.detect import LocatedFace, face_at
from speech2face.face.image import RGBImage
from speech2face.inference.extract import (
    HALF_MARKS,
    Outcome,
    PhotoExtractor,
    PictureExtractor,
    VoiceExtractor,
    png_of,
    unusable,
)
from speech2face.inference.extraction_run import CLIPS, FEATURES, begin_run, finish_run
from speech2face.inference.extractor_choice import ExtractorChoice
from speech2face.records import parse_json_object, read_json_object
from speech2face.runners.contract import Runner

SHARD_SIZE = 512  # results per shard
_DAMAGED = "wait until nobody writes into this folder, or prepare the clips again"


@dataclass(frozen=True)
class PreparedItem:
    """One thing to extract; it can be sent to another process.

    Attributes:
        id: of the clip, with a mark if it is a half of its speech.
        half: which half of the speech, 0 or 1; all of it if None.
        places: where the members are that are read, by their suffixes.
    """

    id: str
    half: int | None
    places: Mapping[str, MemberPlace]


@dataclass(frozen=True)
class ExtractionWork:
    """Extracts one item; every process opens the model once."""

    choice: ExtractorChoice

    def __call__(self, item: PreparedItem) -> Record | Rejected:
        """Feature, person and perhaps a picture, or why the clip cannot be used.

        Raises:
            Speech2FaceError: the shard is damaged, or the model cannot be opened.
        """
        extractor = _opened(self.choice)
        members = {name: place.read() for name, place in item.places.items()}
        person = _person_of(members["json"], item)
        if isinstance(extractor, VoiceExtractor):
            result = _heard(extractor, waveform_of(members["wav"]), item.half)
        else:
            result = _seen(extractor, *_face_of(members, item))
        if isinstance(result, Rejected):
            return result
        about = json.dumps({"id": item.id, "person": person}, sort_keys=True) + "\n"
        return {**result, "json": about.encode()}


def prepared_items(
    folder: Path,
    choice: ExtractorChoice,
    *,
    split: Split | None = None,
    in_halves: bool = False,
) -> dict[str, PreparedItem]:
    """What is extracted from a folder of prepared clips, by key, in the order of its list.

    The key says what a result is computed from: the clip, how it was prepared, and which part.

    Args:
        folder: that `speech2face prepare` has filled from videos. All workers see it under the
            same path.
        choice: what will extract.
        split: only its clips.
        in_halves: each half of the speech of a clip, under a name of its own.

    Raises:
        Speech2FaceError: there are no such clips, or pictures are wanted that are not here.
    """
    if choice.pictures not in (None, "face"):
        problem = f"prepared clips have no pictures {choice.pictures!r}"
        raise Speech2FaceError(problem, "leave --pictures out, or give `face`", str(folder))
    store = open_prepared(folder)
    prepared = read_json_object(folder / PREPARED)
    names = ("json", "wav") if choice.hears else ("jpg", "json", "landmarks.npy")
    how = FINDER if choice.hears else ""
    items: dict[str, PreparedItem] = {}
    for clip in read_clips(folder / CLIP_LIST):
        if clip.rejected is not None or split not in (None, clip.split):
            continue
        places = {name: store.place_of(clip.key, name) for name in names}
        for half in (0, 1) if in_halves else (None,):
            name = clip.id + ("" if half is None else HALF_MARKS[half])
            items[key_of(clip.key, prepared, half, how)] = PreparedItem(name, half, places)
    if not items:
        problem = f"there are no prepared clips of split {split}" if split else "no clips are here"
        raise Speech2FaceError(problem, "leave --split out, or prepare clips", str(folder))
    return items


def extract_shards(
    items: Mapping[str, PreparedItem],
    choice: ExtractorChoice,
    out: Path,
    run: Runner,
    *,
    retry: Collection[str] = (),
    report: Callable[[Outcome], None] = lambda outcome: None,
    shard_size: int = SHARD_SIZE,
) -> FeatureSet:
    """Extract every item that is not extracted yet, and write the whole.

    Args:
        items: what to extract, by key, in the order of the feature file.
        choice: a voice model, or a recogniser. All workers see its file under the same path.
        out: folder of the run, as the module describes; all workers see it, too.
        run: does the work, here or elsewhere.
        retry: reasons of rejection that are not believed, so that these items are tried again.
        report: called once per item, for a progress bar.
        shard_size: items per shard of results, rejected ones included.

    Raises:
        Speech2FaceError: `out` holds another run, another process writes into it, a shard is
            damaged, or not a single item could be extracted.
    """
    provenance = choice.open().provenance
    begin_run(out, provenance)
    store = Store(out / CLIPS, fingerprint_of(asdict(provenance)))
    rejected: dict[str, str] = {}
    for outcome in fill_shards(
        store, items.items(), ExtractionWork(choice), run, shard_size=shard_size, retry=retry
    ):
        why = None if outcome.rejected is None else outcome.rejected.detail
        if why is not None:
            rejected[outcome.source.id] = why
        report(Outcome(outcome.source.id, why, outcome.was_kept))
    done = [key for key, item in items.items() if item.id not in rejected]
    features = _collected(store, done, provenance, out / FEATURES) if done else None
    return finish_run(out, provenance, features, rejected)


def _heard(extractor: VoiceExtractor, waveform: Waveform, half: int | None) -> Record | Rejected:
    try:
        recording = as_recording(waveform, SAMPLE_RATE)
        extracted = extractor.heard(extractor.part(recording, half))
    except Speech2FaceError as error:
        return unusable(error)
    return {"feature": extracted.feature, "png": png_of(extracted.face)}


def _seen(
    extractor: PictureExtractor | PhotoExtractor, image: RGBImage, located: LocatedFace
) -> Record | Rejected:
    """Of a recogniser only the feature: the picture is in the shard already."""
    try:
        if isinstance(extractor, PictureExtractor):
            return {"feature": extractor.encoder.encode_located([image], [located])[0]}
        extracted = extractor.drawn(image, located)
    except Speech2FaceError as error:
        return unusable(error)
    return {"feature": extracted.feature, "png": png_of(extracted.face)}


def _face_of(members: Mapping[str, bytes], item: PreparedItem) -> tuple[RGBImage, LocatedFace]:
    try:
        picture = np.asarray(Image.open(io.BytesIO(members["jpg"])).convert("RGB"))
        landmarks = np.load(io.BytesIO(members["landmarks.npy"]), allow_pickle=False)
    except (OSError, ValueError) as damage:
        raise _damaged(item) from damage
    return picture, face_at(landmarks)


def _person_of(about: bytes, item: PreparedItem) -> str:
    try:
        said = parse_json_object(about.decode(), str(item.places["json"].shard), remedy=_DAMAGED)
    except UnicodeDecodeError as damage:
        raise _damaged(item) from damage
    return str(said.get("person"))


def _damaged(item: PreparedItem) -> Speech2FaceError:
    problem = f"the record of {item.id} is damaged"
    return Speech2FaceError(problem, _DAMAGED, str(item.places["json"].shard))


def _collected(store: Store, keys: Sequence[str], provenance: Provenance, path: Path) -> FeatureSet:
    """The features of these results, in this order."""
    about = [json.loads(store.content(key, "json")) for key in keys]
    values = np.empty((len(keys), len(store.array(keys[0], "feature"))), np.float32)
    for row, key in enumerate(keys):
        values[row] = store.array(key, "feature")
    ids, persons = (np.array([one[name] for one in about]) for name in ("id", "person"))
    return FeatureSet(ids, persons, values, provenance, str(path))


@cache
def _opened(choice: ExtractorChoice) -> VoiceExtractor | PictureExtractor | PhotoExtractor:
    """One for each process."""
    return choice.open()
