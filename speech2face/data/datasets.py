"""Precomputed features as batches for training.

The order of samples is a function of the seed and of how many samples were seen before: sample
number `p` of a training is sample `p % n` of the shuffle of epoch `p // n`. Nothing has to be
remembered, so a run that was killed goes on with the very batches it would have seen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from speech2face.data.sample import Split
from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.records import read_json_object

B = TypeVar("B")  # a batch
DESCRIPTION = "features.json"  # what all shards of a folder have in common


class VoiceBatch(NamedTuple):
    """What the voice encoder learns from."""

    spectrogram: Tensor  # [B, 2, F, T] float32
    face_feature: Tensor  # [B, D] float32, v_f

    def to(self, device: torch.device) -> "VoiceBatch":
        """The same batch on a device."""
        return VoiceBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


class FaceBatch(NamedTuple):
    """What the face decoder learns from."""

    face_feature: Tensor  # [B, D] float32, v_f
    landmarks: Tensor  # [B, 68, 2] float32, (x, y) in pixels of the canonical face
    canonical_face: Tensor  # [B, 3, 224, 224] float32 RGB in 0..1

    def to(self, device: torch.device) -> "FaceBatch":
        """The same batch on a device."""
        return FaceBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass(frozen=True)
class FeatureShards:
    """Features of one split in a folder of `shard-NNNNN.safetensors`; rows are read on demand.

    Attributes:
        folder: as `speech2face.prepare.pairs` fills it.
        split: only samples of it are seen.
    """

    folder: Path
    split: Split

    def __post_init__(self) -> None:
        if not (self.folder / DESCRIPTION).is_file():
            raise Speech2FaceError(
                f"no features here (there is no {DESCRIPTION})",
                "give a folder that prepare_pairs has filled",
                str(self.folder),
            )
        if not self._rows:
            raise Speech2FaceError(
                f"no features of split {self.split!r}", "prepare samples of it", str(self.folder)
            )

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def description(self) -> dict[str, Any]:
        """What all shards have in common: recogniser, clip length, hash of the manifest."""
        return read_json_object(self.folder / DESCRIPTION)

    @property
    def ids(self) -> list[str]:
        """Sample ids in the order of the positions that `read` takes."""
        return [name for name, _, _ in self._rows]

    def read(self, name: str, positions: Sequence[int]) -> Tensor:
        """Rows of one feature, `[B, ...]` as stored.

        Raises:
            Speech2FaceError: the shards do not hold a feature of that name.
        """
        rows = [self._rows[position] for position in positions]
        return torch.stack([self._read_row(shard, name, row) for _, shard, row in rows])

    def voice_batch(self, positions: Sequence[int], n_frames: int | None = None) -> VoiceBatch:
        """Batch for the voice encoder; `n_frames` keeps the beginning of each spectrogram.

        Frames do not overlap what follows them, so this equals the spectrogram of a shorter clip.
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
    def _rows(self) -> list[tuple[str, Path, int]]:
        """Sample id, shard and row in it, in the order of the shards."""
        rows = []
        for marker in sorted(self.folder.glob("shard-*.json")):
            samples = read_json_object(marker)["samples"]
            shard = marker.with_suffix(".safetensors")
            rows += [
                (sample["id"], shard, row)
                for row, sample in enumerate(samples)
                if sample["split"] == self.split
            ]
        return rows

    def _read_row(self, shard: Path, name: str, row: int) -> Tensor:
        if shard not in self._open_shards:
            self._open_shards[shard] = _open(shard)
        file = self._open_shards[shard]
        if name not in file.keys():  # noqa: SIM118 (a safetensors file is no mapping)
            raise Speech2FaceError(
                f"the features hold no {name!r}",
                "prepare a manifest whose samples all have what it is made from",
                str(shard),
            )
        tensor: Tensor = file.get_slice(name)[row]
        return tensor

    @cached_property
    def _open_shards(self) -> dict[Path, Any]:
        return {}


def positions_from(
    samples_seen: int, *, n_samples: int, batch_size: int, seed: int
) -> Iterator[list[int]]:
    """Batches of positions without end, beginning with sample number `samples_seen` of a training.

    Every epoch is a shuffle of all samples; a batch may hold the end of one and the beginning of
    the next.
    """
    epoch, order = -1, np.empty(0, dtype=np.int64)
    while True:
        batch = []
        for number in range(samples_seen, samples_seen + batch_size):
            if number // n_samples != epoch:
                epoch = number // n_samples
                order = np.random.default_rng([seed, epoch]).permutation(n_samples)
            batch.append(int(order[number % n_samples]))
        samples_seen += batch_size
        yield batch


def shuffled(
    read: Callable[[Sequence[int]], B], *, n_samples: int, batch_size: int, seed: int
) -> Callable[[int], Iterator[B]]:
    """`batches_from(samples_seen)` of a training: endless and repeatable."""

    def batches_from(samples_seen: int) -> Iterator[B]:
        stream = positions_from(samples_seen, n_samples=n_samples, batch_size=batch_size, seed=seed)
        return map(read, stream)

    return batches_from


def in_order(read: Callable[[Sequence[int]], B], *, n_samples: int, batch_size: int) -> Iterator[B]:
    """Every sample once, in the order of the shards; the last batch may be smaller."""
    for start in range(0, n_samples, batch_size):
        yield read(range(start, min(start + batch_size, n_samples)))


def _open(shard: Path) -> Any:
    try:
        from safetensors import safe_open
    except ModuleNotFoundError as missing:
        raise missing_extra("safetensors", "train") from missing
    return safe_open(shard, framework="pt")
