"""Prepared videos as batches for training: the sound as 16-bit samples, and the face feature.

A spectrogram needs four times the bytes of its sound, so the shards contain sound only, and the
spectrogram is computed where the network is (`SoundBatch.to`). Members are read from the tar files
by their offset. What is kept in memory of a clip are a few numbers, and not its name.
"""

import gc
import hashlib
import io
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speech2face.audio.spectrogram import HOP_LENGTH, WIN_LENGTH, complex_spectrogram
from speech2face.audio.wav import FULL_SCALE, HEADER_SIZE, levels_of
from speech2face.data.datasets import FeatureShards, VoiceBatch
from speech2face.data.prepared import CLIPS, PREPARED, each_clip, refuse_outdated_split
from speech2face.data.sample import Split
from speech2face.data.store import members_of, tar_of
from speech2face.errors import Speech2FaceError
from speech2face.records import read_json_object

_NOT_FEATURES = {"landmarks.npy"}
_REMEDY = "prepare the clips again"


class SoundBatch(NamedTuple):
    """A batch for the voice encoder before its spectrogram is computed."""

    levels: Tensor  # [B, L] int16, 16 kHz
    face_feature: Tensor  # [B, D] float32, v_f

    def to(self, device: torch.device) -> VoiceBatch:
        """The batch on a device, where its spectrogram is computed in float32."""
        levels = self.levels.to(device, non_blocking=True)
        feature = self.face_feature.to(device, non_blocking=True)
        return VoiceBatch(complex_spectrogram(levels.float() / FULL_SCALE), feature)


@dataclass(frozen=True)
class TalkingShards:
    """Clips of one split of a folder that `speech2face prepare` has filled from videos.

    Attributes:
        folder: of the shards.
        split: only clips of this split are used.
        feature: name of the face feature, such as `dlib_resnet_v1`. It may be empty if the clips
            have one feature only.
    """

    folder: Path
    split: Split
    feature: str = ""

    def __post_init__(self) -> None:
        for name in (PREPARED, CLIPS):
            if not (self.folder / name).is_file():
                raise Speech2FaceError(
                    f"there are no prepared clips here ({name} is missing)",
                    "give a folder that `speech2face prepare` has filled to its end",
                    str(self.folder),
                )
        refuse_outdated_split(self.folder)

    def __len__(self) -> int:
        return len(self._index.shards)

    @cached_property
    def description(self) -> dict[str, Any]:
        """What all clips have in common: corpus, tools, the feature, a digest of their list."""
        digest = hashlib.sha256((self.folder / CLIPS).read_bytes()).hexdigest()
        return read_json_object(self.folder / PREPARED) | {
            "face_feature": self._index.feature,
            "feature_size": self.read("face_feature", [0]).shape[1],
            "clips_sha256": digest,
        }

    @property
    def shards(self) -> NDArray[np.int32]:
        """Number of the shard of each clip, `[N]`."""
        return self._index.shards

    def voice_batch(self, positions: Sequence[int], n_frames: int) -> SoundBatch:
        """Sound for `n_frames` frames of each clip, from its beginning, and its face feature.

        A clip that is shorter is repeated.
        """
        n_samples = WIN_LENGTH + (n_frames - 1) * HOP_LENGTH
        levels, features = [], []
        for position in positions:
            wav, feature = self._index.members(position, HEADER_SIZE + 2 * n_samples)
            levels.append(np.resize(levels_of(wav), n_samples))  # repeats what is shorter
            features.append(_array_of(feature))
        return SoundBatch(
            torch.from_numpy(np.stack(levels)), torch.from_numpy(np.stack(features)).float()
        )

    def read(self, name: str, positions: Sequence[int]) -> Tensor:
        """Face features `[B, D]`; `name` is `face_feature`, the only array that training reads."""
        if name != "face_feature":
            problem = f"clips of videos have no {name!r}"
            raise Speech2FaceError(problem, "use features of pairs for this", str(self.folder))
        rows = [_array_of(self._index.members(position, 0)[1]) for position in positions]
        return torch.from_numpy(np.stack(rows))

    @cached_property
    def _index(self) -> "_Index":
        with _uncollected():
            return _read_index(self.folder, self.split, self.feature)


def open_voices(folder: Path, split: Split, feature: str = "") -> FeatureShards | TalkingShards:
    """The voices of one split of a folder that `speech2face prepare` has filled, of either kind.

    Args:
        feature: name of the face feature, if clips of videos have several.

    Raises:
        Speech2FaceError: there are none, or the preparation has not ended.
    """
    if (folder / PREPARED).is_file():
        return TalkingShards(folder, split, feature)
    return FeatureShards(folder, split)


