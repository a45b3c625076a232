"""Precomputed features as batches for training.

The order in which a training reads them is in `data.order`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speech2face.data.prepared import CLIPS, DESCRIPTION, PreparedClip, read_clips
from speech2face.data.sample import Split
from speech2face.data.store import Store
from speech2face.errors import Speech2FaceError
from speech2face.records import read_json_object


class VoiceBatch(NamedTuple):
    """A batch for the voice encoder."""

    spectrogram: Tensor  # [B, 2, F, T] float32
    face_feature: Tensor  # [B, D] float32, v_f

    def to(self, device: torch.device) -> "VoiceBatch":
        """The same batch on a device."""
        return VoiceBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


class FaceBatch(NamedTuple):
    """A batch for the face decoder."""

    face_feature: Tensor  # [B, D] float32, v_f
    landmarks: Tensor  # [B, 68, 2] float32, (x, y) in pixels of the canonical face
    canonical_face: Tensor  # [B, 3, 224, 224] float32 RGB in 0..1

    def to(self, device: torch.device) -> "FaceBatch":
        """The same batch on a device."""
        return FaceBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass(frozen=True)
class FeatureShards:
    """Features of one split of a prepared folder; rows are read on demand.

    Attributes:
        folder: a folder that `speech2face.prepare.pairs` has filled.
        split: only samples of this split are used.
    """

    folder: Path
    split: Split

    def __post_init__(self) -> None:
        for name in (DESCRIPTION, CLIPS):
            if not (self.folder / name).is_file():
                raise Speech2FaceError(
                    f"there are no features here ({name} is missing)",
                    "give a folder that `speech2face prepare` has filled to its end",
                    str(self.folder),
                )
        if not self._clips:
            raise Speech2FaceError(
                f"there are no features of the split {self.split!r}",
                "prepare samples of it",
                str(self.folder),
            )

    def __len__(self) -> int:
        return len(self._clips)

    @cached_property
    def description(self) -> dict[str, Any]:
        """What all features have in common: recogniser, clip length, digests of both lists."""
        digest = hashlib.sha256((self.folder / CLIPS).read_bytes()).hexdigest()
        return read_json_object(self.folder / DESCRIPTION) | {"clips_sha256": digest}

    @property
    def ids(self) -> list[str]:
        """Ids of the samples; `read` takes positions in this list."""
        return [clip.id for clip in self._clips]

    @cached_property
    def shards(self) -> NDArray[np.int32]:
        """Number of the shard of each sample, `[N]`."""
        numbers = [self._store.shard_of(clip.key) for clip in self._clips]
        return np.array(numbers, dtype=np.int32)

    def read(self, name: str, positions: Sequence[int]) -> Tensor:
        """Rows of one feature, `[B, ...]` as stored.

        Raises:
            Speech2FaceError: the records have no feature of that name.
        """
        keys = [self._clips[position].key for position in positions]
        return torch.stack([torch.from_numpy(self._store.array(key, name)) for key in keys])

    def voice_batch(self, positions: Sequence[int], n_frames: int | None = None) -> VoiceBatch:
        """Batch for the voice encoder; with `n_frames`, only the first frames are used.

        A frame does not depend on later samples, so this equals the spectrogram of a shorter clip.
        """
        spectrogram = self.read("spectrogram", positions)[..., :n_frames]  # [B, 2, F, T]
        return VoiceBatch(spectrogram.float(), self.read("face_feature", positions).float())

    def face_batch(self, positions: Sequence[int]) -> FaceBatch:
        """Batch for the face decoder."""
        pixels = self.read("canonical_face", positions)  # [B, 3, 224, 224] uint8
        return FaceBatch(
            self.read("face_feature", positions).float(),
            self.read("landmarks", positions).float(),
            pixels.float() / 255,
        )

    @cached_property
    def _clips(self) -> list[PreparedClip]:
        """Clips of the split that have features, in the order of the manifest."""
        clips = read_clips(self.folder / CLIPS)
        return [clip for clip in clips if clip.rejected is None and clip.split == self.split]

    @cached_property
    def _store(self) -> Store:
        return Store(self.folder, str(self.description.get("fingerprint")))
