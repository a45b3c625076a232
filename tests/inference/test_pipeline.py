"""The pipeline that hears and draws, with small stand-in graphs and with the embedded model."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import stand_in
from media import EXAMPLES, write_sparse_hours
from numpy.typing import NDArray

from speech2face import Face, Pipeline, Speech2FaceError, load_model
from speech2face.audio.io import decode
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.models import hub

pytestmark = pytest.mark.usefixtures("everything_is_speech")  # noise and tones stand for voices

SLT, RMS = EXAMPLES / "slt.ogg", EXAMPLES / "rms.ogg"


@pytest.fixture(scope="module")
def pipeline(stand_in_model: Path) -> Pipeline:
    return load_model(stand_in_model, threads=1)


@pytest.fixture(scope="module")
def embedded(default_asset: Path) -> Pipeline:
    return load_model(threads=1)


def noise(seconds: float) -> NDArray[np.float32]:
    samples = np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE))
    return (0.1 * samples).astype(np.float32)


def pixels(face: Face) -> NDArray[np.uint8]:
    return np.asarray(face.image)


def test_the_graphs_get_the_whole_voice_and_their_outputs_are_returned(
    pipeline: Pipeline, stand_in_model: Path
) -> None:
    face = pipeline.reconstruct(RMS, exaggeration=1.4)
    waveform = decode(RMS).waveform  # longer than six seconds
    cpu = {"providers": ["CPUExecutionProvider"]}
    hears = onnxruntime.InferenceSession(stand_in_model, **cpu)
    draws = onnxruntime.InferenceSession(hub.face_graph_path(stand_in_model), **cpu)
    (heard,) = hears.run(["feature"], {"waveform": waveform[None]})
    inputs = {
        "feature": heard,
        "exaggeration": np.float32([1.4]),
        "draw": np.zeros((1, stand_in.DRAW_SIZE), np.float32),
    }
    image, landmarks, drawn = draws.run(["image", "landmarks", "drawn_feature"], inputs)
    np.testing.assert_allclose(pipeline.hear(RMS), heard[0])
    np.testing.assert_allclose(face.feature, drawn[0])
    np.testing.assert_allclose(face.landmarks, landmarks[0])
    np.testing.assert_allclose(pixels(face) / 255, image[0].transpose(1, 2, 0), atol=0.5 / 255)
    assert face.seconds == len(waveform) / SAMPLE_RATE
    assert face.exaggeration == 1.4


def test_a_heard_feature_is_drawn_without_hearing_again(pipeline: Pipeline) -> None:
    heard = pipeline.hear(RMS)
    for alpha in (None, 0.0, 1.4):
        whole = pipeline.reconstruct(RMS, exaggeration=alpha, draws=3, seed=5)
        drawn = pipeline.draw(heard, exaggeration=alpha, draws=3, seed=5)
        np.testing.assert_array_equal(pixels(drawn), pixels(whole))
        for one, other in zip(drawn.likely, whole.likely, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
        assert (drawn.exaggeration, drawn.seconds) == (whole.exaggeration, 0.0)


def test_without_exaggeration_and_draws_the_feature_is_drawn_as_it_is(pipeline: Pipeline) -> None:
    feature = np.float32([0.5, -1, 0, 2, 3])
    np.testing.assert_array_equal(pipeline.draw(feature, exaggeration=0).feature, feature)


@pytest.mark.parametrize(
    "feature",
    [
        np.zeros(stand_in.FEATURE_SIZE + 1),
        np.zeros((1, stand_in.FEATURE_SIZE)),
        np.full(stand_in.FEATURE_SIZE, np.nan),
        "feature",
        [[1.0], [1.0, 2.0]],
        None,
    ],
)
def test_an_array_that_is_not_a_feature_of_the_model_is_refused(
    pipeline: Pipeline, feature: Any
) -> None:
    with pytest.raises(Speech2FaceError, match="give 5 finite numbers"):
        pipeline.draw(feature)


def test_further_faces_belong_to_the_voice(pipeline: Pipeline) -> None:
    loud, quiet = noise(6), 0.25 * noise(6)
    for samples in (loud, quiet):
        face = pipeline.reconstruct(samples, sample_rate=SAMPLE_RATE, draws=5)
        blues = {int(np.asarray(image)[0, 0, 2]) for image in (face.image, *face.likely)}
        assert blues == {round(255 * float(np.abs(samples).mean()))}


def test_convention_images_are_rgb_and_224_by_224(pipeline: Pipeline) -> None:
    face = pipeline.reconstruct(noise(6), sample_rate=SAMPLE_RATE, exaggeration=2)
    assert face.image.mode == "RGB" and face.image.size == (224, 224)
    red, green, blue = pixels(face)[0, 0]
    assert red == 128  # a quarter of the exaggeration
    assert green == 128  # the logistic function of a draw of zeros
    assert blue == round(255 * 0.1 * np.sqrt(2 / np.pi))  # mean loudness of normal noise


@pytest.mark.parametrize("seconds", [0.5, 1.7, 5.999])
def test_short_speech_is_repeated_to_six_seconds(pipeline: Pipeline, seconds: float) -> None:
    short = noise(seconds)
    by_hand = short[np.arange(96_000) % len(short)]
    face = pipeline.reconstruct(short, sample_rate=SAMPLE_RATE)
    expected = pipeline.reconstruct(by_hand, sample_rate=SAMPLE_RATE)
    np.testing.assert_array_equal(face.feature, expected.feature)
    assert face.seconds == pytest.approx(seconds) and expected.seconds == 6


def test_a_path_and_its_samples_give_the_same_face(pipeline: Pipeline) -> None:
    samples = decode(SLT).waveform
    from_file = pipeline.reconstruct(str(SLT))
    from_memory = pipeline.reconstruct(samples.astype(np.float64), sample_rate=SAMPLE_RATE)
    np.testing.assert_array_equal(from_file.feature, from_memory.feature)


def test_order_of_voices_does_not_matter(pipeline: Pipeline) -> None:
    first = [pipeline.reconstruct(voice, draws=1).feature for voice in (SLT, RMS, SLT)]
    second = [pipeline.reconstruct(voice).feature for voice in (RMS, SLT)]
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(first[0], second[1])
    np.testing.assert_array_equal(first[1], second[0])


def test_exaggeration_defaults_to_the_setting_of_the_model(pipeline: Pipeline) -> None:
    face = pipeline.reconstruct(SLT)
    assert face.exaggeration == stand_in.METADATA["default_exaggeration"]
    same = pipeline.reconstruct(SLT, exaggeration=face.exaggeration)
    np.testing.assert_array_equal(pixels(face), pixels(same))


@pytest.mark.parametrize(
    "exaggeration", [-1.1, 4.1, float("nan"), float("inf"), "1", [1.0], np.ones(2), {}]
)
def test_exaggeration_out_of_range_is_refused(pipeline: Pipeline, exaggeration: Any) -> None:
    with pytest.raises(Speech2FaceError, match="exaggeration"):
        pipeline.reconstruct(SLT, exaggeration=exaggeration)


def test_draws_differ_and_more_of_them_keep_the_first(pipeline: Pipeline) -> None:
    def greens(draws: int, seed: int) -> list[int]:
        faces = pipeline.reconstruct(SLT, draws=draws, seed=seed).likely
        return [int(np.asarray(image)[0, 0, 1]) for image in faces]

    assert len(set(greens(6, seed=0))) > 3
    assert greens(6, seed=0)[:2] == greens(2, seed=0)
    assert greens(6, seed=0) != greens(6, seed=1)
    assert pipeline.reconstruct(SLT).likely == ()


def test_draws_are_standard_normal(pipeline: Pipeline) -> None:
    faces = pipeline.reconstruct(noise(1), sample_rate=SAMPLE_RATE, draws=300).likely
    green = np.array([np.asarray(image)[0, 0, 1] for image in faces]) / 255
    drawn = np.log(green / (1 - green))  # back through the stand-in's logistic function
    assert abs(drawn.mean()) < 0.15 and abs(drawn.std() - 1) < 0.15


def test_settings_that_make_no_sense_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(Speech2FaceError, match="sample rate"):
        pipeline.reconstruct(noise(1))
    with pytest.raises(Speech2FaceError, match="states its own"):
        pipeline.reconstruct(SLT, sample_rate=16_000)


@pytest.mark.parametrize("value", [-1, 1.5, "1", None, float("nan")])
@pytest.mark.parametrize("name", ["draws", "seed"])
def test_draws_and_seed_are_whole_numbers(pipeline: Pipeline, name: str, value: Any) -> None:
    settings = {"draws": 1, "seed": 0} | {name: value}
    for call in (pipeline.reconstruct, pipeline.draw):
        with pytest.raises(Speech2FaceError, match=f"{name} = .*whole number, 0 or more"):
            call(SLT if call == pipeline.reconstruct else np.zeros(5), **settings)


@pytest.mark.parametrize("rate", ["16000", [16_000], {}, 1 + 2j])
def test_a_sample_rate_that_is_not_a_number_is_refused(pipeline: Pipeline, rate: Any) -> None:
    with pytest.raises(Speech2FaceError, match="sample_rate = .*give a number, in Hz"):
        pipeline.reconstruct(noise(1), sample_rate=rate)


def test_a_long_recording_says_that_it_was_cut(pipeline: Pipeline, tmp_path: Path) -> None:
    long = write_sparse_hours(tmp_path / "long.wav", noise(3), hours=2)
    face = pipeline.reconstruct(long)
    assert face.truncated and face.seconds == 300
    assert not pipeline.reconstruct(SLT).truncated


def test_a_model_without_descriptors_says_so(pipeline: Pipeline) -> None:
    with pytest.raises(Speech2FaceError, match="no descriptors of a voice"):
        pipeline.describe(SLT)


def test_descriptors_are_those_of_the_speech_that_is_heard(tmp_path: Path) -> None:
    file = stand_in.write_stand_in(tmp_path / "model.onnx", **stand_in.WITH_DESCRIPTORS)
    pipeline = load_model(file)
    heard = tile_to(decode(SLT).waveform, N_SAMPLES)
    expected = [np.abs(heard).mean(), np.square(heard).mean(), np.abs(heard).max()]
    np.testing.assert_allclose(pipeline.describe(SLT), expected, rtol=1e-4)
    np.testing.assert_allclose(pipeline.hear(SLT), expected[0], rtol=1e-4)


def changed(**differences: Any) -> dict[str, Any]:
    return stand_in.METADATA | differences


FACE_OUTPUTS, HEARING_OUTPUTS = stand_in.FACE_OUTPUTS, stand_in.HEARING_OUTPUTS
WRONG_GRAPHS: dict[str, tuple[dict[str, Any], str]] = {
    "no metadata": ({"metadata": None}, "not a speech2face model"),
    "no JSON": ({"metadata": "nonsense"}, "its description is not JSON"),
    "a list": ({"metadata": "[1, 2]"}, "not a JSON object"),
    "nested": ({"metadata": "[" * 100_000}, "nested"),
    "a number of 5,000 digits": ({"metadata": '{"name": ' + "9" * 5_000 + "}"}, "digits"),
    "no fields": ({"metadata": "{}"}, "its description is not"),
    "both parts in one file": ({"metadata": changed(format=1)}, "format is 1"),
    "a later format": ({"metadata": changed(format=3)}, "format is 3"),
    "another rate": ({"metadata": changed(sample_rate=8_000)}, "sample_rate is 8000"),
    "NaN": ({"metadata": changed(default_exaggeration=float("nan"))}, "description holds NaN"),
    "huge": ({"metadata": changed(draw_size=10**12)}, "draw_size 1000000000000"),
    "another feature": ({"metadata": changed(feature_size=4)}, "'feature'"),
    "too many descriptors": ({"metadata": changed(descriptor_sizes=[10**7])}, "descriptor_sizes"),
    "no number of them": ({"metadata": changed(descriptor_sizes=["a"])}, "its description"),
    "a part of size 0": ({"metadata": changed(descriptor_sizes=[3, 0])}, "descriptor_sizes"),
    "descriptors only promised": ({"metadata": changed(descriptor_sizes=[3])}, "has"),
    "another output": ({"hearing": {"outputs": HEARING_OUTPUTS | {"mean": [1, 1]}}}, "has"),
}
WRONG_FACE_GRAPHS: dict[str, tuple[dict[str, Any], str]] = {
    "another draw": ({"metadata": changed(draw_size=4)}, "'draw'"),
    "a renamed output": ({"face": {"outputs": FACE_OUTPUTS | {"rgb": [3]}}}, "model has"),
    "a missing output": ({"face": {"outputs": {"image": ["faces", 3, 224, 224]}}}, "model has"),
}


@pytest.mark.parametrize("case", WRONG_GRAPHS)
def test_a_graph_that_is_not_ours_is_refused(case: str, tmp_path: Path) -> None:
    changes, problem = WRONG_GRAPHS[case]
    file = stand_in.write_stand_in(tmp_path / "wrong.onnx", **changes)
    with pytest.raises(Speech2FaceError, match=problem) as caught:
        load_model(file)
    assert caught.value.path == str(file)


@pytest.mark.parametrize("case", WRONG_FACE_GRAPHS)
def test_a_face_graph_that_is_not_ours_is_refused(case: str, tmp_path: Path) -> None:
    changes, problem = WRONG_FACE_GRAPHS[case]
    file = stand_in.write_stand_in(tmp_path / "wrong.onnx", **changes)
    with pytest.raises(Speech2FaceError, match=problem) as caught:
        load_model(file)
    assert caught.value.path == str(hub.face_graph_path(file))


def test_the_face_graph_of_another_model_is_refused(tmp_path: Path) -> None:
    ours = stand_in.write_stand_in(tmp_path / "ours.onnx")
    theirs = stand_in.write_stand_in(tmp_path / "theirs.onnx", metadata=changed(name="theirs"))
    face = hub.face_graph_path(ours)
    face.write_bytes(hub.face_graph_path(theirs).read_bytes())
    with pytest.raises(Speech2FaceError, match=r"not the face graph of ours\.onnx") as caught:
        load_model(ours)
    assert caught.value.path == str(face)
    load_model(theirs)


def test_a_missing_or_cut_face_graph_is_named(tmp_path: Path) -> None:
    file = stand_in.write_stand_in(tmp_path / "model.onnx")
    face = hub.face_graph_path(file)
    face.write_bytes(face.read_bytes()[:-1])
    with pytest.raises(Speech2FaceError, match="not the face graph") as caught:
        load_model(file)
    assert caught.value.path == str(face)
    face.unlink()
    with pytest.raises(Speech2FaceError, match="belong together") as caught:
        load_model(file)
    assert caught.value.path == str(face)


def test_either_graph_in_the_place_of_the_other_is_refused(tmp_path: Path) -> None:
    file = stand_in.write_stand_in(tmp_path / "model.onnx")
    with pytest.raises(Speech2FaceError, match="only the face graph"):
        load_model(hub.face_graph_path(file))
    hearing = file.read_bytes()
    stand_in.write_pair(file, stand_in.METADATA, drawing=hearing)
    with pytest.raises(Speech2FaceError, match="not a face graph"):
        load_model(file)


@pytest.mark.parametrize("content", [b"", b"not a model\n" * 9, bytes(range(256)) * 20])
def test_a_face_graph_that_is_not_a_model_is_refused(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A hearing graph names it with the right digest, and it is still refused."""
    file = stand_in.write_pair(tmp_path / "wrong.onnx", stand_in.METADATA, drawing=content)
    with pytest.raises(Speech2FaceError, match="not an ONNX model") as caught:
        load_model(file)
    assert caught.value.path == str(hub.face_graph_path(file))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"not a model\n" * 9, bytes(range(256)) * 20])
