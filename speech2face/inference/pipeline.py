"""From a voice to a face: one onnxruntime session over one graph, waveform in, image out.

What is evaluated is what ships: every command
that makes a face goes through `Pipeline`. A model file is a stranger's: whatever is not our graph
is refused in a sentence, and no file beside it is ever opened.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.io import SAMPLE_RATE, Recording, as_recording, decode
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.errors import Speech2FaceError
from speech2face.models import hub
from speech2face.onnx_runtime import load_onnxruntime
from speech2face.records import parse_json_object

if TYPE_CHECKING:  # at run time Pillow is imported with the first face
    from PIL.Image import Image

FORMAT = 1  # of the exported graph and its metadata
METADATA_KEY = "speech2face"
IMAGE_SIZE = 224  # pixels, both ways
N_LANDMARKS = 68
EXAGGERATIONS = (
    -1.0,
    4.0,
)  # -1 is the mean face, 0 the plain prediction, the paper's page 0.7, 1.4
THREADS = 2  # a third less time than one takes; more gain little on windows of three seconds
MAX_SIZE = 1_000_000  # of a feature or a draw that a model file may ask for
MAX_MODEL_BYTES = 2**31  # protobuf's own limit

_EXPORT = "give a file that `speech2face export` wrote"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ModelCard:
    """What an exported model says of itself, and the digest of its file."""

    name: str
    format: int
    sample_rate: int  # Hz
    default_exaggeration: float
    feature_size: int  # D
    draw_size: int  # R, coordinates of the spread of equally likely faces
    sha256: str
    # All that its metadata says, such as licence and training data.
    details: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        known = {"format": FORMAT, "sample_rate": SAMPLE_RATE}
        for name, value in known.items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected {value}")
        low, high = EXAGGERATIONS
        if not low <= self.default_exaggeration <= high:
            raise ValueError(f"default_exaggeration is {self.default_exaggeration}")
        if not (0 < self.feature_size <= MAX_SIZE and 0 <= self.draw_size <= MAX_SIZE):
            raise ValueError(f"feature_size is {self.feature_size}, draw_size {self.draw_size}")


@dataclass(frozen=True)
class Face:
    """A face consistent with the voice; never the speaker's face."""

    image: "Image"  # 224 x 224, RGB
    feature: Floats  # [D], the face feature heard in the voice
    landmarks: Floats  # [68, 2] in pixels of the image, (x, y)
    seconds: float  # of speech that were heard
    exaggeration: float  # how far from the mean face it was pushed
    likely: tuple["Image", ...] = ()  # further faces that the voice fits as well
    truncated: bool = False  # the recording went on; only its beginning was heard
    damaged: bool = False  # parts of the recording could not be decoded


