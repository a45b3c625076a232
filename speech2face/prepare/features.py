"""Face features of clips that are prepared, computed from the pictures in the shards.

This pass needs no video. So a recogniser can be chosen after the videos were decoded, and even
after they were deleted. The new member of a record has the name of the feature, such as
`dlib_resnet_v1.npy`.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from speech2face.data.members import MemberWork, add_members
from speech2face.data.prepared import open_prepared
from speech2face.data.store import versions
from speech2face.face.detect import face_at
from speech2face.face.recognisers import RecogniserName, load_recogniser
from speech2face.models.hub import sha256_of
from speech2face.runners.contract import Runner


@dataclass(frozen=True)
class FeatureWork:
    """Computes the feature of a record; every process loads the recogniser once."""

    encoder: RecogniserName
    weights: Path | None = None  # of vgg-face

    def __call__(self, members: Mapping[str, bytes]) -> dict[str, NDArray[Any]]:
        """`{name of the feature: [D] float32}` of the members of a record."""
        encoder = _loaded(self.encoder, self.weights)
        picture = np.asarray(Image.open(io.BytesIO(members["jpg"])).convert("RGB"))
        landmarks = np.load(io.BytesIO(members["landmarks.npy"]), allow_pickle=False)
        return {encoder.name: encoder.encode_located([picture], [face_at(landmarks)])[0]}


def add_feature(folder: Path, work: FeatureWork, run: Runner) -> Iterator[int]:
    """Add a feature to all records that lack it; yields the number of records of each shard.

    Raises:
        Speech2FaceError: there are no prepared clips, the recogniser cannot be loaded, or another
            process writes into the folder.
    """
    store = open_prepared(folder)
    name = _loaded(work.encoder, work.weights).name
    made_with = {package: str(version) for package, version in versions().items()}
    if work.weights is not None:
        made_with["weights"] = sha256_of(work.weights.read_bytes())
    yield from add_members(store, name, MemberWork(folder, work, made_with), run)


_loaded = cache(load_recogniser)  # once in each process
