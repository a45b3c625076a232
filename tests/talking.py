"""Writes a folder as `speech2face prepare` makes it of videos, without any video."""

import io
import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from media import EXAMPLES

from speech2face.audio.io import decode
from speech2face.data.prepared import CLIPS, PreparedClip, write_clips
from speech2face.data.store import Record, Rejected, Store

RATE = 16_000


def levels_of(number: int) -> np.ndarray:
    """Two to eight seconds of noise."""
    n_samples = RATE * (2 + number)
    return np.random.default_rng(number).integers(-9000, 9000, n_samples).astype("<i2")


def wav(levels: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(levels.tobytes())
    return file.getvalue()


def record(number: int) -> dict[str, np.ndarray | bytes]:
    return {
        "wav": wav(levels_of(number)),
        "jpg": b"not opened in training",
        "json": b"{}",
        "landmarks": np.zeros((68, 2), np.float32),
        "recogniser": np.full(3, number, np.float32),
    }


def write(folder: Path, compute: Callable[[int], Record | Rejected]) -> Path:
    """Seven clips in shards of two; the third is for validation, and the last is rejected."""
    folder.mkdir(exist_ok=True)
    keys = [f"key {number}" for number in range(7)]
    work = Store(folder, "tools").fill(zip(keys, range(7), strict=True), compute, shard_size=2)
    outcomes = {outcome.key: outcome.rejected for outcome in work}
    (folder / "prepared.json").write_text(json.dumps({"fingerprint": "tools", "corpus": "mine"}))
    write_clips(
        folder / CLIPS,
        [
            PreparedClip(f"clip/{n}", "val" if n == 2 else "train", keys[n], outcomes[keys[n]])
            for n in range(7)
        ]
        + [PreparedClip("row 9", None, "", Rejected("bad_row", "no end"))],
    )
    return folder


def write_many(folder: Path, n_clips: int, n_samples: int) -> Path:
    """Clips with real speech, each with its own part of a voice."""
    voices = [decode(file, speech_only=False).waveform for file in sorted(EXAMPLES.glob("*.ogg"))]

    def spoken(number: int) -> Record:
        voice = np.resize(voices[number % len(voices)], n_samples + 100 * number)
        about = {"id": f"clip/{number}", "person": f"person {number // 2}"}
        return {
            "wav": wav(np.rint(voice[-n_samples:] * 32767).astype("<i2")),
            "json": json.dumps(about).encode(),
        }

    folder.mkdir(exist_ok=True)
    keys = [f"key {number}" for number in range(n_clips)]
    list(Store(folder, "tools").fill(zip(keys, range(n_clips), strict=True), spoken, shard_size=64))
    (folder / "prepared.json").write_text(json.dumps({"fingerprint": "tools", "corpus": "mine"}))
    clips = [PreparedClip(f"clip/{n}", "train", key) for n, key in enumerate(keys)]
    write_clips(folder / CLIPS, clips)
    return folder
