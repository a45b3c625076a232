"""How far the circumstances of a recording move a face: silence, noise, telephones, codecs, length.

    python benchmarks/conditions.py --data LIBRISPEECH [--speakers 40] [--model M.onnx]

For every speaker, the clean face is that of the first twelve seconds. A condition changes these
seconds; the table says how far the face moves, in grey levels (mean absolute difference of all
pixels and channels) and as a multiple of the difference between the faces of the two halves of the
clean seconds, and of how many speakers the own clean face is the nearest. The last two columns say
the same of the feature that is heard, before it is drawn. For lengths above twelve seconds more of
the same speaker is joined, where there is enough. The table is Markdown; the model card holds it.

All noise is white and drawn with a seed. FFmpeg has no encoder for GSM's full rate; AMR at 12.2
kbit/s is GSM's enhanced full rate.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import speech2face
from speech2face.audio.codec import CODECS, Codec, encoded
from speech2face.audio.distortion import filtered, room, telephone, with_noise
from speech2face.audio.io import decode
from speech2face.audio.segment import halves
from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.data import librispeech
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.inference.pipeline import Pipeline
from speech2face.progress import Progress

CLEAN_SECONDS = 12.0
SILENCES = (0.25, 0.5, 1.0, 2.0, 10.0)  # as multiples of the speech
LENGTHS = (1.0, 2.0, 3.0, 6.0, 30.0, 60.0)  # s
NEAR_PAUSE = SAMPLE_RATE // 2  # samples: a pause is put at the quietest moment so near to its place
OTHER_HALF = "the other half of the clean seconds"  # its row is the unit of the others
QUIET = SAMPLE_RATE // 50  # samples: 20 ms, whose loudness says how quiet a moment is
# Gains of two microphones at Hz, dB: a small one that is shrill, a covered one that is dull.
SHRILL = ((100.0, 300.0, 1000.0, 3000.0, 8000.0), (-18.0, -9.0, 0.0, 8.0, 3.0))
DULL = ((100.0, 1000.0, 3000.0, 5000.0, 8000.0), (6.0, 0.0, -6.0, -14.0, -24.0))

Heard = Waveform | bytes  # samples `[L]` or `[C, L]` at 16 kHz, or the content of a file
Condition = Callable[["Speaker"], Heard | None]  # None: this speaker has too little speech


@dataclass(frozen=True)
class Speaker:
    """What one person says."""

    clean: Waveform  # [L]: the first `CLEAN_SECONDS`
    everything: Waveform  # [M], of which `clean` is the beginning


class Faces(NamedTuple):
    """Of S speakers; a row is NaN where no face was made."""

    pixels: NDArray[np.float32]  # [S, P], grey levels
    features: NDArray[np.float32]  # [S, D]


class Moved(NamedTuple):
    """How far faces of S speakers moved from the clean ones."""

    n_made: int  # faces that were made
    n_asked: int  # speakers who have enough speech
    grey: float  # mean absolute difference, grey levels
    n_own: int  # of the faces made: the own clean face is the nearest of all
    feature: float  # mean distance of features
    n_own_feature: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="LibriSpeech, either layout")
    parser.add_argument("--speakers", type=int, default=40, help="how many (%(default)s)")
    parser.add_argument("--model", type=Path, help="exported model file (the embedded one)")
    arguments = parser.parse_args()
    pipeline = speech2face.load_model(arguments.model)
    speakers = read_speakers(librispeech.read(arguments.data), arguments.speakers)
    show(measure(pipeline, speakers, conditions()), len(speakers))


def read_speakers(samples: Iterable[Sample], n_speakers: int) -> list[Speaker]:
    """Those who speak longest, and of equals the first by id; all that they say, joined."""
    utterances = defaultdict(list)
    for sample in samples:
        utterances[sample.person].append(sample.voice)
    spoken = {
        person: np.concatenate([decode(file, speech_only=False).waveform for file in files])
        for person, files in sorted(utterances.items())
    }
    longest = sorted(spoken, key=lambda person: -len(spoken[person]))[:n_speakers]
    n_clean = round(CLEAN_SECONDS * SAMPLE_RATE)
    return [Speaker(spoken[person][:n_clean], spoken[person]) for person in longest]


def conditions() -> dict[str, Condition]:
    """Every row of the table by name."""
    found: dict[str, Condition] = {}
    for place in ("before", "between", "after"):
        for multiple in SILENCES:
            found[f"silence {place}, {multiple:g} times the speech"] = of_clean(
                partial(with_silence, place=place, multiple=multiple)
            )
    for level in (-65.0, -40.0):
        found[f"noise at {level:.0f} dBFS before, twice the speech"] = of_clean(
            partial(after_noise, dbfs=level)
        )
    for ratio in (20.0, 10.0, 0.0):
        found[f"noise {ratio:.0f} dB below the speech"] = of_clean(partial(noisy, decibels=ratio))
    found["a room with reverberation"] = of_clean(lambda clean: room(clean, _rng()))
    found["telephone band, 300 to 3400 Hz"] = of_clean(lambda clean: telephone(clean, _rng()))
    for name, codec in CODECS.items():
        found[name] = of_clean(partial(coded, codec=codec))
    return found | {
        "one of two channels, the other silent": of_clean(lambda c: np.stack([c, 0 * c])),
        "two channels, one inverted": of_clean(lambda clean: np.stack([clean, -clean])),
        "40 dB quieter": of_clean(lambda clean: clean * np.float32(0.01)),
        "clipped, 5 % of the samples": of_clean(partial(clipped, share=0.05)),
        "clipped, 20 % of the samples": of_clean(partial(clipped, share=0.20)),
        "a shrill microphone": of_clean(lambda clean: filtered(clean, *SHRILL)),
        "a dull microphone": of_clean(lambda clean: filtered(clean, *DULL)),
        **{f"{seconds:g} s of it": partial(cut, seconds=seconds) for seconds in LENGTHS},
    }


def of_clean(change: Callable[[Waveform], Heard]) -> Condition:
    """A condition that changes the clean seconds."""
    return lambda speaker: change(speaker.clean)


def with_silence(clean: Waveform, *, place: str, multiple: float) -> Waveform:
    """Digital silence before or after the speech, or in equal parts in three pauses of it."""
    silence = np.zeros(round(multiple * len(clean)), np.float32)
    if place == "before":
        return np.concatenate([silence, clean])
    if place == "after":
        return np.concatenate([clean, silence])
    cuts = [quietest_near(clean, len(clean) * quarter // 4) for quarter in (1, 2, 3)]
    pauses = [*np.array_split(silence, len(cuts)), silence[:0]]
    parts = zip(np.split(clean, cuts), pauses, strict=True)
    return np.concatenate([one for pair in parts for one in pair])


def quietest_near(waveform: Waveform, place: int) -> int:
    """The middle of the 20 ms that are the quietest within half a second of a place."""
    start = max(place - NEAR_PAUSE, 0)
    power = np.square(waveform[start : place + NEAR_PAUSE])
    smooth = np.convolve(power, np.ones(QUIET), "valid")
    return int(start + smooth.argmin() + QUIET // 2)


def after_noise(clean: Waveform, *, dbfs: float) -> Waveform:
    """Noise of that root mean square, twice as long as the speech that follows it."""
    noise = 10 ** (dbfs / 20) * _rng().standard_normal(2 * len(clean))
    return np.concatenate([noise.astype(np.float32), clean])


def noisy(clean: Waveform, *, decibels: float) -> Waveform:
    """Noise under all of the speech, which is that much stronger."""
    noise = _rng().standard_normal(len(clean)).astype(np.float32)
    return with_noise(clean, noise, decibels)


def coded(clean: Waveform, *, codec: Codec) -> bytes:
    """The content of a file, to be read as any other."""
    return encoded(clean, codec)


def clipped(clean: Waveform, *, share: float) -> Waveform:
    """That share of the samples cut off."""
    limit = np.quantile(np.abs(clean), 1 - share)
    return np.clip(clean, -limit, limit).astype(np.float32)


def cut(speaker: Speaker, *, seconds: float) -> Waveform | None:
    """The first seconds of everything, if there are so many."""
    n_samples = round(seconds * SAMPLE_RATE)
    return speaker.everything[:n_samples] if n_samples <= len(speaker.everything) else None


def measure(
    pipeline: Pipeline, speakers: Sequence[Speaker], rows: Mapping[str, Condition]
) -> dict[str, Moved]:
    """How far each condition moves the faces; first, how far apart two halves of a speaker are."""
    clean = faces(pipeline, [speaker.clean for speaker in speakers])
    first, second = (
        faces(pipeline, [halves(speaker.clean)[number] for speaker in speakers])
        for number in (0, 1)
    )
    found = {OTHER_HALF: moved(first, second, n_asked=len(speakers))}
    with Progress(len(rows), unit="conditions") as progress:
        for name, condition in rows.items():
            heard = [condition(speaker) for speaker in speakers]
            n_asked = sum(one is not None for one in heard)
            found[name] = moved(faces(pipeline, heard), clean, n_asked=n_asked)
            progress.advance()
    return found


def faces(pipeline: Pipeline, voices: Sequence[Heard | None]) -> Faces:
    """Faces of voices, each a row; a voice that is refused is named on standard error."""
    size = (len(voices), 3 * 224 * 224)
    pixels = np.full(size, np.nan, np.float32)
    features = np.full((len(voices), pipeline.card.feature_size), np.nan, np.float32)
    for row, voice in enumerate(voices):
        if voice is None:
            continue
        rate = None if isinstance(voice, bytes) else SAMPLE_RATE
        try:
            features[row] = pipeline.hear(voice, sample_rate=rate)
        except Speech2FaceError as error:
            print(f"speaker {row + 1}: {error}", file=sys.stderr)
            continue
        pixels[row] = np.asarray(pipeline.draw(features[row]).image, np.float32).reshape(-1)
    return Faces(pixels, features)


def moved(changed: Faces, clean: Faces, *, n_asked: int) -> Moved:
    """Compare faces with the clean ones of the same people, row by row."""
    made = np.flatnonzero(np.isfinite(changed.features[:, 0]))
    if len(made) == 0:
        return Moved(0, n_asked, np.nan, 0, np.nan, 0)
    grey = np.stack([np.abs(clean.pixels - changed.pixels[row]).mean(axis=1) for row in made])
    feature = np.stack(
        [np.linalg.norm(clean.features - changed.features[row], axis=1) for row in made]
    )  # [made, S]
    at = np.arange(len(made))
    return Moved(
        n_made=len(made),
        n_asked=n_asked,
        grey=float(np.nanmean(grey[at, made])),
        n_own=int((np.nanargmin(grey, axis=1) == made).sum()),
        feature=float(np.nanmean(feature[at, made])),
        n_own_feature=int((np.nanargmin(feature, axis=1) == made).sum()),
    )


def show(rows: Mapping[str, Moved], n_speakers: int) -> None:
    """Print the table."""
    unit = rows[OTHER_HALF]
    print(
        f"| condition | grey levels | other half = 1 | own nearest of {n_speakers} "
        "| feature, other half = 1 | own nearest |"
    )
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        of = "" if row.n_made == n_speakers else f" of {row.n_made}"
        refused = row.n_asked - row.n_made
        more = f" ({refused} refused)" if refused else ""
        if row.n_made == 0:
            print(f"| {name}{more} | no face | – | – | – | – |")
            continue
        print(
            f"| {name}{more} | {row.grey:.1f} | {row.grey / unit.grey:.2f} | {row.n_own}{of} "
            f"| {row.feature / unit.feature:.2f} | {row.n_own_feature}{of} |"
        )


def _rng() -> np.random.Generator:
    """The same for every speaker and condition."""
    return np.random.default_rng(0)


if __name__ == "__main__":
    main()
