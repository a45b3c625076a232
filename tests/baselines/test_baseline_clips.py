"""The photos of clips as the generators see them."""

from pathlib import Path

import numpy as np
import pytest
from fake_instruments import ColourEncoder, Eye, Labeller
from invented_clips import invented_clips
from PIL import Image
from scipy.io.wavfile import write as write_wav
from stand_in import WITH_DESCRIPTORS, write_stand_in

from speech2face.baselines.clips import face_template, pictures, read_clips
from speech2face.data.sample import Sample
from speech2face.face.align import Similarity
from speech2face.face.instruments import Instruments
from speech2face.face.landmarks import (
    CHEILION_LEFT,
    CHEILION_RIGHT,
    LEFT_EYE,
    NOSE_TIP,
    RIGHT_EYE,
)
from speech2face.inference import pictures as reading
from speech2face.inference.pipeline import load_model


def landmarks_of(five: np.ndarray) -> np.ndarray:
    """68 points with eyes, nose tip and mouth corners at these places, `[5, 2]` to `[68, 2]`."""
    points = np.zeros((68, 2))
    for where, point in zip(
        (RIGHT_EYE, LEFT_EYE, NOSE_TIP, CHEILION_RIGHT, CHEILION_LEFT), five, strict=True
    ):
        points[where] = point
    return points


def test_convention_eyes_and_mouth_of_every_photo_lie_at_the_places_of_the_template(
    tmp_path: Path,
) -> None:
    clips = invented_clips(tmp_path, 2)
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    for number, placed in enumerate(
        (Similarity(np.eye(2) * 2.5, np.array([20.0, 30.0])), Similarity(2 * turn, np.full(2, 60)))
    ):
        points = placed(face_template(64))
        clips.landmarks[number] = landmarks_of(points)
        photo = np.zeros((224, 224, 3), np.uint8)
        for x, y in np.rint(points).astype(int):
            photo[y - 3 : y + 4, x - 3 : x + 4] = 255
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    for picture in pictures(clips):
        bright = (picture[0] > 0).numpy()
        for x, y in np.rint(face_template(64)).astype(int):
            assert bright[y, x]
        assert bright.sum() < 5 * 30  # and nothing but these places is bright


def test_the_whole_face_is_in_the_picture() -> None:
    template = face_template(64)
    assert template.min() > 64 / 4 and template.max() < 64 * 0.75


@pytest.mark.usefixtures("everything_is_speech")
def test_an_empty_file_is_named_and_the_other_clips_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instruments = Instruments(Eye(), (ColourEncoder(),), Labeller())  # type: ignore[arg-type]
    monkeypatch.setattr(reading, "Instruments", lambda: instruments)
    tone = (8000 * np.sin(np.arange(48_000) / 9)).astype(np.int16)
    write_wav(tmp_path / "good.wav", 16_000, tone)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (64, 64), (200, 10, 10)).save(tmp_path / "good.png")
    samples = [
        Sample(
            id=f"{voice} {face}",
            person="p",
            voice=tmp_path / f"{voice}.wav",
            face=tmp_path / f"{face}.png",
        )
        for voice, face in (("good", "good"), ("empty", "good"), ("good", "empty"))
    ]
    model = load_model(write_stand_in(tmp_path / "model.onnx", **WITH_DESCRIPTORS))
    clips, left_out = read_clips(samples, model, tmp_path / "kept")
    assert [one.id for one in clips.samples] == ["good good"]
    assert set(left_out) == {"empty good", "good empty"}
    assert "empty" in left_out["empty good"] and "photo" in left_out["good empty"]
