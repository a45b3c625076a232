"""From a photo to a face, by the same graph that draws the faces of voices (F2F).

A linear map from a recogniser's feature of the photo to the model's face feature replaces the
hearing graph. Its file is beside the model, as `NAME-photo.safetensors`. F2F is what the decoder
makes of a true face: the best result that can be expected from a voice.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.face.detect import DlibDetector, FaceDetector, LocatedFace, face_in
from speech2face.face.encoder import DlibFaceEncoder, FaceEncoder
from speech2face.face.image import RGBImage
from speech2face.inference.pipeline import Face, Floats, Pipeline, load_model
from speech2face.models import hub
from speech2face.records import parse_json_object
from speech2face.tensor_files import content_of_arrays, read_arrays

FORMAT = 2  # format 1 gave coordinates of the draw
WEIGHT, BIAS = "weight", "bias"

_MAKE_AGAIN = "make the model and its photo map again: speech2face default-model"


@dataclass(frozen=True, eq=False)
class PhotoMap:
    """Linear map from a recogniser's feature of a photo to the face feature of one model."""

    weight: Floats  # [D, D_photo]
    bias: Floats  # [D]
    recogniser: str  # name of the feature
    face_sha256: str  # of the one face graph that draws these features

    def __call__(self, feature: NDArray[Any]) -> Floats:
        """Face feature `[D]` of a photo's feature `[D_photo]`."""
        mapped = self.weight.astype(np.float64) @ feature.astype(np.float64) + self.bias
        return mapped.astype(np.float32)


class PhotoPipeline:
    """A model and its photo map, ready to turn photos into frontal faces on white."""

    def __init__(
        self,
        pipeline: Pipeline,
        photo_map: PhotoMap,
        *,
        detector: FaceDetector | None = None,
        encoder: FaceEncoder | None = None,
    ) -> None:
        """Use `pipeline` for photos.

        Args:
            pipeline: the model.
            photo_map: made with the same file.
            detector: dlib's unless given.
            encoder: the recogniser that the map was fitted to, dlib's unless given.

        Raises:
            Speech2FaceError: the map belongs to another model or another recogniser.
        """
        self.pipeline, self.photo_map = pipeline, photo_map
        self.detector = detector or DlibDetector()
        self.encoder = encoder or DlibFaceEncoder(self.detector)
        _refuse_strangers(pipeline, photo_map, self.encoder)

    def reconstruct(
        self, photo: str | os.PathLike[str] | RGBImage, *, exaggeration: float = 0.0
    ) -> Face:
        """Make the frontal, neutral face that the decoder finds in a photo.

        Args:
            photo: a picture file, or uint8 RGB `[H, W, 3]`; of several faces the largest counts.
            exaggeration: 0 the face itself, -1 the mean face, more than 0 further from the mean.

        Raises:
            Speech2FaceError: the picture cannot be used, or no face is found in it.
        """
        image, located = face_in(photo, self.detector)
        return self.reconstruct_located(image, located, exaggeration=exaggeration)

    def reconstruct_located(
        self, image: RGBImage, located: LocatedFace, *, exaggeration: float = 0.0
    ) -> Face:
        """The same for a face that is already located, or assumed to be there."""
        feature = self.encoder.encode_located([image], [located])[0]  # [D_photo]
        return self.pipeline.draw(self.photo_map(feature), exaggeration=exaggeration)


def load_photo_pipeline(
    model: str | os.PathLike[str] | None = None, *, threads: int | None = None
) -> PhotoPipeline:
    """Open a model for photos; its photo map must be beside it.

    Args:
        model: as for `load_model`.
        threads: as for `load_model`.

    Raises:
        Speech2FaceError: the model cannot be used, or it came without a photo map of its own.
    """
    return photo_pipeline_of(load_model(model, threads=threads), model)


def photo_pipeline_of(
    pipeline: Pipeline, model: str | os.PathLike[str] | None = None
) -> PhotoPipeline:
    """The same for a model that is open already."""
    return PhotoPipeline(pipeline, read_photo_map(photo_map_path_of(model)))


def photo_map_path_of(model: str | os.PathLike[str] | None = None) -> Path:
    """Path of the photo map of a model, which is given as for `load_model`."""
    return hub.photo_map_path(hub.hearing_graph_path(model))


def write_photo_map(photo_map: PhotoMap, path: Path) -> None:
    """Write `photo_map`; the caller sees to it that a half-written file is not found."""
    header = {
        "format": FORMAT,
        "recogniser": photo_map.recogniser,
        "face_sha256": photo_map.face_sha256,
    }
    arrays = {WEIGHT: photo_map.weight, BIAS: photo_map.bias}
    text = json.dumps(header, sort_keys=True)
    path.write_bytes(content_of_arrays(arrays, text, extra="face"))


def read_photo_map(path: Path) -> PhotoMap:
    """The photo map in a file.

    Raises:
        Speech2FaceError: missing, damaged, or another kind of file.
    """
    if not path.is_file():
        problem = "the model came without a photo map"
        raise Speech2FaceError(problem, "take a model that has one, such as `default`", str(path))
    try:
        said, arrays = read_arrays(path, [WEIGHT, BIAS], extra="face")
        header = parse_json_object(said, path, remedy=_MAKE_AGAIN, part="its header")
        weight, bias = arrays[WEIGHT], arrays[BIAS]
        if header["format"] != FORMAT or bias.shape != weight.shape[:1] or weight.ndim != 2:
            raise ValueError(f"format {header['format']}, shapes {weight.shape}, {bias.shape}")
        return PhotoMap(weight, bias, str(header["recogniser"]), str(header["face_sha256"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Speech2FaceError(f"not a photo map ({error})", _MAKE_AGAIN, str(path)) from error


def _refuse_strangers(pipeline: Pipeline, photo_map: PhotoMap, encoder: FaceEncoder) -> None:
    card = pipeline.card
    if photo_map.face_sha256 != card.face_sha256:
        problem = f"the photo map belongs to another model than {card.name!r}"
        raise Speech2FaceError(problem, _MAKE_AGAIN)
    found = (photo_map.recogniser, photo_map.weight.shape)
    wanted = (encoder.name, (card.feature_size, encoder.size))
    if found != wanted:
        problem = f"the photo map is {found[1]} of {found[0]}, wanted is {wanted[1]} of {wanted[0]}"
        raise Speech2FaceError(problem, _MAKE_AGAIN)
