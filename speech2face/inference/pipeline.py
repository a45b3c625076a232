"""From a voice to a face by onnxruntime: one session hears, a second one draws.

    NAME.onnx         waveform [1, L]  ->  feature [1, D], v_s
    NAME-face.onnx    feature [N, D], exaggeration [N], draw [N, R]
                      ->  image [N, 3, 224, 224], landmarks [N, 68, 2], drawn_feature [N, D], v'

So a slider, or further faces of one voice, draw again without hearing again. What is evaluated is
what ships: every command that makes a face goes through `Pipeline`. A model file is a stranger's:
whatever is not our graph is refused in a sentence, and of other files only the face graph is opened
whose SHA-256 the hearing graph names.
"""

import operator
import os
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.io import SAMPLE_RATE, Recording, as_recording, decode
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.errors import Speech2FaceError
from speech2face.models import hub
from speech2face.onnx_runtime import open_session
from speech2face.records import parse_json_object

if TYPE_CHECKING:  # at run time Pillow is imported with the first face
    from PIL.Image import Image

FORMAT = 2  # of the exported graphs and their metadata; 1 had both parts in one file
METADATA_KEY = "speech2face"
HEARS, DRAWS = "hears", "draws"  # which part a graph is, in its metadata
IMAGE_SIZE = 224  # pixels, both ways
N_LANDMARKS = 68
EXAGGERATIONS = (
    -1.0,
    4.0,
)  # -1 is the mean face, 0 the plain prediction, the paper's page 0.7, 1.4
THREADS = 2  # a third less time than one takes; more gain little on windows of three seconds
MAX_SIZE = 1_000_000  # of a feature or a draw that a model file may ask for
MAX_MODEL_BYTES = 2**31  # protobuf's own limit
FACES_AT_ONCE = 4  # further faces are drawn in groups of this size, however many are asked for

_EXPORT = "give a file that `speech2face export` wrote"

Floats = NDArray[np.float32]
Shape = tuple[int | None, ...]  # None: any size
Voice = str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any] | Recording


@dataclass(frozen=True)
class ModelCard:
    """What an exported model says of itself, and the digest of its hearing graph."""

    name: str
    format: int
    sample_rate: int  # Hz
    default_exaggeration: float
    feature_size: int  # D
    draw_size: int  # R, coordinates of the spread of equally likely faces
    sha256: str  # of the hearing graph, which names that of the face graph
    face_sha256: str
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
    feature: Floats  # [D]: v', the face feature as it was drawn, exaggeration included
    landmarks: Floats  # [68, 2] in pixels of the image, (x, y)
    seconds: float  # of speech that were found and heard; 0 if none was
    exaggeration: float  # how far from the mean face it was pushed
    likely: tuple["Image", ...] = ()  # further faces that the voice fits as well
    truncated: bool = False  # the recording went on; what followed was not heard
    damaged: bool = False  # parts of the recording could not be decoded
    seconds_searched: float = 0.0  # of the recording, for speech
    notes: tuple[str, ...] = ()  # of the recording: one channel of several is heard, little speech