@dataclass(frozen=True, eq=False)
class _Index:
    """Where sound and feature of each clip lie.

    Attributes:
        files: tar file by number of the shard.
        shards: number of the shard of each clip, `[N]`.
        places: offset and size in bytes of its sound and of its feature, `[N, 2, 2]`.
        feature: name of the feature.
    """

    files: dict[int, Path]
    shards: NDArray[np.int32]
    places: NDArray[np.int64]
    feature: str

    def members(self, position: int, most: int) -> tuple[bytes, bytes]:
        """At most `most` bytes of the sound, and the feature of one clip."""
        file = self.files[int(self.shards[position])]
        (start, size), (feature_start, feature_size) = self.places[position].tolist()
        try:
            with file.open("rb", buffering=0) as opened:
                opened.seek(start)
                wav = opened.read(min(size, most))
                opened.seek(feature_start)
                feature = opened.read(feature_size)
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise Speech2FaceError(problem, _REMEDY, str(file)) from error
        if len(wav) < min(size, most) or len(feature) < feature_size:
            raise Speech2FaceError("is cut off", _REMEDY, str(file))
        return wav, feature


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection: ledgers hold no cycles, but millions of objects to be searched."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_index(folder: Path, split: Split, feature: str) -> _Index:
    wanted = {
        clip.key
        for clip in each_clip(folder / CLIPS)
        if clip.split == split and clip.rejected is None
    }
    if not wanted:
        problem = f"there are no clips of the split {split!r}"
        raise Speech2FaceError(problem, "prepare clips of it", str(folder))
    fingerprint = read_json_object(folder / PREPARED).get("fingerprint")
    files: dict[int, Path] = {}
    shards, places = array("i"), array("q")  # not lists: they hold millions of numbers
    for ledger in sorted(folder.glob("shard-*.json")):
        number = int(ledger.stem.removeprefix("shard-"))
        record = read_json_object(ledger, remedy=_REMEDY)
        if record.get("fingerprint") != fingerprint:
            continue  # made by other tools; `clips.jsonl` does not speak of its records
        try:
            files[number] = _whole_tar(folder, number, record)
            for row in record["rows"]:
                members = members_of(row, record)
                if row["key"] in wanted:
                    feature = feature or _only_feature(members, folder)
                    places.extend((*members["wav"], *_place_of(feature, members, folder)))
                    shards.append(number)
        except (KeyError, TypeError, ValueError) as damage:
            raise Speech2FaceError("the ledger is damaged", _REMEDY, str(ledger)) from damage
    if len(shards) != len(wanted):
        problem = f"{len(wanted) - len(shards)} of {len(wanted)} clips are in no shard"
        raise Speech2FaceError(problem, "start the same `speech2face prepare` again", str(folder))
    return _Index(
        files,
        np.array(shards, dtype=np.int32),
        np.array(places, dtype=np.int64).reshape(-1, 2, 2),
        feature,
    )


def _whole_tar(folder: Path, number: int, ledger: Mapping[str, Any]) -> Path:
    """The tar file of a shard; raises if it is not as long as its ledger says."""
    file = tar_of(folder, number, ledger)
    if not file.is_file() or file.stat().st_size != ledger["size"]:
        remedy = "start the same `speech2face prepare` again"
        raise Speech2FaceError("this shard is missing or cut off", remedy, str(file))
    return file


def _features_in(members: dict[str, tuple[int, int]]) -> list[str]:
    names = (name for name in members if name.endswith(".npy") and name not in _NOT_FEATURES)
    return sorted(name.removesuffix(".npy") for name in names)


def _only_feature(members: dict[str, tuple[int, int]], folder: Path) -> str:
    found = _features_in(members)
    if not found:
        problem = "the clips have no face feature yet"
        remedy = "add one with `speech2face prepare ... --add-feature`"
        raise Speech2FaceError(problem, remedy, str(folder))
    if len(found) > 1:
        problem = f"the clips have the face features {', '.join(found)}"
        raise Speech2FaceError(problem, f"choose with --set face_feature={found[0]}", str(folder))
    return found[0]


def _place_of(feature: str, members: dict[str, tuple[int, int]], folder: Path) -> tuple[int, int]:
    if f"{feature}.npy" not in members:
        problem = f"a clip lacks the face feature {feature!r}; it has {_features_in(members)}"
        remedy = "add it with `speech2face prepare ... --add-feature`"
        raise Speech2FaceError(problem, remedy, str(folder))
    return members[f"{feature}.npy"]


def _array_of(content: bytes) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as damage:
        raise Speech2FaceError("a face feature is damaged", _REMEDY) from damage
    return array
