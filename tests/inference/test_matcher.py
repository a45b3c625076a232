"""Voices and photos through the stand-in model and a recogniser of colours, worked out by hand."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matching import CARD, Colour, Eye, tiny_maps, tiny_matcher, write_tiny_matcher
from media import EXAMPLES
from PIL import Image
from stand_in import write_stand_in

import speech2face
from speech2face import Speech2FaceError, load_matcher
from speech2face.audio.io import decode
from speech2face.inference import matcher as matcher_module
from speech2face.inference.matcher import Matcher, matcher_path_of, mean_vector
from speech2face.inference.pipeline import load_model
from speech2face.models import hub

SLT, RMS = EXAMPLES / "slt.ogg", EXAMPLES / "rms.ogg"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_matcher(tmp_path_factory.mktemp("matcher"))


@pytest.fixture(scope="module")
def matcher(model: Path) -> Matcher:
    return tiny_matcher(model)


def picture(red: int, green: int) -> np.ndarray:
    return np.full((40, 50, 3), (red, green, 100), np.uint8)


def unit(vector: list[float]) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


def test_voices_and_photos_are_placed_by_the_maps(matcher: Matcher) -> None:
    mean, _, peak = matcher.pipeline.describe(SLT)
    expected = unit([8 * mean - 0.5, peak + 0.25])
    np.testing.assert_allclose(matcher.embed_voice(SLT), expected, atol=1e-5)
    np.testing.assert_allclose(matcher.embed_face(picture(30, 40)), [0.6, 0.8], atol=1e-5)


def test_the_score_is_the_cosine_of_both(matcher: Matcher) -> None:
    faces = [picture(30, 40), picture(200, 10), picture(0, 90)]
    scores = matcher.score(SLT, faces)
    voice = matcher.embed_voice(SLT)
    assert scores.shape == (3,) and (np.abs(scores) <= 1 + 1e-6).all()
    np.testing.assert_allclose(
        scores, [voice @ matcher.embed_face(one) for one in faces], atol=1e-6
    )
    assert matcher.probability(scores[0]) == pytest.approx(1 / (1 + np.exp(1 - 4 * scores[0])))


def test_the_order_of_the_faces_changes_no_score(matcher: Matcher) -> None:
    faces = [picture(red, 100) for red in (10, 90, 250)]
    np.testing.assert_array_equal(matcher.score(SLT, faces[::-1]), matcher.score(SLT, faces)[::-1])


def test_files_samples_and_arrays_are_the_same_voice_and_face(
    matcher: Matcher, tmp_path: Path
) -> None:
    recording = decode(SLT)
    np.testing.assert_array_equal(matcher.embed_voice(recording), matcher.embed_voice(SLT))
    samples = np.tile(recording.waveform, 2)
    assert matcher.embed_voice(samples, sample_rate=16_000).shape == (2,)
    Image.fromarray(picture(30, 40)).save(tmp_path / "face.png")
    np.testing.assert_array_equal(
        matcher.embed_face(tmp_path / "face.png"), matcher.embed_face(picture(30, 40))
    )


def test_several_recordings_and_photos_of_a_person_are_averaged(matcher: Matcher) -> None:
    voices = [matcher.embed_voice(one) for one in (SLT, RMS)]
    np.testing.assert_allclose(
        matcher.embed_voice([SLT, RMS]), unit(np.mean(voices, axis=0).tolist()), atol=1e-6
    )
    photos = [picture(30, 40), picture(200, 10)]
    faces = [matcher.embed_face(one) for one in photos]
    together = matcher.embed_face(photos)
    np.testing.assert_allclose(together, unit(np.mean(faces, axis=0).tolist()), atol=1e-6)
    np.testing.assert_allclose(
        matcher.score([SLT, RMS], [photos]), [matcher.embed_voice([SLT, RMS]) @ together], atol=1e-6
    )
    np.testing.assert_array_equal(matcher.embed_face(photos[:1]), faces[0])


def test_nothing_to_average_is_refused(matcher: Matcher) -> None:
    with pytest.raises(Speech2FaceError, match="without a recording"):
        matcher.embed_voice([])
    with pytest.raises(Speech2FaceError, match="without a photo"):
        matcher.score(SLT, [[]])
    assert matcher.score(SLT, []).shape == (0,)
    with pytest.raises(Speech2FaceError, match="without a thing"):
        mean_vector([], "thing")


def test_a_picture_without_a_face_is_named(matcher: Matcher, tmp_path: Path) -> None:
    black = tmp_path / "black.png"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(black)
    with pytest.raises(Speech2FaceError, match="no face was found") as refused:
        matcher.embed_face(black)
    assert refused.value.path == str(black)
    with pytest.raises(Speech2FaceError, match="no face was found"):
        matcher.embed_face(np.zeros((40, 50, 3), np.uint8))
    located = Eye().locate(np.zeros((40, 50, 3), np.uint8))
    assert matcher.embed_located(picture(30, 40), located) == pytest.approx([0.6, 0.8], abs=1e-5)


def test_maps_of_another_model_or_another_recogniser_are_refused(model: Path) -> None:
    pipeline = load_model(model)
    sha256 = pipeline.card.sha256
    mine = {"detector": Eye(), "encoders": [Colour()]}
    with pytest.raises(Speech2FaceError, match="another model"):
        Matcher(pipeline, tiny_maps("0" * 64), **mine)
    with pytest.raises(Speech2FaceError, match="does not have"):
        Matcher(pipeline, tiny_maps(sha256))
    with pytest.raises(Speech2FaceError, match=r"of \('other',\), not 3 of \('colour',\)"):
        Matcher(pipeline, tiny_maps(sha256, recognisers=("other",)), **mine)
    with pytest.raises(Speech2FaceError, match="takes 4 numbers of a voice"):
        Matcher(pipeline, tiny_maps(sha256, voice_weight=np.ones((2, 4), np.float32)), **mine)


def test_a_model_that_gives_no_descriptors_is_refused(tmp_path: Path) -> None:
    pipeline = load_model(write_stand_in(tmp_path / "old.onnx"))
    with pytest.raises(Speech2FaceError, match="default-matcher"):
        Matcher(pipeline, tiny_maps(pipeline.card.sha256), detector=Eye(), encoders=[Colour()])


def test_a_model_is_opened_with_the_maps_beside_it(
    model: Path, matcher: Matcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher_module, "ENCODERS", {Colour.name: Colour})
    monkeypatch.setattr(matcher_module, "DlibDetector", Eye)
    opened = load_matcher(model)
    assert isinstance(opened, speech2face.Matcher)
    face = picture(1, 2)
    np.testing.assert_array_equal(opened.score(SLT, [face]), matcher.score(SLT, [face]))


def test_a_model_without_maps_says_how_to_make_them(tmp_path: Path) -> None:
    file = write_stand_in(tmp_path / "alone.onnx")
    with pytest.raises(Speech2FaceError, match="without a matcher") as refused:
        load_matcher(file)
    assert refused.value.path == str(tmp_path / "alone-match.safetensors")


def test_the_card_has_the_digests_and_what_a_score_means(model: Path) -> None:
    maps = matcher_path_of(model)
    card = json.loads(maps.with_suffix(".json").read_text())
    assert card.items() >= CARD.items()
    assert card["sha256"] == hashlib.sha256(maps.read_bytes()).hexdigest()
    assert card["size_bytes"] == maps.stat().st_size
    assert card["hearing_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert card["calibration"] == {"intercept": -1.0, "slope": 4.0}
    assert "apparent gender" in card["calibration_says"]


def test_an_embedded_matcher_that_was_changed_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    embedded = replace(hub.embedded(), path=tmp_path / "tiny.onnx")
    monkeypatch.setattr(hub, "embedded", lambda name=hub.DEFAULT: embedded)
    assert hub.embedded_matcher() is None
    maps = hub.matcher_path(embedded.path)
    maps.with_suffix(".json").write_bytes(matcher_path_of(model).with_suffix(".json").read_bytes())
    shipped = hub.embedded_matcher()
    assert shipped is not None and shipped.size_bytes is None
    with pytest.raises(Speech2FaceError, match="are missing"):
        hub.verify_matcher(shipped)
    maps.write_bytes(matcher_path_of(model).read_bytes())
    hub.verify_matcher(shipped)
    assert shipped.size_bytes == maps.stat().st_size
    maps.write_bytes(maps.read_bytes() + b"\0")
    with pytest.raises(Speech2FaceError, match="not the matcher that was shipped"):
        hub.verify_matcher(shipped)
    maps.with_suffix(".json").write_text("{}")
    with pytest.raises(Speech2FaceError, match="card of the embedded matcher is damaged"):
        hub.embedded_matcher()


def test_the_shipped_matcher_finds_what_the_model_draws_of_each_sample_voice() -> None:
    """The picture and the vector of a voice have nothing in common but the voice."""
    shipped = load_matcher()
    voices = sorted(EXAMPLES.glob("*.ogg"))
    faces = [np.asarray(shipped.pipeline.reconstruct(voice).image) for voice in voices]
    best = [int(shipped.score(voice, faces).argmax()) for voice in voices]
    assert best == list(range(len(voices))) and len(voices) == 4  # by chance once in 256 times