class Pipeline:
    """An exported model, ready to turn voices into faces. Same voice, same face, in any order."""

    def __init__(self, hearing: Any, drawing: Any, card: ModelCard) -> None:
        """Use two onnxruntime sessions that `load_model` has checked."""
        self.hearing, self.drawing = hearing, drawing
        self.card = card

    def reconstruct(
        self,
        voice: Voice,
        *,
        sample_rate: int | None = None,
        exaggeration: float | None = None,
        draws: int = 0,
        seed: int = 0,
    ) -> Face:
        """Make a face that is consistent with a voice: `draw` what `hear` says of it.

        Args:
            voice: as for `hear`.
            sample_rate: as for `hear`.
            exaggeration: as for `draw`.
            draws: as for `draw`.
            seed: as for `draw`.

        Raises:
            Speech2FaceError: a voice that cannot be used, or a setting out of range.
        """
        alpha, n_draws = self._alpha(exaggeration), _whole(draws, "draws")
        seed = _whole(seed, "seed")
        recording = _recording(voice, sample_rate)
        face = self.draw(self._feature(recording), exaggeration=alpha, draws=n_draws, seed=seed)
        return replace(
            face,
            seconds=recording.seconds,
            truncated=recording.truncated,
            damaged=recording.damaged,
            seconds_searched=recording.seconds_searched,
            notes=recording.notes,
        )

    def hear(self, voice: Voice, *, sample_rate: int | None = None) -> Floats:
        """The face feature v_s that the model hears in a voice, `[D]`.

        Args:
            voice: any file PyAV decodes, by its path, its bytes or opened in binary mode, or
                samples `[L]`, `[C, L]` or `[L, C]`. The speech in it is found, wherever it lies,
                and its first five minutes are heard; what is shorter than six seconds is repeated.
                A `Recording` is heard as it is.
            sample_rate: of samples, in Hz; a file knows its own.

        Raises:
            Speech2FaceError: a voice that cannot be used.
        """
        return self._feature(_recording(voice, sample_rate))

    def draw(
        self,
        feature: NDArray[Any],
        *,
        exaggeration: float | None = None,
        draws: int = 0,
        seed: int = 0,
    ) -> Face:
        """Draw the face of a feature: one that was heard, or one of a photo.

        Args:
            feature: v_s, `[D]`.
            exaggeration: alpha of v' = mean + (1 + alpha)(v_s - mean), -1 to 4; the model's own
                default unless given.
            draws: how many further, equally likely faces to draw. A voice constrains a face
                weakly; their spread shows how weakly.
            seed: of the draws. The first faces stay the same when more are drawn.

        Raises:
            Speech2FaceError: another feature than the model's, or a setting out of range.
        """
        alpha, n_draws = self._alpha(exaggeration), _whole(draws, "draws")
        heard = self._checked_feature(feature)
        size = (n_draws, self.card.draw_size)
        normal = np.random.default_rng(_whole(seed, "seed")).standard_normal(size)
        images, landmarks, drawn = self._faces(heard, alpha, np.zeros((1, self.card.draw_size)))
        return Face(
            image=_as_image(images[0]),
            feature=drawn[0],
            landmarks=landmarks[0],
            seconds=0.0,
            exaggeration=alpha,
            likely=self._likely(heard, alpha, normal),
        )

    def _likely(self, feature: Floats, alpha: float, draws: NDArray[Any]) -> tuple["Image", ...]:
        """Images of draws `[N, R]`.

        Always in groups of one size: sums are rounded otherwise in groups of another, and a face
        would depend on how many more are asked for.
        """
        likely: list[Image] = []
        for start in range(0, len(draws), FACES_AT_ONCE):
            group = draws[start : start + FACES_AT_ONCE]
            filled = np.zeros((FACES_AT_ONCE, draws.shape[1]))
            filled[: len(group)] = group
            images, _, _ = self._faces(feature, alpha, filled)
            likely += [_as_image(image) for image in images[: len(group)]]
        return tuple(likely)

    def _feature(self, recording: Recording) -> Floats:
        """v_s `[D]`."""
        waveform = tile_to(recording.waveform, N_SAMPLES)[None]  # [1, L]
        outputs: dict[str, Shape] = {"feature": (1, self.card.feature_size)}
        (features,) = self._run(self.hearing, {"waveform": waveform}, outputs)  # [1, D]
        feature: Floats = features[0]
        return feature

    def _faces(self, feature: Floats, alpha: float, draws: NDArray[Any]) -> list[Floats]:
        """Images `[N, 3, H, W]`, landmarks `[N, 68, 2]` and v' `[N, D]` of draws `[N, R]`."""
        n_faces = len(draws)
        inputs = {
            "feature": np.repeat(feature[None], n_faces, axis=0),  # [N, D]
            "exaggeration": np.full(n_faces, alpha, np.float32),
            "draw": draws.astype(np.float32),
        }
        outputs = face_outputs(self.card.feature_size)
        return self._run(
            self.drawing,
            inputs,
            {name: (n_faces, *shape[1:]) for name, shape in outputs.items()},
        )

    def _run(
        self, session: Any, inputs: dict[str, Floats], outputs: dict[str, Shape]
    ) -> list[Floats]:
        """The named outputs, once they are known to have their shapes and to be finite."""
        try:
            found: list[Floats] = session.run(list(outputs), inputs)
        except Exception as error:  # onnxruntime's own exceptions have no narrower parent
            sizes = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
            problem = f"the model {self.card.name!r} failed on {sizes}"
            raise Speech2FaceError(problem, "export the model again") from error
        shapes = [output.shape for output in found]
        if shapes != list(outputs.values()) or not all(np.isfinite(one).all() for one in found):
            problem = f"the model {self.card.name!r} gave something that is not a face"
            raise Speech2FaceError(problem, "export the model again")
        return found

    def _alpha(self, exaggeration: float | None) -> float:
        """The exaggeration, checked, or the model's own."""
        if exaggeration is None:
            return self.card.default_exaggeration
        low, high = EXAGGERATIONS
        try:
            is_inside = bool(low <= exaggeration <= high)  # also refuses NaN
        except (TypeError, ValueError):  # text, or several numbers
            is_inside = False
        if not is_inside:
            remedy = f"choose {low:g} (the mean face) to {high:g}"
            raise Speech2FaceError(f"exaggeration {exaggeration!r} is out of range", remedy)
        return float(exaggeration)

    def _checked_feature(self, feature: NDArray[Any]) -> Floats:
        try:
            given: Floats = np.asarray(feature, np.float32)
            is_ours = given.shape == (self.card.feature_size,) and bool(np.isfinite(given).all())
        except (TypeError, ValueError):  # no numbers, or lists of several lengths
            is_ours = False
        if not is_ours:
            problem = f"this is no face feature of the model {self.card.name!r}"
            raise Speech2FaceError(problem, f"give {self.card.feature_size} finite numbers")
        return given


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
    content = _read(path, "check the path, or leave --model out for the embedded one")
    sha256 = hub.sha256_of(content)
    if inside:
        hub.refuse_other(inside, sha256)
    hearing = _session(content, path, threads or THREADS)
    card = _card(hearing, path, sha256)
    inputs: dict[str, Shape] = {"waveform": (1, None)}
    _refuse_other_graph(hearing, inputs, {"feature": (1, card.feature_size)}, path)
    return Pipeline(hearing, _face_session(card, path, threads or THREADS), card)


