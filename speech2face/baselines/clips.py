"""The clips from which a system learns, as tensors, and the labels that its losses need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from speech2face.baselines.dimnet import MISSING
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.face.align import arcface_template, similarity_crop
from speech2face.face.image import RGBImage, open_image
from speech2face.face.landmarks import five_points
from speech2face.inference.descriptions import describe_clips
from speech2face.inference.pipeline import Pipeline
from speech2face.models.matching_maps import unit_rows
from speech2face.training.recipes.matcher import Pairs

IDENTITY, GENDER = "identity", "gender"
PICTURE_SIZE = 64  # of the two GANs
PICTURE_SCALE = 2  # a photo is aligned at so many times its final size, and then averaged
FACE_SHARE = 0.625  # side of the tight crop of recognisers, as a part of the picture
FACE_PLACE = (0.1875, 0.234)  # (x, y) of its upper left corner, as parts of the side

Rows = NDArray[np.intp]
Reader = Callable[[Rows], Tensor]  # inputs of a network for the clips at these rows


@dataclass(frozen=True, eq=False)
class Clips:
    """N clips with voice and photo.

    Attributes:
        pairs: descriptions of voices and photos by frozen encoders; the inputs of compact systems.
        samples: where voices and photos are, for the size of the papers and for the GANs.
        labels: columns by name, `""` where a clip has no label, `[N]` each.
        landmarks: 68 points of the face in each photo, (x, y) in pixels, `[N, 68, 2]`.
    """

    pairs: Pairs
    samples: tuple[Sample, ...]
    labels: Mapping[str, NDArray[np.str_]]
    landmarks: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Pairs, samples: Sequence[Sample], landmarks: NDArray[np.float64]) -> "Clips":
        """Clips with the labels of their corpus, where the gender is at least the apparent one."""
        names = sorted({name for sample in samples for name in sample.labels})
        columns = {
            name: np.array([sample.labels.get(name, "") for sample in samples]) for name in names
        }
        if not columns.get(GENDER, np.array([""])).all():
            columns[GENDER] = pairs.genders
        return cls(pairs, tuple(samples), columns, landmarks)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def people(self) -> Rows:
        """Number of the person of each clip, in the order of the names, `[N]`."""
        return np.unique(np.array(self.pairs.persons), return_inverse=True)[1].astype(np.intp)

    def take(self, rows: Rows) -> "Clips":
        """The clips at `rows`."""
        return Clips(
            self.pairs.take(rows),
            tuple(self.samples[row] for row in rows),
            {name: column[rows] for name, column in self.labels.items()},
            self.landmarks[rows],
        )

    def classes(self, name: str) -> tuple[NDArray[np.int64], int]:
        """The class of each clip `[N]`, and how many classes a covariate has.

        Raises:
            Speech2FaceError: no clip has this label; names the column.
        """
        if name == IDENTITY:
            return self.people.astype(np.int64), len(set(self.pairs.persons))
        column = self.labels.get(name)
        if column is None or not (column != "").any():
            raise Speech2FaceError(
                f"a loss needs the label {name!r}, and no clip has it",
                f"add a column {name!r} to the manifest, or set lambdas.{name} to 0",
            )
        known = np.unique(column[column != ""])
        found = np.searchsorted(known, column).astype(np.int64)
        return np.where(column == "", MISSING, found), len(known)


def descriptions(clips: Clips) -> Tensor:
    """What the speaker encoder says of each voice, `[N, V]`."""
    return torch.from_numpy(clips.pairs.descriptors).float()


def features(clips: Clips) -> Tensor:
    """Features of each photo by all recognisers, each at length 1, `[N, D]`."""
    parts = [unit_rows(feature) for feature in clips.pairs.features.values()]
    return torch.from_numpy(np.concatenate(parts, axis=1)).float()


def pictures(clips: Clips, size: int = PICTURE_SIZE) -> Tensor:
    """The photos as small pictures in -1..1 whose eyes, noses and mouths lie at the same places.

    Where a face lies in a photo says nothing of the person, and a generator that learns it from
    hundreds of photos learns little else: with faces where they are, a linear map from voices to
    pixels tells people apart hardly better than by chance, with aligned ones it does.

    Returns:
        `[N, 3, size, size]`.

    Raises:
        Speech2FaceError: a photo cannot be read.
    """
    return torch.stack(
        [
            small_picture(aligned(open_image(sample.face), points, size), size)
            for sample, points in zip(clips.samples, clips.landmarks, strict=True)
            if sample.face is not None
        ]
    )


def aligned(photo: RGBImage, landmarks: NDArray[np.float64], size: int) -> RGBImage:
    """The photo with eyes, nose and mouth at their places, at twice the `size` that is wanted."""
    side = PICTURE_SCALE * size
    return similarity_crop(photo, five_points(landmarks), face_template(side), side)


def face_template(size: int) -> NDArray[np.float64]:
    """Where eyes, nose tip and mouth corners lie in a picture with the whole face, `[5, 2]`."""
    corner: NDArray[np.float64] = np.array(FACE_PLACE) * size  # [2]
    return arcface_template(round(FACE_SHARE * size)) + corner


def small_picture(image: RGBImage, size: int) -> Tensor:
    """(x - 127.5) / 127.5 of the picture at `size` pixels, `[3, size, size]`."""
    small = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))
    return torch.from_numpy(small.copy()).permute(2, 0, 1).float().sub(127.5).div(127.5)


def read_clips(
    samples: Sequence[Sample],
    pipeline: Pipeline,
    folder: Path,
    *,
    progress: Callable[[], object] = lambda: None,
) -> tuple[Clips, dict[str, str]]:
    """Clips as frozen encoders describe them, and why others cannot be used, by their ids.

    Args:
        samples: voices and photos.
        pipeline: the model whose speaker encoder describes voices.
        folder: of what is kept between runs.
        progress: called after every voice.

    Raises:
        Speech2FaceError: as `describe_clips`.
    """
    described = describe_clips(samples, pipeline, folder, progress=progress)
    persons = [sample.person for sample in described.samples]
    sizes = pipeline.card.descriptor_sizes
    pairs = Pairs.of(described.descriptors, sizes, described.readings, persons)
    clips = Clips.of(pairs, described.samples, described.readings.landmarks)
    return clips, described.left_out