def test_a_file_that_is_not_a_model_is_refused(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.onnx"
    file.write_bytes(content)
    with pytest.raises(Speech2FaceError, match="not an ONNX model"):
        load_model(file)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", [b"stand-in", b"draw_size", b"samples", b"feature"])
def test_names_that_are_not_unicode_are_refused_without_other_output(
    text: bytes, stand_in_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = stand_in_model.read_bytes()
    assert text in content
    (tmp_path / "odd.onnx").write_bytes(content.replace(text, b"\xff" + text[1:], 1))
    with pytest.raises(Speech2FaceError):
        load_model(tmp_path / "odd.onnx")
    assert capfd.readouterr() == ("", "")


def test_a_cut_model_is_refused(stand_in_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "cut.onnx"
    file.write_bytes(stand_in_model.read_bytes()[:-200])
    with pytest.raises(Speech2FaceError):
        load_model(file)


def test_missing_models_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no such model file"):
        load_model(tmp_path / "missing.onnx")
    with pytest.raises(Speech2FaceError, match="is not a model file"):
        load_model(tmp_path)
    with pytest.raises(Speech2FaceError, match="cannot be opened"):
        load_model("null\0byte.onnx")


def test_weights_outside_the_model_files_are_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look for them
    graphs = (
        stand_in.hearing_graph(changed(part="hears")),
        stand_in.face_graph(changed(part="draws")),
    )
    for number, graph in enumerate(graphs):
        onnx.save_model(graph, f"{number}.onnx", save_as_external_data=True, size_threshold=0)
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(Speech2FaceError, match=r"0\.onnx: .* by itself"):
        load_model("0.onnx")
    stand_in.write_pair(tmp_path / "model.onnx", stand_in.METADATA, Path("1.onnx").read_bytes())
    with pytest.raises(Speech2FaceError, match=r"model-face\.onnx: .* by itself"):
        load_model("model.onnx")


def test_a_graph_whose_output_is_not_a_face_gives_an_error(tmp_path: Path) -> None:
    graph = stand_in.face_graph(changed(part="draws"))
    next(node for node in graph.graph.node if node.op_type == "Sigmoid").op_type = "Log"
    content = graph.SerializeToString()
    file = stand_in.write_pair(tmp_path / "log.onnx", stand_in.METADATA, content)
    with pytest.raises(Speech2FaceError, match="not a face"):  # the logarithm of 0
        load_model(file).reconstruct(SLT)


def test_a_graph_that_fails_gives_one_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = stand_in.face_graph(changed(part="draws"))
    shape = next(c for c in graph.graph.initializer if c.name == "pixel_shape")
    shape.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 7, 1, 1]), "pixel_shape"))
    content = graph.SerializeToString()
    file = stand_in.write_pair(tmp_path / "fails.onnx", stand_in.METADATA, content)
    with pytest.raises(Speech2FaceError):
        load_model(file).reconstruct(SLT)
    assert capfd.readouterr() == ("", "")