def face_outputs(feature_size: int) -> dict[str, Shape]:
    """Names and sizes of what the face graph gives, in its order."""
    return {
        "image": (None, 3, IMAGE_SIZE, IMAGE_SIZE),
        "landmarks": (None, N_LANDMARKS, 2),
        "drawn_feature": (None, feature_size),
    }


def _face_session(card: ModelCard, hearing: Path, threads: int) -> Any:
    """Session over the face graph that lies beside a hearing graph and is named in its card."""
    path = hub.face_graph_path(hearing)
    content = _read(path, f"put it beside {hearing.name} again: the two files belong together")
    if hub.sha256_of(content) != card.face_sha256:
        problem = f"is not the face graph of {hearing.name}"
        remedy = "copy both files of one model, or export it again"
        raise Speech2FaceError(problem, remedy, str(path))
    session = _session(content, path, threads)
    said = _said(session, path)
    if said.get("part") != DRAWS:
        raise Speech2FaceError("is no face graph of speech2face", _EXPORT, str(path))
    inputs: dict[str, Shape] = {
        "feature": (None, card.feature_size),
        "exaggeration": (None,),
        "draw": (None, card.draw_size),
    }
    _refuse_other_graph(session, inputs, face_outputs(card.feature_size), path)
    return session


def _recording(voice: Voice, sample_rate: int | None) -> Recording:
    if isinstance(voice, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(
        voice, "read"
    ):
        if sample_rate is not None:
            remedy = "leave sample_rate out; it is for samples in memory"
            path = os.fspath(voice) if isinstance(voice, str | os.PathLike) else None
            raise Speech2FaceError("a file carries its own sample rate", remedy, path)
        return decode(cast(Any, voice))
    if isinstance(voice, Recording):
        return voice
    if sample_rate is None:
        raise Speech2FaceError("samples have no sample rate", "give sample_rate= in Hz")
    if not isinstance(sample_rate, Real):
        raise Speech2FaceError(f"sample_rate = {sample_rate!r}", "give a number, in Hz")
    return as_recording(voice, sample_rate)


def _whole(value: int, name: str) -> int:
    """A whole number that is not negative."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise Speech2FaceError(f"{name} = {value!r}", "give a whole number, 0 or more")
    return number


def _as_image(image: Floats) -> "Image":
    """Pillow image of `[3, H, W]` RGB in 0..1."""
    from PIL import Image

    pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)  # [3, H, W]
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))  # [H, W, 3]


def _read(path: Path, if_missing: str) -> bytes:
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= MAX_MODEL_BYTES):
            raise Speech2FaceError("is no model file", _EXPORT, str(path))
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Speech2FaceError("there is no such model file", if_missing, str(path)) from error
    except (OSError, ValueError) as error:
        problem = f"the model cannot be opened ({error})"
        raise Speech2FaceError(problem, "check the path", str(path)) from error


def _session(content: bytes, path: Path, threads: int) -> Any:
    """Session over a model's bytes; from bytes, so that it can be digested and reads no other."""
    try:
        return open_session(content, threads)
    except Exception as error:  # onnxruntime's own exceptions have no narrower parent
        problem = "is not an ONNX model that onnxruntime can open by itself"
        raise Speech2FaceError(problem, _EXPORT, str(path)) from error


def _said(session: Any, path: Path) -> dict[str, Any]:
    """What a graph says of itself, from the metadata in its file."""
    try:
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except UnicodeDecodeError as error:
        raise Speech2FaceError("is damaged", _EXPORT, str(path)) from error
    if text is None:
        raise Speech2FaceError("is ONNX, but no speech2face model", _EXPORT, str(path))
    return parse_json_object(text, path, remedy=_EXPORT, part="its description")


def _card(session: Any, path: Path, sha256: str) -> ModelCard:
    """The model's own description, from its hearing graph."""
    said = _said(session, path)
    if said.get("part") == DRAWS:
        remedy = "give the file of the same model whose name does not end in -face"
        raise Speech2FaceError("is only the face graph of a model", remedy, str(path))
    try:
        return ModelCard(
            name=str(said["name"]),
            format=int(said["format"]),
            sample_rate=int(said["sample_rate"]),
            default_exaggeration=float(said["default_exaggeration"]),
            feature_size=int(said["feature_size"]),
            draw_size=int(said["draw_size"]),
            sha256=sha256,
            face_sha256=str(said.get("face_sha256")),
            details=said,
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        problem = f"describes itself in a way this version does not know ({error})"
        raise Speech2FaceError(problem, _EXPORT, str(path)) from error


def _refuse_other_graph(
    session: Any, inputs: dict[str, Shape], outputs: dict[str, Shape], path: Path
) -> None:
    """Raise unless names, types and sizes of what goes in and out are those of the contract."""
    for side, contract in ((session.get_inputs, inputs), (session.get_outputs, outputs)):
        try:
            found = {tensor.name: (tensor.type, tensor.shape) for tensor in side()}
        except UnicodeDecodeError as error:  # any name in the file may be no text
            raise Speech2FaceError("is damaged", _EXPORT, str(path)) from error
        if found.keys() != contract.keys():
            problem = f"has {sorted(found)} where a speech2face model has {sorted(contract)}"
            raise Speech2FaceError(problem, _EXPORT, str(path))
        for name, wanted in contract.items():
            kind, shape = found[name]
            if kind != "tensor(float)" or not _fits(shape, wanted):
                problem = f"its {name!r} is {kind} of shape {shape}"
                raise Speech2FaceError(problem, _EXPORT, str(path))


def _fits(shape: list[Any], wanted: Shape) -> bool:
    """Sizes that the graph states equal the wanted ones; a name stands for any, None wants any."""
    return len(shape) == len(wanted) and all(
        want is None or not isinstance(size, int) or size == want
        for size, want in zip(shape, wanted, strict=True)
    )
