"""The exported graphs against torch, on speech, with weights rounded and without.

The networks are untrained, but have the sizes of the embedded model and values like those of a
trained model: features of unit variance, landmarks moved by some pixels, a drawn face as the mean
texture, and texture components that become smaller and smaller.
"""

import copy
import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference
import onnxruntime
import pytest
import torch
from media import EXAMPLES
from torch import Tensor, nn

from speech2face import Speech2FaceError, load_model
from speech2face.audio.io import decode
from speech2face.data.invented import draw as draw_portrait
from speech2face.data.invented import traits_of
from speech2face.inference.export import export, verify_parity
from speech2face.models.canonical_decoder import CanonicalFaceDecoder, face_places
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder
from speech2face.models.hub import face_graph_path
from speech2face.models.rounding import quantise, rounded_weights
from speech2face.models.speaker_encoder import SHA256, fingerprint, read_speaker_encoder
from speech2face.models.speech2face import FaceDrawing, Speech2Face, load_speaker_encoder
from speech2face.training.recipes.embedded import EmbeddedConfig
from speech2face.training.surround import opacities

DECODER = EmbeddedConfig().decoder
D = R = DECODER.feature_size
DESCRIPTOR_SIZES = EmbeddedConfig().encoder.heard_sizes
CARD: dict[str, Any] = {
    "format": 2,
    "name": "untrained",
    "sample_rate": 16_000,
    "default_exaggeration": 0.7,
    "feature_size": D,
    "draw_size": R,
    "licence": "none",
}
PARITY = 1 / 255  # of 0..1: one step of eight bits; the graph solves its warp in float32


def speech(voice: str, seconds: float) -> Tensor:
    """A synthetic voice, repeated to that length, `[1, L]`."""
    waveform = decode(EXAMPLES / f"{voice}.ogg").waveform
    return torch.from_numpy(np.resize(waveform, round(seconds * 16_000)))[None]


