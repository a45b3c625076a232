"""The invented world is repeatable, and its faces can be predicted in part from its voices."""

import json
from pathlib import Path

import numpy as np
import pytest
from sample_files import files_of

from speech2face.data import invented
from speech2face.data.manifest import read_manifest
from speech2face.data.speech import speech_of
from speech2face.face.image import open_image


def spectral_peak(waveform: np.ndarray, low: float, high: float) -> float:
    """Frequency in Hz of the strongest bin between two limits."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    frequency = np.fft.rfftfreq(len(waveform), 1 / invented.SAMPLE_RATE)
    inside = (frequency >= low) & (frequency <= high)
    return float(frequency[inside][power[inside].argmax()])


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        invented.write_world(tmp_path / name, persons=3, clips_per_person=1, seed=5)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 1 + 3 * 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_another_seed_is_another_world() -> None:
    assert invented.traits_of(0, seed=0) != invented.traits_of(0, seed=1)


def test_a_larger_world_begins_with_the_smaller_one(tmp_path: Path) -> None:
    small = read_manifest(invented.write_world(tmp_path / "s", persons=2, clips_per_person=1))
    large = read_manifest(invented.write_world(tmp_path / "l", persons=3, clips_per_person=1))
    assert [s.voice.read_bytes() for s in small] == [s.voice.read_bytes() for s in large[:2]]


def test_the_manifest_names_files_that_exist_and_every_split(tmp_path: Path) -> None:
    samples = read_manifest(invented.write_world(tmp_path, persons=5, clip_seconds=(1.0, 1.5)))
    assert all(file.is_file() for sample in samples for file in files_of(sample))
    assert {sample.split for sample in samples} == {"train", "val", "test"}
    for sample in samples:
        assert sample.seconds == pytest.approx(
            len(speech_of(sample)) / invented.SAMPLE_RATE, abs=0.1
        )
        assert sample.face and open_image(sample.face).shape == (224, 224, 3)
        assert sample.landmarks and len(json.loads(sample.landmarks.read_text())) == 68


def test_a_trait_is_heard_as_pitch() -> None:
    low = invented.Traits(pitch=0.1, tract=0.5, breath=0.0, tempo=0.5, nose=0.5, hair=0.5)
    high = invented.Traits(pitch=0.9, tract=0.5, breath=0.0, tempo=0.5, nose=0.5, hair=0.5)
    for traits in (low, high):
        f0 = 90 * (240 / 90) ** traits.pitch
        waveform = invented.speak(traits, 3.0, np.random.default_rng(0))
        assert waveform.dtype == np.float32 and np.abs(waveform).max() <= 0.5
        assert spectral_peak(waveform, 0.9 * f0, 1.1 * f0) == pytest.approx(f0, rel=0.05)


def test_the_same_trait_is_seen_as_the_width_of_the_jaw() -> None:
    low = invented.draw(invented.Traits(0.0, 0.5, 0.5, 0.5, 0.5, 0.5)).landmarks
    high = invented.draw(invented.Traits(1.0, 0.5, 0.5, 0.5, 0.5, 0.5)).landmarks
    assert np.ptp(low[:17, 0]) == pytest.approx(156) and np.ptp(high[:17, 0]) == pytest.approx(120)


def test_traits_outside_the_voice_do_not_change_it() -> None:
    one = invented.Traits(0.3, 0.4, 0.5, 0.6, nose=0.0, hair=0.0)
    other = invented.Traits(0.3, 0.4, 0.5, 0.6, nose=1.0, hair=1.0)
    voices = [invented.speak(traits, 1.0, np.random.default_rng(0)) for traits in (one, other)]
    assert np.array_equal(*voices)
    assert not np.array_equal(invented.draw(one).image, invented.draw(other).image)


def test_convention_landmarks_are_the_68_point_scheme_in_x_y() -> None:
    points = invented.draw(invented.traits_of(0)).landmarks
    assert points.shape == (68, 2)
    assert points[0, 0] < 112 < points[16, 0]  # jaw from the left edge of the picture to the right
    assert points[8, 1] == points[:, 1].max()  # the chin is the lowest point
    mirror = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    mirror += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    mirror += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    np.testing.assert_allclose(points[mirror], [223, 0] + points * [-1, 1], atol=1e-9)


def test_the_ground_of_a_drawing_is_white_and_a_photograph_differs() -> None:
    traits = invented.traits_of(1)
    image = invented.draw(traits).image
    assert (image[0] == 255).all() and (image[-1] == 255).all()
    snapshot = invented.photograph(traits, np.random.default_rng(0))
    assert snapshot.shape == image.shape and not np.array_equal(snapshot, image)


def test_convention_the_points_lie_on_the_drawing() -> None:
    traits = invented.Traits(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    portrait = invented.draw(traits)
    dark = portrait.image.astype(int).sum(axis=2) < 200  # [H, W]: pupils, hair is lighter here
    for eye in (portrait.landmarks[36:42], portrait.landmarks[42:48]):
        x, y = eye.mean(axis=0)
        rows, columns = np.nonzero(dark[int(y) - 6 : int(y) + 8, int(x) - 6 : int(x) + 8])
        assert columns.mean() + int(x) - 6 == pytest.approx(x, abs=0.3)


def test_voices_predict_the_faces_of_held_out_people() -> None:
    """Ridge regression from 40 bands of the mean spectrum to the width of the jaw."""
    spectra, widths = [], []
    for person in range(60):
        traits = invented.traits_of(person)
        waveform = invented.speak(traits, 2.0, np.random.default_rng(person))
        power = np.abs(np.fft.rfft(waveform)[: 40 * 200]) ** 2  # up to 4 kHz
        spectra.append(np.log(power.reshape(40, 200).mean(axis=1)))
        widths.append(np.ptp(invented.draw(traits).landmarks[:17, 0]))
    inputs, target = np.array(spectra), np.array(widths)
    heard, unheard = slice(0, 40), slice(40, 60)
    centre, mean = inputs[heard].mean(axis=0), target[heard].mean()
    centred = inputs - centre
    gram = centred[heard].T @ centred[heard] + 10 * np.eye(40)
    weights = np.linalg.solve(gram, centred[heard].T @ (target[heard] - mean))
    assert np.corrcoef(centred[unheard] @ weights, target[unheard])[0, 1] > 0.6