class Pipeline:
    """An exported model, ready to turn voices into faces. Same voice, same face, in any order."""

    def __init__(self, session: Any, card: ModelCard) -> None:
        self.session = session
        self.card = card

    def reconstruct(
        self,
        voice: str | os.PathLike[str] | NDArray[Any],
        *,
        sample_rate: int | None = None,
        exaggeration: float | None = None,
        draws: int = 0,
        seed: int = 0,
    ) -> Face:
        """Make a face that is consistent with a voice.

        Args:
            voice: any file PyAV decodes, or samples `[L]`, `[C, L]` or `[L, C]`. All of the first
                five minutes are heard; what is shorter than six seconds is repeated.
            sample_rate: of samples, in Hz; a file knows its own.
            exaggeration: alpha of v' = mean + (1 + alpha)(v - mean), -1 to 4; the model's own
                default unless given.
            draws: how many further, equally likely faces to draw. A voice constrains a face
                weakly; their spread shows how weakly.
            seed: of the draws. The first faces stay the same when more are drawn.

        Raises:
            Speech2FaceError: a voice that cannot be used, or a setting out of range.
        """
        recording = _recording(voice, sample_rate)
        alpha = _checked_exaggeration(exaggeration, self.card)
        waveform = tile_to(recording.waveform, N_SAMPLES)[None]  # [1, L]
        normal = np.random.default_rng(seed).standard_normal((_n_draws(draws), self.card.draw_size))
        one_face = np.zeros(self.card.draw_size)
        image, feature, landmarks = self._run(waveform, alpha, one_face)
        return Face(
            image=image,
            feature=feature,
            landmarks=landmarks,
            seconds=recording.seconds,
            exaggeration=alpha,
            likely=tuple(self._run(waveform, alpha, draw)[0] for draw in normal),
            truncated=recording.truncated,
            damaged=recording.damaged,
        )

    def face_at(self, draw: NDArray[Any]) -> Face:
        """Make the face that lies `draw` away from the mean face; no voice is heard.

        Args:
            draw: coordinates of the model's spread, `[R]`; zeros are the mean face.

        Raises:
            Speech2FaceError: another number of coordinates, or one that is not finite.
        """
        if draw.shape != (self.card.draw_size,) or not np.isfinite(draw).all():
            problem = f"coordinates of shape {draw.shape}, or not finite"
            raise Speech2FaceError(problem, f"give {self.card.draw_size} finite numbers")
        silence = np.zeros((1, N_SAMPLES), np.float32)  # at -1 the mean face, whatever is heard
        image, feature, landmarks = self._run(silence, -1.0, draw)
        return Face(image, feature, landmarks, seconds=0.0, exaggeration=-1.0)

    def _run(
        self, waveform: Floats, alpha: float, draw: NDArray[Any]
    ) -> tuple["Image", Floats, Floats]:
        """Image, feature `[D]` and landmarks `[68, 2]` of `[1, L]` samples and an `[R]` draw."""
        outputs = _output_sizes(self.card)
        inputs = {
            "waveform": waveform,
            "exaggeration": np.array([alpha], np.float32),
            "draw": draw[None].astype(np.float32),  # [1, R]
        }
        try:
            image, feature, landmarks = self.session.run(list(outputs), inputs)
        except Exception as error:  # onnxruntime's own exceptions have no narrower parent
            problem = f"the model {self.card.name!r} failed on {waveform.shape[1]} samples"
            raise Speech2FaceError(problem, "export the model again") from error
        shapes = (image.shape, feature.shape, landmarks.shape)
        finite = all(np.isfinite(output).all() for output in (image, feature, landmarks))
        if shapes != tuple(outputs.values()) or not finite:
            problem = f"the model {self.card.name!r} gave something that is not a face"
            raise Speech2FaceError(problem, "export the model again")
        return _as_image(image[0]), feature[0], landmarks[0]


def load_model(
    model: str | os.PathLike[str] | None = None, *, threads: int | None = None
) -> Pipeline:
    """Open a model for inference.

    Args:
        model: an exported model file, or the name of an embedded one; the embedded default
            unless given.
        threads: that work on one face; two unless given.

    Raises:
        Speech2FaceError: no such file, not one of our models, or a damaged installation.
    """
    name = hub.DEFAULT if model is None else os.fspath(model)
    inside = hub.embedded(name) if name in hub.EMBEDDED else None
    path = inside.path if inside else Path(name)
    content = _read(path)
    sha256 = hub.sha256_of(content)
    if inside:
        hub.refuse_other(inside, sha256)
    session = _session(content, path, threads or THREADS)
    try:
        card = _card(session, path, sha256)
        _refuse_other_graph(session, card, path)
    except UnicodeDecodeError as error:  # any name or text in the file may be no text
        raise Speech2FaceError("is damaged", _EXPORT, str(path)) from error
    return Pipeline(session, card)


def _recording(voice: str | os.PathLike[str] | NDArray[Any], sample_rate: int | None) -> Recording:
    if isinstance(voice, str | os.PathLike):
        if sample_rate is not None:
            remedy = "leave sample_rate out; it is for samples in memory"
            raise Speech2FaceError("a file carries its own sample rate", remedy, os.fspath(voice))
        return decode(voice)
    if sample_rate is None:
        raise Speech2FaceError("samples have no sample rate", "give sample_rate= in Hz")
    return as_recording(voice, sample_rate)


