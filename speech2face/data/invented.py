"""A small invented world: people who do not exist, with synthetic voices and drawn faces.

Every person of the world has six traits. Four of them shape the voice and all six shape the face,
so that a voice tells something about the face, but not everything. This is enough to try training
and evaluation from end to end, and to test that a model learns what can be learnt, without the
voice or face of a real person.

=========  =========================================================================================
What       synthetic speech-like sound (hisses, harmonics under formants) and 224 x 224 drawings.
Person     an index; the traits follow from the seed of the world and the index alone.
Landmarks  exact, because the drawing is made from them: 68-point scheme, (x, y), pixels.
Detector   dlib's detector finds the frontal faces and most photographs, thanks to drawn shadows.
Split      by index: of every five persons three are train, one is val, one is test.
Labels     `gender` and `age_group` are names for two traits of a drawing, so that protocols that
           use labels can be tried. They say nothing about people.
Licence    the project's own.
=========  =========================================================================================
"""

import json
import wave
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from speech2face.data.manifest import write_manifest
from speech2face.data.sample import Sample, Split
from speech2face.files import make_folder, writing

SAMPLE_RATE = 16_000  # Hz
IMAGE_SIZE = 224  # pixels
SPLIT_OF_FIVE: tuple[Split, ...] = ("train", "train", "train", "val", "test")

_VOWELS = np.array(  # first three formants in Hz of five vowels, an adult of medium size
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]]
)
_BANDWIDTHS = np.array([80, 100, 140])  # Hz
_CONSONANT = 0.25  # share of a syllable; sound without consonants is not recognised as speech
_OVERSAMPLING = 4  # pictures are drawn this much larger and then reduced, for smooth edges
_CENTRE = (IMAGE_SIZE - 1) / 2  # pixels; 0 is the centre of the first pixel
_EYE_Y = 98  # pixels

Waveform = NDArray[np.float32]
Points = NDArray[np.float64]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Traits:
    """The six traits of a person of the invented world, each from 0 to 1."""

    pitch: float  # from a low to a high voice; from a broad to a narrow jaw, thin to full lips
    tract: float  # from a long to a short vocal tract; from a long to a short face
    breath: float  # from a clear to a breathy voice; from teal to amber skin
    tempo: float  # from slow to fast syllables; from close-set to wide-set eyes
    nose: float  # from a narrow to a broad nose; cannot be heard
    hair: float  # from dark to light hair; cannot be heard


@dataclass(frozen=True)
class Portrait:
    """Frontal, neutral drawing on white, and the landmarks from which it was drawn."""

    image: NDArray[np.uint8]  # [224, 224, 3] RGB
    landmarks: Points  # [68, 2] pixels, (x, y)


def traits_of(person: int, seed: int = 0) -> Traits:
    """Traits of person number `person` in the world of that seed."""
    values = np.random.default_rng([seed, person]).uniform(size=len(fields(Traits)))
    return Traits(*(float(value) for value in values))


