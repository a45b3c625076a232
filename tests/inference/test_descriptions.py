"""Clips described by the stand-in model and read by instruments of colours."""

from pathlib import Path

import numpy as np
import pytest
from fake_instruments import INSTRUMENTS
from PIL import Image
from stand_in import WITH_DESCRIPTORS, write_stand_in

from speech2face import Pipeline, Speech2FaceError, load_model
from speech2face.data import authors_page
from speech2face.data.sample import Sample
from speech2face.inference.descriptions import describe_clips, describe_voices

pytestmark = pytest.mark.usefixtures("everything_is_speech")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return load_model(write_stand_in(tmp_path_factory.mktemp("m") / "m.onnx", **WITH_DESCRIPTORS))


@pytest.fixture(scope="module")
def samples(tiny_page: Path) -> list[Sample]:
    return [one for one in authors_page.read(tiny_page) if one.split != "test"]


def test_each_clip_has_its_own_voice_and_photo(
    samples: list[Sample], pipeline: Pipeline, tmp_path: Path
) -> None:
    clips = describe_clips(samples, pipeline, tmp_path, instruments=INSTRUMENTS)
    assert clips.samples == tuple(samples) and not clips.left_out
    assert clips.descriptors.shape == (len(samples), 3) and len(clips.readings) == len(samples)
    for row, sample in enumerate(samples):
        assert sample.face is not None
        with Image.open(sample.face) as photo:
            read = INSTRUMENTS.encoders[0].encode([np.asarray(photo.convert("RGB"))])[0]
        np.testing.assert_allclose(clips.readings.features["colour"][row], read)
    backwards = describe_clips(samples[::-1], pipeline, tmp_path, instruments=INSTRUMENTS)
    np.testing.assert_array_equal(backwards.descriptors, clips.descriptors[::-1])


def test_what_is_kept_is_not_heard_again(
    samples: list[Sample],
    pipeline: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = describe_voices(samples, pipeline, tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("heard again")

    monkeypatch.setattr(Pipeline, "describe", refuse)
    again = describe_voices(samples, pipeline, tmp_path)
    for name, described in first.items():
        np.testing.assert_array_equal(described, again[name])
    with pytest.raises(AssertionError, match="heard again"):
        describe_voices(samples, pipeline, tmp_path / "elsewhere")


def test_a_clip_that_cannot_be_used_is_left_out_with_its_reason(
    samples: list[Sample], pipeline: Pipeline, tmp_path: Path
) -> None:
    noise, picture = tmp_path / "noise.ogg", tmp_path / "picture.jpg"
    noise.write_bytes(b"no sound")
    picture.write_bytes(b"no picture")
    good = samples[0]
    bad = [
        Sample(id="deaf", person="a", voice=noise, face=good.face),
        Sample(id="faceless", person="b", voice=good.voice),
        Sample(id="blind", person="c", voice=samples[1].voice, face=picture),
    ]
    clips = describe_clips(
        [bad[0], good, *bad[1:]], pipeline, tmp_path / "kept", instruments=INSTRUMENTS
    )
    assert clips.samples == (good,) and len(clips.readings) == 1
    assert clips.left_out.keys() == {"deaf", "faceless", "blind"}
    assert clips.left_out["faceless"] == "no photo"
    assert clips.left_out["blind"].startswith("its photo")
    with pytest.raises(Speech2FaceError, match="no clip can be used"):
        describe_clips(bad, pipeline, tmp_path / "kept", instruments=INSTRUMENTS)


def test_a_model_without_descriptors_is_no_fault_of_the_clips(
    samples: list[Sample], stand_in_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(Speech2FaceError, match="no descriptors of a voice"):
        describe_voices(samples, load_model(stand_in_model), tmp_path)