def _checked_exaggeration(exaggeration: float | None, card: ModelCard) -> float:
    if exaggeration is None:
        return card.default_exaggeration
    low, high = EXAGGERATIONS
    if not low <= exaggeration <= high:  # also refuses NaN
        remedy = f"choose {low:g} (the mean face) to {high:g}"
        raise Speech2FaceError(f"exaggeration {exaggeration} is out of range", remedy)
    return float(exaggeration)


def _n_draws(draws: int) -> int:
    if draws < 0:
        raise Speech2FaceError(f"{draws} further faces", "ask for none or more")
    return draws


def _as_image(image: Floats) -> "Image":
    """Pillow image of `[3, H, W]` RGB in 0..1."""
    from PIL import Image

    pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)  # [3, H, W]
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))  # [H, W, 3]


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= MAX_MODEL_BYTES):
            raise Speech2FaceError("is no model file", _EXPORT, str(path))
        return path.read_bytes()
    except FileNotFoundError as error:
        problem = "there is no such model file"
        remedy = "check the path, or leave --model out for the embedded one"
        raise Speech2FaceError(problem, remedy, str(path)) from error
    except (OSError, ValueError) as error:
        problem = f"the model cannot be opened ({error})"
        raise Speech2FaceError(problem, "check the path", str(path)) from error


def _session(content: bytes, path: Path, threads: int) -> Any:
    """Session over a model's bytes; from bytes, so that it can be digested and reads no other."""
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # fatal only: problems are told once, by us
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    nowhere = os.path.join(os.devnull, "nowhere")  # weights must lie inside the file
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", nowhere
    )
    try:
        return ort.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )  # without the fallback, which prints
    except Exception as error:  # onnxruntime's own exceptions have no narrower parent
        problem = "is not an ONNX model that onnxruntime can open by itself"
        raise Speech2FaceError(problem, _EXPORT, str(path)) from error


def _card(session: Any, path: Path, sha256: str) -> ModelCard:
    """The model's own description, from the metadata in its file."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise Speech2FaceError("is ONNX, but no speech2face model", _EXPORT, str(path))
    said = parse_json_object(text, path, remedy=_EXPORT, part="its description")
    try:
        return ModelCard(
            name=str(said["name"]),
            format=int(said["format"]),
            sample_rate=int(said["sample_rate"]),
            default_exaggeration=float(said["default_exaggeration"]),
            feature_size=int(said["feature_size"]),
            draw_size=int(said["draw_size"]),
            sha256=sha256,
            details=said,
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        problem = f"describes itself in a way this version does not know ({error})"
        raise Speech2FaceError(problem, _EXPORT, str(path)) from error


def _refuse_other_graph(session: Any, card: ModelCard, path: Path) -> None:
    """Raise unless names, types and sizes of what goes in and out are those of the contract."""
    inputs: dict[str, tuple[int | None, ...]] = {
        "waveform": (1, None),
        "exaggeration": (1,),
        "draw": (1, card.draw_size),
    }
    sides = ((session.get_inputs(), inputs), (session.get_outputs(), _output_sizes(card)))
    for tensors, contract in sides:
        found = {tensor.name: tensor for tensor in tensors}
        if found.keys() != contract.keys():
            problem = f"has {sorted(found)} where a speech2face model has {sorted(contract)}"
            raise Speech2FaceError(problem, _EXPORT, str(path))
        for name, wanted in contract.items():
            tensor = found[name]
            if tensor.type != "tensor(float)" or not _fits(tensor.shape, wanted):
                problem = f"its {name!r} is {tensor.type} of shape {tensor.shape}"
                raise Speech2FaceError(problem, _EXPORT, str(path))


def _output_sizes(card: ModelCard) -> dict[str, tuple[int | None, ...]]:
    return {
        "image": (1, 3, IMAGE_SIZE, IMAGE_SIZE),
        "feature": (1, card.feature_size),
        "landmarks": (1, N_LANDMARKS, 2),
    }


def _fits(shape: list[Any], wanted: tuple[int | None, ...]) -> bool:
    """Sizes that the graph states equal the wanted ones; a name stands for any, None wants any."""
    return len(shape) == len(wanted) and all(
        want is None or not isinstance(size, int) or size == want
        for size, want in zip(shape, wanted, strict=True)
    )