def speak(traits: Traits, seconds: float, generator: np.random.Generator) -> Waveform:
    """Speech-like sound of a person, 16 kHz, `[L]` in -1..1.

    Every syllable is a hiss and a vowel. Vowels and melody are chosen by `generator`.
    """
    n_samples = round(seconds * SAMPLE_RATE)
    syllable = round(SAMPLE_RATE / (2.5 + 3 * traits.tempo))  # samples per syllable
    n_syllables = -(-n_samples // syllable)
    time = np.arange(n_samples) / SAMPLE_RATE  # [L] seconds
    f0 = 90 * (240 / 90) ** traits.pitch  # Hz
    melody = 0.06 * np.sin(2 * np.pi * generator.uniform(0.3, 0.8) * time)  # [L] octaves
    phase = 2 * np.pi * np.cumsum(f0 * 2**melody) / SAMPLE_RATE  # [L] radians
    formants = _VOWELS[generator.integers(len(_VOWELS), size=n_syllables)]  # [S, 3] Hz
    formants = formants * (0.88 + 0.3 * traits.tract)
    place = np.arange(n_samples) % syllable / syllable  # [L] 0..1 inside a syllable
    loudness = np.sin(np.pi * place) ** 0.5  # [L]
    which = np.arange(n_samples) // syllable  # [L] index of the syllable
    voiced = np.zeros(n_samples)
    for harmonic in range(1, int(4000 / f0) + 1):
        amplitude = _resonance(harmonic * f0, formants) / harmonic**0.5  # [S]
        voiced += amplitude[which] * np.sin(harmonic * phase)
    voiced /= voiced.std()
    noise = generator.standard_normal(n_samples)
    vowels = loudness * (voiced + (0.004 + 0.1 * traits.breath) * noise)  # [L]
    hiss = 0.3 * np.sin(np.pi * place / _CONSONANT) * np.diff(noise, prepend=0.0)  # [L]
    sound = np.where(place < _CONSONANT, hiss, vowels)  # [L]
    sound *= 0.5 / np.abs(sound).max()
    return np.asarray(sound, dtype=np.float32)


def draw(traits: Traits) -> Portrait:
    """Frontal face of a person on white."""
    points = _landmarks(traits)
    image = _paint(points, traits, background=(255, 255, 255))
    return Portrait(image, points)


def photograph(traits: Traits, generator: np.random.Generator) -> NDArray[np.uint8]:
    """The same face as in a photograph, `[224, 224, 3]`: rotated, shifted, in random light and
    before a background of random colour.
    """
    red, green, blue = (int(level) for level in generator.integers(60, 256, size=3))
    background = (red, green, blue)
    image = Image.fromarray(_paint(_landmarks(traits), traits, background=background))
    shift = generator.uniform(-12, 12, size=2)  # pixels
    turned = image.rotate(
        generator.uniform(-15, 15),  # degrees
        resample=Image.Resampling.BILINEAR,
        translate=(int(shift[0]), int(shift[1])),
        fillcolor=background,
    )
    light = generator.uniform(0.7, 1.15)
    return np.clip(np.asarray(turned) * light, 0, 255).astype(np.uint8)


def write_world(
    root: Path,
    *,
    persons: int = 20,
    clips_per_person: int = 2,
    clip_seconds: tuple[float, float] = (3.0, 6.0),
    seed: int = 0,
) -> Path:
    """Write voices, pictures, landmarks and the manifest of a world below `root`.

    Args:
        root: folder to fill; files of another world in it are overwritten.
        persons: number of people; a larger world with the same seed begins with the same people.
        clips_per_person: number of clips, each with its own words and its own photograph.
        clip_seconds: length of the shortest and of the longest clip.
        seed: seed of the world; the same seed writes the same bytes.

    Returns:
        Path of `manifest.jsonl`.
    """
    for folder in ("voice", "face", "canonical", "landmarks"):
        make_folder(root / folder)
    samples = [
        _write_clip(root, person, clip, clip_seconds, seed)
        for person in range(persons)
        for clip in range(clips_per_person)
    ]
    write_manifest(root / "manifest.jsonl", samples)
    return root / "manifest.jsonl"


def _write_clip(
    root: Path, person: int, clip: int, clip_seconds: tuple[float, float], seed: int
) -> Sample:
    traits = traits_of(person, seed)
    generator = np.random.default_rng([seed, person, clip])
    name = f"{person:04d}_{clip}"
    waveform = speak(traits, generator.uniform(*clip_seconds), generator)
    portrait = draw(traits)
    sample = Sample(
        id=name,
        person=f"{person:04d}",
        video=name,
        voice=root / "voice" / f"{name}.wav",
        face=root / "face" / f"{name}.png",
        canonical=root / "canonical" / f"{name}.png",
        landmarks=root / "landmarks" / f"{name}.json",
        seconds=len(waveform) / SAMPLE_RATE,
        split=SPLIT_OF_FIVE[person % len(SPLIT_OF_FIVE)],
        labels={
            "gender": "female" if traits.pitch > 0.5 else "male",
            "age_group": "old" if traits.breath > 0.5 else "young",
        },
    )
    _write_wave(sample.voice, waveform)
    _write_image(sample.face, photograph(traits, generator))
    _write_image(sample.canonical, portrait.image)
    if sample.landmarks:
        with writing(sample.landmarks):
            sample.landmarks.write_text(json.dumps(portrait.landmarks.round(3).tolist()))
    return sample


def _resonance(frequency: float, formants: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain of a vocal tract with `[S, 3]` formants at one frequency, `[S]`."""
    gains = 1 / (1 + ((frequency - formants) / _BANDWIDTHS) ** 2)  # [S, 3]
    return np.asarray(gains @ np.array([1.0, 0.5, 0.25]) + 0.01)


def _landmarks(traits: Traits) -> Points:
    """The 68 landmarks of a symmetric face: number 0 is at the left of the jaw, 8 at the chin."""
    half_jaw = 78 - 18 * traits.pitch  # in pixels, as all lengths below
    chin = 205 - 22 * traits.tract
    eye_offset = 25 + 9 * traits.tempo
    nostril = 8 + 9 * traits.nose
    lip = 4 + 6 * traits.pitch
    nose_tip, mouth = _EYE_Y + 0.42 * (chin - _EYE_Y), _EYE_Y + 0.66 * (chin - _EYE_Y)

    angle = np.linspace(0, np.pi, 17)
    jaw = _at(-half_jaw * np.cos(angle), _EYE_Y + (chin - _EYE_Y) * np.sin(angle) ** 0.9)
    arch = np.array([0, -5, -7, -6, -3])
    left_brow = _at(np.linspace(-eye_offset - 16, -eye_offset + 14, 5), _EYE_Y - 20 + arch)
    bridge = _at(np.zeros(4), np.linspace(_EYE_Y, nose_tip - 6, 4))
    nostrils = _at(np.linspace(-nostril, nostril, 5), nose_tip + np.array([0, 2, 3, 2, 0]))
    eye = np.array([[-11, 0], [-4, -5], [4, -5], [11, 0], [4, 4], [-4, 4]], dtype=float)
    left_eye = eye + [_CENTRE - eye_offset, _EYE_Y]
    outer = _mouth(26, lip, mouth, 7)  # 12 points
    inner = _mouth(20, lip * 0.25, mouth, 5)  # 8 points
    return np.concatenate(
        [
            jaw,  # 0-16
            left_brow,  # 17-21
            _mirror(left_brow)[::-1],  # 22-26
            bridge,  # 27-30
            nostrils,  # 31-35
            left_eye,  # 36-41
            _mirror(left_eye)[[3, 2, 1, 0, 5, 4]],  # 42-47
            outer,  # 48-59
            inner,  # 60-67
        ]
    )


def _mouth(half_width: float, lip: float, y: float, n_upper: int) -> Points:
    """Closed curve from the left corner along the upper lip to the right, and back below."""
    across = np.linspace(0, np.pi, n_upper)
    upper = _at(-half_width * np.cos(across), y - lip * np.sin(across))
    lower = _at(half_width * np.cos(across), y + 1.2 * lip * np.sin(across))
    return np.concatenate([upper, lower[1:-1]])


def _at(x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    """Points `[N, 2]`; x is measured from the middle of the picture and y from its top."""
    return np.stack([x + _CENTRE, y], axis=1)


def _mirror(points: Points) -> Points:
    return np.stack([2 * _CENTRE - points[:, 0], points[:, 1]], axis=1)


def _paint(points: Points, traits: Traits, *, background: Colour) -> NDArray[np.uint8]:
    size = IMAGE_SIZE * _OVERSAMPLING
    canvas = Image.new("RGB", (size, size), background)
    pen = ImageDraw.Draw(canvas)
    skin = _blend((70, 160, 160), (235, 180, 90), traits.breath)
    hair = _blend((30, 25, 40), (220, 200, 170), traits.hair)

    jaw = points[:17]
    half = (jaw[16, 0] - jaw[0, 0]) / 2
    angle = np.linspace(0, np.pi, 24)
    crown = _at(half * np.cos(angle), _EYE_Y - 62 * np.sin(angle))  # right ear to left ear
    mane = _at(1.1 * half * np.cos(angle), _EYE_Y + 8 - 84 * np.sin(angle))
    _fill(pen, mane, hair)
    _fill(pen, np.concatenate([jaw, crown]), skin)
    _fill(pen, _at(0.8 * half * np.cos(angle), _EYE_Y - 38 - 24 * np.sin(angle)), hair)
    shadow = _blend(skin, (0, 0, 0), 0.25)
    dark = (40, 30, 30)
    for eye in (points[36:42], points[42:48]):
        _oval(pen, eye.mean(axis=0), (20.0, 11.0), shadow)
        _fill(pen, eye, (235, 235, 235))
        _oval(pen, eye.mean(axis=0), (5.0, 5.0), dark)
        _stroke(pen, eye[:4], dark, 2)
    for brow in (points[17:22], points[22:27]):
        _stroke(pen, brow, _blend(hair, (0, 0, 0), 0.4), 6)
    for side, nostril in ((-1, points[31]), (1, points[35])):
        ridge = points[27] + np.array([[4 * side, 0], [side, 0]])
        base = nostril + np.array([[-2 * side, 0], [2 * side, 0]])
        _fill(pen, np.concatenate([ridge, base]), shadow)
    _stroke(pen, points[31:36], _blend(skin, (0, 0, 0), 0.35), 5)
    _fill(pen, points[48:60], _blend((170, 60, 80), skin, 0.2))
    _fill(pen, points[60:68], (90, 20, 30))
    chin_crease = points[57] + np.array([[-12, 8], [12, 8]])
    _stroke(pen, chin_crease, shadow, 4)
    small = canvas.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.uint8)


def _blend(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


def _scaled(points: Points) -> Sequence[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in _enlarged(points)]


def _enlarged(points: Points) -> Points:
    """Coordinates on the canvas of points in the picture; 0 is the centre of the first pixel."""
    return (points + 0.5) * _OVERSAMPLING - 0.5


def _fill(pen: ImageDraw.ImageDraw, points: Points, colour: Colour) -> None:
    pen.polygon(_scaled(points), fill=colour)


def _stroke(pen: ImageDraw.ImageDraw, points: Points, colour: Colour, width: int) -> None:
    pen.line(_scaled(points), fill=colour, width=width * _OVERSAMPLING, joint="curve")


def _oval(
    pen: ImageDraw.ImageDraw, centre: Points, radii: tuple[float, float], colour: Colour
) -> None:
    x, y = _enlarged(centre)
    wide, high = radii[0] * _OVERSAMPLING, radii[1] * _OVERSAMPLING
    pen.ellipse((x - wide, y - high, x + wide, y + high), fill=colour)


def _write_wave(path: Path, waveform: Waveform) -> None:
    with writing(path), wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)  # 16 bit
        file.setframerate(SAMPLE_RATE)
        file.writeframes((waveform * 32767).round().astype("<i2").tobytes())


def _write_image(path: Path | None, image: NDArray[np.uint8]) -> None:
    if path:
        with writing(path):
            Image.fromarray(image).save(path)