def drawn(seed: int) -> Tensor:
    return torch.randn(1, R, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def untrained_model() -> Speech2Face:
    torch.manual_seed(0)
    portrait = draw_portrait(traits_of(0))
    decoder = CanonicalFaceDecoder(DECODER, torch.tensor(portrait.landmarks))
    decoder.mean_texture.copy_(torch.tensor(portrait.image).permute(2, 0, 1) / 255.0)
    decoder.place_of.copy_(face_places(decoder.mean_landmarks, DECODER))
    for layer in (decoder.face, decoder.around):
        layer.weight.normal_().mul_(0.1 / torch.arange(1, layer.in_features + 1))
    moved = decoder.landmarks(torch.randn(64, DECODER.n_face))
    decoder.landmarks.weight.mul_(2.0 / moved.std())  # 2 pixels
    covered = opacities(decoder.mean_texture[None], DECODER.grid_size)[0]
    decoder.surround.opacity.bias.copy_(covered)
    decoder.surround.opacity.weight.normal_(std=0.05)
    decoder.surround.prototypes.normal_()
    encoder = _heard(CompactVoiceEncoder(EmbeddedConfig().encoder).eval())
    draws = FaceDrawing(decoder, 0.1 * torch.randn(D), 0.03 * torch.randn(R, D))
    return Speech2Face(encoder, draws).eval()


def _heard(encoder: CompactVoiceEncoder) -> CompactVoiceEncoder:
    """An encoder with an untrained trunk that reacts to its input; features of unit variance."""
    for layer in encoder.trunk.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                layer.bias.normal_(std=0.1)
    _standardise(encoder)
    return encoder


@torch.no_grad()
def _standardise(encoder: CompactVoiceEncoder) -> None:
    """A random head whose features have mean 0 and unit variance over the sample voices."""
    voices = ("slt", "rms", "awb", "kal16")
    statistics = torch.cat([encoder.voice_statistics(speech(voice, 3)) for voice in voices])
    views = encoder.heard(statistics)  # [4, V + L]
    encoder.head.weight.normal_()
    features = views @ encoder.head.weight.T  # [4, D]
    mean = features.mean(dim=0)
    scale = 1.0 / (features - mean).square().mean().sqrt()
    encoder.head.weight.mul_(scale)
    encoder.head.bias.copy_(-scale * mean)


@pytest.fixture(scope="module")
def model() -> Speech2Face:
    return untrained_model()


@pytest.fixture(scope="module")
def rounded(model: Speech2Face) -> Speech2Face:
    return rounded_weights(model)


@pytest.fixture(scope="module")
def exported(model: Speech2Face, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "rounded.onnx"
    export(model, path, CARD)
    return path


@pytest.fixture(scope="module")
def exported_whole(model: Speech2Face, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "whole.onnx"
    export(model, path, CARD, full_precision=True)
    return path


@pytest.fixture(scope="module")
def pretrained(
    model: Speech2Face, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Speech2Face, Path]:
    """The pretrained trunk under an untrained head, rounded, and its graph."""
    whole = copy.deepcopy(model)
    assert isinstance(whole.hears, CompactVoiceEncoder)
    load_speaker_encoder(read_speaker_encoder(), whole.hears)
    _standardise(whole.hears)
    path = tmp_path_factory.mktemp("export") / "pretrained.onnx"
    export(whole, path, CARD)
    return rounded_weights(whole), path


@pytest.mark.parametrize("seconds", [3.0, 6.0, 6.37, 17.0])
@pytest.mark.parametrize(
    ("voice", "exaggeration", "draw_seed"),
    [("slt", 0.0, None), ("rms", 1.4, None), ("awb", -1.0, 1), ("kal16", 0.7, 2)],
)
def test_graph_makes_the_face_that_torch_makes(
    rounded: Speech2Face,
    exported: Path,
    seconds: float,
    voice: str,
    exaggeration: float,
    draw_seed: int | None,
) -> None:
    draw = None if draw_seed is None else drawn(draw_seed)
    difference = verify_parity(
        rounded, exported, speech(voice, seconds), exaggeration=exaggeration, draw=draw
    )
    assert difference <= PARITY


@pytest.mark.parametrize(
    "seconds",
    [3.0, 6.37, 17.0, *(pytest.param(long, marks=pytest.mark.slow) for long in (120.0, 150.0))],
)
def test_graph_with_the_pretrained_trunk_gives_the_feature_of_torch(
    pretrained: tuple[Speech2Face, Path], seconds: float
) -> None:
    """The lengths include two minutes and more, where windows are spaced out over the speech."""
    model, path = pretrained
    assert verify_parity(model, path, speech("rms", seconds), exaggeration=1.4) <= PARITY


def test_graph_of_full_precision_makes_the_face_of_the_model_itself(
    model: Speech2Face, exported_whole: Path
) -> None:
    assert verify_parity(model, exported_whole, speech("slt", 6), exaggeration=1.4) <= PARITY


@torch.no_grad()
@pytest.mark.parametrize("seconds", [3.0, 7.3])
def test_the_heard_feature_equals_that_of_torch(
    rounded: Speech2Face, exported: Path, seconds: float
) -> None:
    waveform = speech("rms", seconds)
    feature, descriptors = load_model(exported).hearing.run(None, {"waveform": waveform.numpy()})
    assert isinstance(rounded.hears, CompactVoiceEncoder)
    np.testing.assert_allclose(feature, rounded.hears(waveform).numpy(), atol=1e-4)
    expected = rounded.hears.heard(rounded.hears.voice_statistics(waveform)).numpy()  # [1, V]
    np.testing.assert_allclose(descriptors, expected, rtol=1e-4, atol=1e-4)  # up to 20 and more


@torch.no_grad()
def test_descriptors_of_a_recording_are_those_that_its_face_is_made_of(
    rounded: Speech2Face, exported: Path
) -> None:
    pipeline = load_model(exported)
    assert isinstance(rounded.hears, CompactVoiceEncoder)
    descriptors = pipeline.describe(EXAMPLES / "slt.ogg")  # [V]
    feature = rounded.hears.head(torch.from_numpy(descriptors)).numpy()
    np.testing.assert_allclose(pipeline.hear(EXAMPLES / "slt.ogg"), feature, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("n_faces", [1, 2, 5])
def test_faces_drawn_together_equal_those_of_torch(
    rounded: Speech2Face, exported: Path, n_faces: int
) -> None:
    """Random features, far from the mean and near it, each at its own exaggeration and draw."""
    generator = torch.Generator().manual_seed(n_faces)
    feature = torch.randn(n_faces, D, generator=generator)
    alpha = 3.0 * torch.rand(n_faces, generator=generator) - 1.0  # -1 to 2
    draw = torch.randn(n_faces, R, generator=generator)
    expected = rounded.draws(feature, alpha, draw)
    given = {"feature": feature, "exaggeration": alpha, "draw": draw}
    image, landmarks, drawn = load_model(exported).drawing.run(
        ["image", "landmarks", "drawn_feature"],
        {name: value.numpy() for name, value in given.items()},
    )
    np.testing.assert_allclose(image, expected.image.numpy(), atol=PARITY)
    np.testing.assert_allclose(landmarks, expected.landmarks.numpy(), atol=1e-3)  # pixels
    np.testing.assert_allclose(drawn, expected.feature.numpy(), atol=1e-5)


def test_both_graphs_compute_in_float32(exported: Path) -> None:
    """Not every runtime knows float64, and it is slower."""
    for path in (exported, face_graph_path(exported)):
        graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
        kinds = {value.type.tensor_type.elem_type for value in graph.value_info}
        kinds |= {tensor.data_type for tensor in graph.initializer}
        assert onnx.TensorProto.FLOAT in kinds and onnx.TensorProto.DOUBLE not in kinds


def test_the_models_of_these_tests_depend_on_voice_exaggeration_and_draw(
    rounded: Speech2Face, exported: Path
) -> None:
    """Otherwise the parity tests above could not fail."""
    outputs = load_model(exported)
    faces = [
        np.asarray(outputs.reconstruct(EXAMPLES / f"{voice}.ogg", exaggeration=alpha).image, float)
        for voice, alpha in (("slt", 0.0), ("slt", 1.4), ("rms", 0.0))
    ]
    assert np.abs(faces[0] - faces[1]).max() > 20
    assert np.abs(faces[0] - faces[2]).max() > 20
    other = verify_parity(rounded, exported, speech("slt", 6), draw=drawn(0))
    moved = rounded_weights(rounded)
    moved.draws.mean_feature += 0.1
    assert other <= PARITY < verify_parity(moved, exported, speech("slt", 6), exaggeration=-0.5)


def n_bytes(path: Path) -> int:
    return path.stat().st_size + face_graph_path(path).stat().st_size


def test_files_of_the_shipped_sizes_are_small(exported: Path, exported_whole: Path) -> None:
    assert n_bytes(exported) < 30e6
    assert n_bytes(exported) < 0.35 * n_bytes(exported_whole)


LONG = """
import resource, sys
import numpy as np
import speech2face
from speech2face.audio.recording import Recording

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

model = speech2face.load_model(sys.argv[1])
rng = np.random.default_rng(0)
before = peak()
model.hear(Recording(0.1 * rng.standard_normal(300 * 16_000).astype(np.float32), truncated=False))
print(peak() - before)
"""


def test_five_minutes_are_heard_in_bounded_memory(exported: Path) -> None:
    """Their samples are 18 MiB; all windows and spectra at once took 240 MiB."""
    finished = subprocess.run(
        [sys.executable, "-c", LONG, exported], capture_output=True, text=True, check=True
    )
    assert float(finished.stdout) < 100


def test_the_trunk_can_be_read_back(pretrained: tuple[Speech2Face, Path]) -> None:
    assert fingerprint(read_speaker_encoder(pretrained[1])) == SHA256


def initializers(graph: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Constants of a graph and of those inside it, by the names that they have in torch."""
    for tensor in graph.initializer:
        name = tensor.name.replace("network_1/", "trunk.")
        yield name, onnx.numpy_helper.to_array(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            yield from initializers(attribute.g)


def restored(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Float32 of every weight that a file stores in less, by its name, as NumPy makes it."""
    stored = {
        name: value
        for file in (path, face_graph_path(path))
        for name, value in initializers(onnx.load(file).graph)
    }
    values = {
        name.removesuffix("_half"): value.astype(np.float32)
        for name, value in stored.items()
        if value.dtype == np.float16
    }
    for name, value in stored.items():
        if value.dtype == np.int8:
            name = name.removesuffix("_int8")
            values[name] = value.astype(np.float32) * stored[f"{name}_step"]
    return values


def test_the_stored_weights_equal_those_of_torch_exactly(
    rounded: Speech2Face, exported: Path
) -> None:
    values = {name.removeprefix("encoder."): value for name, value in restored(exported).items()}
    state = rounded.hears.state_dict() | rounded.draws.state_dict()  # named as in its own graph
    for name in values.keys() & state.keys():
        np.testing.assert_array_equal(values[name], state[name].numpy())
    numbers = {name for name, weight in state.items() if weight.is_floating_point()}
    large = {name for name in numbers if state[name].numel() > 4096}
    renamed = large - values.keys()  # such as what the tracer transposed
    sizes = sorted(state[name].numel() for name in renamed)
    assert sizes == sorted(values[name].size for name in values.keys() - state.keys())
    assert len(renamed) < 0.1 * len(large)


@pytest.mark.parametrize("path_of", [Path, face_graph_path])
def test_onnxruntime_folds_the_nodes_that_restore_the_weights(
    exported: Path, tmp_path: Path, path_of: Callable[[Path], Path]
) -> None:
    """A rounded model then computes in float32 and is as fast as one that is not rounded."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "opened.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path_of(exported), options, providers=["CPUExecutionProvider"])
    opened = onnx.load(tmp_path / "opened.onnx").graph
    kinds = {value.dtype for _, value in initializers(opened)}
    assert np.dtype(np.float32) in kinds
    assert not kinds & {np.dtype(np.int8), np.dtype(np.float16)}


def test_large_weights_of_layers_are_quantised_other_large_tensors_halved(
    model: Speech2Face, rounded: Speech2Face
) -> None:
    after = rounded.state_dict()
    layers = {
        f"{name}.weight"
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
    }
    for name, weight in model.state_dict().items():
        expected = weight
        if weight.is_floating_point() and weight.numel() > 4096:  # 16 kB of float32
            expected = quantise(weight).value if name in layers else weight.half().float()
        assert torch.equal(after[name], expected), name
    mean = model.draws.mean_feature
    assert not torch.equal(mean.half().float(), mean)
    kernels = "hears.fbank.kernels"  # derived from constants: no weight
    assert torch.equal(model.get_buffer(kernels), rounded.get_buffer(kernels))


def test_rounding_again_changes_nothing(rounded: Speech2Face) -> None:
    again = rounded_weights(rounded)
    for one, two in zip(rounded.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_a_tensor_beyond_half_precision_is_stored_whole(model: Speech2Face, tmp_path: Path) -> None:
    loud = copy.deepcopy(model)
    loud.draws.spread[0, 0] = 1e5
    assert torch.equal(rounded_weights(loud).draws.spread, loud.draws.spread)
    export(loud, tmp_path / "loud.onnx", CARD)
    (stored,) = (
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "loud-face.onnx").graph.initializer
        if tensor.name == "spread"
    )
    np.testing.assert_array_equal(stored, loud.draws.spread.numpy())


def test_export_leaves_the_model_as_it_was(model: Speech2Face, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    export(model, tmp_path / "model.onnx", CARD)
    assert model.training
    model.eval()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_same_model_is_the_same_file(model: Speech2Face, exported: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "again.onnx", dict(reversed(CARD.items())))
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()
    assert (tmp_path / "again-face.onnx").read_bytes() == face_graph_path(exported).read_bytes()


def test_file_contains_nothing_about_the_machine_that_wrote_it(exported: Path) -> None:
    content = exported.read_bytes() + face_graph_path(exported).read_bytes()
    for folder in (Path(__file__).resolve().parents[2], Path.home(), Path(torch.__file__).parent):
        assert str(folder).encode() + b"/" not in content


def test_file_opens_in_the_pipeline_with_its_whole_card(exported: Path) -> None:
    pipeline = load_model(exported)
    assert {key: pipeline.card.details[key] for key in CARD} == CARD
    assert pipeline.card.default_exaggeration == 0.7
    assert (pipeline.card.feature_size, pipeline.card.draw_size) == (D, R)
    face = pipeline.reconstruct(EXAMPLES / "slt.ogg", draws=1)
    assert face.image.size == (224, 224)
    assert face.landmarks.shape == (68, 2)
    assert len(face.likely) == 1


def stated(path: Path) -> dict[str, list[int | str]]:
    """Sizes of inputs and outputs, as a graph states them."""
    graph = onnx.load(path).graph
    return {
        value.name: [size.dim_value or size.dim_param for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


def test_convention_the_graphs_state_the_shapes_of_the_contract(exported: Path) -> None:
    assert stated(exported) == {
        "waveform": [1, "n_samples"],
        "feature": [1, D],
        "voice_descriptors": [1, sum(DESCRIPTOR_SIZES)],
    }
    assert stated(face_graph_path(exported)) == {
        "feature": ["n_faces", D],
        "exaggeration": ["n_faces"],
        "draw": ["n_faces", R],
        "image": ["n_faces", 3, 224, 224],
        "landmarks": ["n_faces", 68, 2],
        "drawn_feature": ["n_faces", D],
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, r"lacks \['name'\]"),
        ({"feature_size": 4096}, "feature_size 4096, the model has 384"),
        ({"draw_size": 7}, "draw_size 7, the model has 384"),
        ({"note": math.nan}, "plain values"),
        ({"note": Path()}, "plain values"),
    ],
)
def test_card_that_does_not_fit_is_refused(
    model: Speech2Face, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    card = {key: value for key, value in (CARD | change).items() if value is not None}
    with pytest.raises(Speech2FaceError, match=said):
        export(model, tmp_path / "model.onnx", card)
    assert not list(tmp_path.iterdir())


def test_file_that_cannot_be_written_is_named_and_nothing_is_left(
    model: Speech2Face, tmp_path: Path
) -> None:
    (tmp_path / "taken-face.onnx").mkdir()
    (tmp_path / "file").write_text("no folder")
    for path, named in (
        (tmp_path / "taken.onnx", tmp_path / "taken-face.onnx"),
        (tmp_path / "file" / "model.onnx", tmp_path / "file" / "model-face.onnx"),
    ):
        with pytest.raises(Speech2FaceError) as refused:
            export(model, path, CARD)
        assert refused.value.path == str(named)
    assert {path.name for path in tmp_path.iterdir()} == {"taken-face.onnx", "file"}


def test_the_card_is_json_in_the_metadata_of_both_graphs(exported: Path) -> None:
    face = face_graph_path(exported)
    parts = {
        exported: {
            "part": "hears",
            "face_sha256": hashlib.sha256(face.read_bytes()).hexdigest(),
            "descriptor_sizes": list(DESCRIPTOR_SIZES),
        },
        face: {"part": "draws"},
    }
    for path, part in parts.items():
        (entry,) = onnx.load(path).metadata_props
        assert entry.key == "speech2face"
        assert json.loads(entry.value) == CARD | part