def test_the_card_has_the_digest_of_the_file(pipeline: Pipeline, stand_in_model: Path) -> None:
    assert pipeline.card.sha256 == hashlib.sha256(stand_in_model.read_bytes()).hexdigest()
    assert pipeline.card.name == "stand-in"
    face = hub.face_graph_path(stand_in_model).read_bytes()
    assert pipeline.card.face_sha256 == hashlib.sha256(face).hexdigest()
    assert pipeline.card.details == stand_in.METADATA | {
        "part": "hears",
        "face_sha256": pipeline.card.face_sha256,
    }


@pytest.fixture
def invented_package(stand_in_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose embedded default is the stand-in; returns its folder of assets."""
    assets = tmp_path / "assets"
    assets.mkdir()
    card = {}
    face = hub.face_graph_path(stand_in_model)
    for key, name, source in (
        ("sha256", "default.onnx", stand_in_model),
        ("face_sha256", "default-face.onnx", face),
    ):
        (assets / name).write_bytes(source.read_bytes())
        card[key] = hashlib.sha256(source.read_bytes()).hexdigest()
    (assets / "default.json").write_text(json.dumps(card))
    monkeypatch.setattr("speech2face.models.hub.resources.files", lambda _: tmp_path)
    return assets


def test_the_embedded_model_is_the_default(invented_package: Path) -> None:
    assert load_model().card == load_model("default").card
    hub.verify(hub.embedded())


def test_a_changed_face_graph_of_the_embedded_model_is_refused(invented_package: Path) -> None:
    with (invented_package / "default-face.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(Speech2FaceError, match="not the face graph of"):
        load_model()
    with pytest.raises(Speech2FaceError, match="not the face graph that was shipped"):
        hub.verify(hub.embedded())


def test_a_changed_embedded_model_is_refused(invented_package: Path) -> None:
    with (invented_package / "default.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(Speech2FaceError, match="not the model that was shipped"):
        load_model()
    with pytest.raises(Speech2FaceError, match="not the model that was shipped"):
        hub.verify(hub.embedded())


@pytest.mark.parametrize("card", [None, "", "[]", "{}", "{", "[" * 100_000, '{"sha256": ""}'])
def test_a_package_with_a_broken_card_is_refused(invented_package: Path, card: str | None) -> None:
    (invented_package / "default.json").unlink()
    if card is not None:
        (invented_package / "default.json").write_text(card)
    with pytest.raises(Speech2FaceError, match="card of the embedded model"):
        load_model()


def test_a_package_without_its_model_is_refused(invented_package: Path) -> None:
    (invented_package / "default.onnx").unlink()
    with pytest.raises(Speech2FaceError, match="no such model"):
        load_model()
    with pytest.raises(Speech2FaceError, match="is missing"):
        hub.verify(hub.embedded())


def test_an_unknown_embedded_model_is_named() -> None:
    with pytest.raises(Speech2FaceError, match="'largest'"):
        hub.embedded("largest")


def test_the_embedded_model_is_whole_and_at_most_30_megabytes(default_asset: Path) -> None:
    hub.verify(hub.embedded())
    assert hub.embedded().path == default_asset
    assert (hub.embedded().size_bytes or 0) <= 30e6


def test_two_voices_give_two_faces_on_white(embedded: Pipeline) -> None:
    faces = [embedded.reconstruct(EXAMPLES / f"{voice}.ogg") for voice in ("slt", "rms")]
    for face in faces:
        corners = pixels(face)[[0, 0], [0, -1]]
        assert corners.min() > 230  # white ground, top left and top right
        assert pixels(face)[90:140, 90:135].mean() < 230  # and something in the middle
        assert (face.landmarks > 10).all() and (face.landmarks < 214).all()
    difference = np.abs(pixels(faces[0]).astype(float) - pixels(faces[1]))
    assert difference.mean() > 2  # grey levels


def test_exaggeration_moves_faces_apart_and_minus_one_is_the_mean_face(embedded: Pipeline) -> None:
    def difference(exaggeration: float) -> float:
        one, other = (
            pixels(embedded.reconstruct(voice, exaggeration=exaggeration)).astype(float)
            for voice in (SLT, RMS)
        )
        return float(np.abs(one - other).mean())

    assert difference(-1) < 0.5
    assert difference(-1) < difference(0) < difference(1.4)


def test_likely_faces_of_two_voices_differ_by_their_voices(embedded: Pipeline) -> None:
    """With one seed the draws are equal, but the faces of two voices differ."""
    one, other = (embedded.reconstruct(voice, draws=2, seed=3).likely for voice in (SLT, RMS))
    for first, second in zip(one, other, strict=True):
        assert np.abs(np.asarray(first).astype(float) - np.asarray(second)).mean() > 2


def test_the_faces_of_more_draws_begin_with_those_of_fewer(embedded: Pipeline) -> None:
    few, many = (embedded.reconstruct(SLT, draws=n).likely for n in (1, 6))
    np.testing.assert_array_equal(np.asarray(few[0]), np.asarray(many[0]))


def test_likely_faces_differ_from_the_one_face(embedded: Pipeline) -> None:
    face = embedded.reconstruct(SLT, draws=2)
    for image in face.likely:
        assert np.abs(np.asarray(image).astype(float) - pixels(face)).mean() > 1


@pytest.mark.parametrize("seconds", [0.5, 3, 6, 40])
def test_the_embedded_model_takes_any_length(embedded: Pipeline, seconds: float) -> None:
    speech = np.tile(decode(SLT).waveform, 6)[: round(seconds * SAMPLE_RATE)]
    face = embedded.reconstruct(speech, sample_rate=SAMPLE_RATE)
    assert face.feature.shape == (embedded.card.feature_size,)
