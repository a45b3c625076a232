"""The cache of measurements: equal bits, continuing after a kill, and clips that changed."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from speech2face.data.invented import draw, traits_of, write_world
from speech2face.data.manifest import read_manifest
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import Box, LocatedFace
from speech2face.training import measurements
from speech2face.training.measurements import (
    CANONICAL,
    Instruments,
    Measurements,
    measure,
    render_path,
    to_frame,
)

RENDERS = (CANONICAL, "teacher")


class Stopped(Exception):
    """The process is killed."""


class Trunk:
    """Hears how loud a waveform is, times `gain`; may be killed at its n-th clip.

    Its first waveforms are no clips: `measure` asks once what it makes of a fixed one and of all
    distortions of that.
    """

    def __init__(self, killed_at: int | None = None, gain: float = 1.0) -> None:
        self.heard: list[int] = []
        self.killed_at, self.gain = killed_at, gain

    @property
    def lengths(self) -> list[int]:
        """Samples of every clip, without those of its distorted copies."""
        n_asked = 1 + sum(len(kind) for kind in measurements.DISTORTION_KINDS)
        return self.heard[n_asked :: 1 + len(measurements.DISTORTION_KINDS)]

    def voice_statistics(self, waveform: Tensor) -> Tensor:
        if self.heard and len(self.lengths) == self.killed_at:
            raise Stopped
        self.heard.append(waveform.shape[1])
        return self.gain * torch.tensor([[float(waveform.abs().mean())] * 1024])


class Eye:
    """Landmarks along the mean colour."""

    def locate(self, image: np.ndarray) -> LocatedFace:
        points = np.linspace(0, image.mean(), 136).reshape(68, 2)
        return LocatedFace(Box(0, 0, 9, 9), points, found=True)


class Recogniser:
    """A feature of the mean colour and the last landmark."""

    def encode_located(
        self, images: Sequence[np.ndarray], located: Sequence[LocatedFace]
    ) -> np.ndarray:
        pairs = zip(images, located, strict=True)
        rows = [[image.mean(), face.landmarks[-1, 0], *[0] * 126] for image, face in pairs]
        return np.array(rows, np.float32)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "GROUP", 2)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    world = tmp_path_factory.mktemp("measurements") / "world"
    manifest = write_world(world, persons=5, clips_per_person=1, clip_seconds=(1.0, 1.5))
    read = read_manifest(manifest)
    others = [*read[1:], read[0]]
    return [
        replace(one, teachers={"teacher": other.canonical})
        for one, other in zip(read, others, strict=True)
        if other.canonical
    ]


def measured(
    samples: Sequence[Sample], folder: Path, trunk: Trunk, renders: Sequence[str] = RENDERS
) -> Measurements:
    instruments: Any = Instruments(trunk, Eye(), Recogniser())  # type: ignore[arg-type]
    return measure(samples, renders, instruments, folder, progress=lambda n_done: None)


def tensors(measured: Measurements) -> Iterator[Tensor]:
    yield from (measured.statistics, measured.distorted, measured.photo_features)
    for by_render in (measured.render_features, measured.landmarks, measured.pictures):
        yield from by_render.values()


def are_equal(first: Measurements, second: Measurements) -> bool:
    pairs = zip(tensors(first), tensors(second), strict=True)
    return first.samples == second.samples and all(torch.equal(a, b) for a, b in pairs)


def test_every_clip_has_its_voice_its_photo_and_its_renders(
    samples: list[Sample], tmp_path: Path
) -> None:
    result = measured(samples, tmp_path, Trunk())
    assert result.statistics.shape == (5, 1024) and result.photo_features.shape == (5, 128)
    assert result.persons == [sample.person for sample in samples]
    for row, sample in enumerate(samples):
        for render in RENDERS:
            path = render_path(sample, render)
            assert path is not None
            pixels = np.asarray(Image.open(path))
            assert np.array_equal(result.pictures[render][row].permute(1, 2, 0), pixels)
            assert float(result.render_features[render][row, 0]) == pytest.approx(pixels.mean())
            assert float(result.landmarks[render][row, -1, 1]) == pytest.approx(pixels.mean())
        photo = np.asarray(Image.open(sample.face))  # type: ignore[arg-type]
        assert float(result.photo_features[row, 0]) == pytest.approx(photo.mean())


def test_a_voice_is_heard_without_its_repetitions_and_tiled_to_six_seconds(
    samples: list[Sample], tmp_path: Path
) -> None:
    trunk = Trunk()
    first = replace(samples[0], seconds=0.75)
    result = measured([first, samples[0]], tmp_path, trunk)
    assert trunk.lengths == [96_000, 96_000]
    assert not torch.equal(result.statistics[0], result.statistics[1])


def test_a_voice_has_the_same_distorted_copies_each_time_and_other_voices_have_others(
    samples: list[Sample],
) -> None:
    first, other = (measurements.speech_of(one) for one in samples[:2])
    copies = measurements.distorted_copies(first)
    assert len(copies) == len(measurements.DISTORTION_KINDS)
    for copy, again in zip(copies, measurements.distorted_copies(first), strict=True):
        np.testing.assert_array_equal(copy, again)
    for copy in copies[:-1]:  # a cut may leave so short a voice whole
        assert not np.array_equal(copy, first)
    assert not np.array_equal(copies[2], measurements.distorted_copies(other)[2])


def test_the_cache_has_equal_bits_and_nothing_is_measured_again(
    samples: list[Sample], tmp_path: Path
) -> None:
    first, again = Trunk(), Trunk()
    fresh = measured(samples, tmp_path, first)
    assert are_equal(fresh, measured(samples, tmp_path, again))
    assert (len(first.lengths), len(again.lengths)) == (5, 0)


def test_a_killed_run_continues_after_its_last_complete_group(
    samples: list[Sample], tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        measured(samples, tmp_path / "killed", Trunk(killed_at=3))  # in the second group of two
    again = Trunk()
    continued = measured(samples, tmp_path / "killed", again)
    assert len(again.lengths) == 3
    assert are_equal(continued, measured(samples, tmp_path / "unbroken", Trunk()))
    assert not list((tmp_path / "killed").glob("*.partial"))


def test_a_kill_while_a_group_is_written_leaves_no_group(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: object, destination: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(Stopped):
            measured(samples, tmp_path, Trunk())
    assert not list(tmp_path.glob("*.safetensors"))
    again = Trunk()
    measured(samples, tmp_path, again)
    assert len(again.lengths) == 5 and not list(tmp_path.glob("*.partial"))


def test_other_clips_in_a_group_are_measured_and_the_rest_is_kept(
    samples: list[Sample], tmp_path: Path
) -> None:
    measured(samples, tmp_path, Trunk())
    swapped = [*samples[:2], samples[4], samples[3], samples[2]]
    again = Trunk()
    result = measured(swapped, tmp_path, again)
    assert len(again.lengths) == 3  # the first group is as it was
    assert are_equal(result, measured(swapped, tmp_path / "anew", Trunk()))


def test_a_render_that_was_not_measured_is_measured(samples: list[Sample], tmp_path: Path) -> None:
    measured(samples, tmp_path, Trunk(), [CANONICAL])
    again = Trunk()
    assert measured(samples, tmp_path, again).pictures.keys() == set(RENDERS)
    assert len(again.lengths) == 5


class Blind(Eye):
    """Cannot look again."""

    def locate(self, image: np.ndarray) -> LocatedFace:
        raise AssertionError("a picture was measured again")


@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_with_another_trunk_every_voice_is_measured_again_and_no_picture_is(
    gain: float, samples: list[Sample], tmp_path: Path
) -> None:
    first = measured(samples, tmp_path, Trunk())
    other = Trunk(gain=gain)
    instruments: Any = Instruments(other, Blind(), Recogniser())  # type: ignore[arg-type]
    second = measure(samples, RENDERS, instruments, tmp_path, progress=lambda n_done: None)
    assert len(other.lengths) == 5
    torch.testing.assert_close(second.statistics, gain * first.statistics)
    torch.testing.assert_close(second.distorted, gain * first.distorted)
    heard = {"statistics": first.statistics, "distorted": first.distorted}
    assert are_equal(replace(second, **heard), first)
    again = Trunk(gain=gain)
    assert are_equal(second, measured(samples, tmp_path, again))
    assert not again.lengths


def test_another_distortion_is_heard_in_every_voice_and_the_voices_are_the_same(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(samples, tmp_path, Trunk())
    louder = dict(measurements.DISTORTIONS) | {"internet": lambda waveform, rng: 3 * waveform}
    monkeypatch.setattr(measurements, "DISTORTIONS", louder)
    again = Trunk()
    second = measured(samples, tmp_path, again)
    assert len(again.lengths) == 5
    assert torch.equal(second.statistics, first.statistics)
    internet = measurements.DISTORTION_KINDS.index(("internet",))
    assert (second.distorted[:, internet] > 2 * first.distorted[:, internet]).all()


def test_a_voice_that_is_no_longer_usable_is_left_out_when_voices_are_heard_again(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(samples, tmp_path, Trunk())
    speech_of = measurements.speech_of

    def stricter(sample: Sample) -> np.ndarray:
        if sample.id == samples[2].id:
            raise Speech2FaceError("holds no speech", "speak")
        return speech_of(sample)

    monkeypatch.setattr(measurements, "speech_of", stricter)
    again = measured(samples, tmp_path, Trunk(gain=2.0))
    assert again.left_out == {samples[2].id: "the voice cannot be used"}
    kept = [0, 1, 3, 4]
    assert again.samples == tuple(samples[row] for row in kept)
    torch.testing.assert_close(again.statistics, 2 * first.statistics[kept])
    assert torch.equal(again.photo_features, first.photo_features[kept])


def test_a_trunk_that_differs_in_the_last_digits_is_the_same(
    samples: list[Sample], tmp_path: Path
) -> None:
    first = measured(samples, tmp_path, Trunk())
    again = Trunk(gain=1 + 1e-6)  # as another processor might
    assert are_equal(first, measured(samples, tmp_path, again))
    assert not again.lengths


def test_voices_without_the_fingerprint_of_a_trunk_are_measured_again(
    samples: list[Sample], tmp_path: Path
) -> None:
    measured(samples, tmp_path, Trunk())
    for file in tmp_path.glob("*.safetensors"):
        with safe_open(file, framework="pt") as stored:
            group = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            metadata = stored.metadata()
        save_file({n: v for n, v in group.items() if n != measurements.PROBE}, file, metadata)
    again = Trunk()
    measured(samples, tmp_path, again)
    assert len(again.lengths) == 5


def test_progress_counts_the_clips(samples: list[Sample], tmp_path: Path) -> None:
    told: list[int] = []
    instruments: Any = Instruments(Trunk(), Eye(), Recogniser())  # type: ignore[arg-type]
    measure(samples, RENDERS, instruments, tmp_path, progress=told.append)
    assert told == [2, 4, 5]


def test_a_clip_that_cannot_be_measured_is_left_out_and_the_reason_is_kept(
    samples: list[Sample], tmp_path: Path
) -> None:
    broken, silent, small = (tmp_path / name for name in ("broken.png", "silent.wav", "small.png"))
    broken.write_bytes(b"no picture")
    Image.new("RGB", (200, 224)).save(small)
    soundfile.write(silent, np.zeros(16_000), 16_000)
    missing = tmp_path / "missing.png"
    canonical = samples[1].canonical
    assert canonical is not None
    spoilt = {
        "no voice file": replace(samples[0], id="a", voice=missing),
        "no photo": replace(samples[0], id="b", face=missing),
        "no canonical face": replace(samples[0], id="c", canonical=None),
        "no teacher's image": replace(samples[0], id="d", teachers={"teacher": missing}),
        "the voice cannot be used": replace(samples[0], id="e", voice=silent),
        "a picture cannot be read": replace(samples[0], id="f", face=broken),
    }
    wrong_size = replace(samples[0], id="g", canonical=small)
    clips = [*samples[:3], *spoilt.values(), wrong_size, *samples[3:]]
    for trunk in (Trunk(), Trunk(), Trunk(gain=2.0)):  # measured, kept, and heard again
        result = measured(clips, tmp_path / "kept", trunk)
        assert result.samples == tuple(samples)
        reasons = {one.id: reason for reason, one in spoilt.items()}
        assert result.left_out == reasons | {"g": "a picture cannot be read"}
    assert set(spoilt) == set(get_args(measurements.Reason))
    with pytest.raises(Speech2FaceError, match="no clip can be measured: no photo"):
        measured([spoilt["no photo"]], tmp_path / "none", Trunk())


def test_a_failing_instrument_is_not_blamed_on_the_clips(
    samples: list[Sample], tmp_path: Path
) -> None:
    class Missing(Eye):
        def locate(self, image: np.ndarray) -> LocatedFace:
            raise Speech2FaceError("dlib is not installed", "install it")

    instruments: Any = Instruments(Trunk(), Missing(), Recogniser())  # type: ignore[arg-type]
    with pytest.raises(Speech2FaceError, match="dlib is not installed"):
        measure(samples, RENDERS, instruments, tmp_path, progress=lambda n_done: None)


def test_files_with_other_content_and_the_same_ids_are_measured_again(
    samples: list[Sample], tmp_path: Path
) -> None:
    measured(samples, tmp_path, Trunk())
    swapped = [
        replace(samples[0], voice=samples[1].voice, seconds=samples[1].seconds),
        *samples[1:],
    ]
    again = Trunk()
    result = measured(swapped, tmp_path, again)
    assert len(again.lengths) == 2  # the group of the changed clip
    assert torch.equal(result.statistics[0], result.statistics[1])


@pytest.mark.parametrize("content", [b"", b"no safetensors"])
def test_a_damaged_file_of_the_cache_is_measured_again(
    content: bytes, samples: list[Sample], tmp_path: Path
) -> None:
    first = measured(samples, tmp_path, Trunk())
    next(iter(tmp_path.glob("*.safetensors"))).write_bytes(content)
    again = Trunk()
    assert are_equal(first, measured(samples, tmp_path, again))
    assert 0 < len(again.lengths) < 5


def test_convention_landmarks_are_at_the_frame_after_the_warp() -> None:
    """A mark at a landmark, (x, y), is found at that landmark's place in the frame."""
    portrait = draw(traits_of(0))
    landmarks = torch.from_numpy(portrait.landmarks).float()  # [68, 2]
    frame = torch.from_numpy(draw(traits_of(1)).landmarks).float()
    for point in (8, 30, 36, 54):
        x, y = landmarks[point].round().int().tolist()
        picture = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
        picture[..., y - 2 : y + 3, x - 2 : x + 3] = 255
        mark = to_frame(picture, landmarks[None], frame)[0, 0].float()  # [224, 224]
        rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
        centre = torch.stack([(mark * columns).sum(), (mark * rows).sum()]) / mark.sum()
        assert float((centre - frame[point]).norm()) < 1.5  # pixels


def test_a_picture_whose_landmarks_are_the_frame_stays_as_it_is() -> None:
    portraits = [draw(traits_of(person)) for person in range(20)]
    pictures = torch.stack([torch.tensor(one.image).permute(2, 0, 1) for one in portraits])
    frame = torch.from_numpy(portraits[0].landmarks).float()
    still = to_frame(pictures, frame.expand(20, -1, -1), frame)  # more than one chunk
    assert still.dtype == torch.uint8
    assert (still.float() - pictures.float()).abs().mean() < 0.5  # of 255
