"""From a voice to a face by onnxruntime, with one session that hears and one that draws.

    NAME.onnx         waveform [1, L]  ->  feature [1, D], v_s
                                       ->  voice_descriptors [1, V], if its card says so
    NAME-face.onnx    feature [N, D], exaggeration [N], draw [N, R]
                      ->  image [N, 3, 224, 224], landmarks [N, 68, 2], drawn_feature [N, D], v'

With two sessions, a slider or further faces of one voice draw again without hearing again. Every
command that makes a face uses `Pipeline`, so the evaluation measures what users get. A model file
may come from anybody: a file with another graph is refused with one error, and the only other file
that is opened is the face graph whose SHA-256 the hearing graph names.
"""

import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.io import as_recording, decode
from speech2face.audio.recording import Recording
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.errors import Speech2FaceError
from speech2face.models import hub
from speech2face.onnx_runtime import open_session
from speech2face.records import parse_json_object

if TYPE_CHECKING:  # at run time Pillow is imported with the first face
    from PIL.Image import Image

FORMAT = 2  # version of the exported graphs and their metadata; in 1 both parts were one file
METADATA_KEY = "speech2face"
HEARS, DRAWS = "hears", "draws"  # the part that a graph is, in its metadata
IMAGE_SIZE = 224  # pixels, width and height
N_LANDMARKS = 68
# The range of alpha: -1 is the mean face and 0 the prediction; the paper's page uses 0.7 and 1.4.
EXAGGERATIONS = (-1.0, 4.0)
THREADS = 2  # they need a third less time than one; more help little on windows of three seconds
MAX_SIZE = 1_000_000  # limit for the sizes of feature and draw that a model file states
MAX_MODEL_BYTES = 2**31  # protobuf's own limit
FACES_AT_ONCE = 4  # further faces are always drawn in groups of this size

_EXPORT = "give a file that `speech2face export` wrote"

Floats = NDArray[np.float32]
Shape = tuple[int | None, ...]  # None stands for any size
Voice = str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any] | Recording


@dataclass(frozen=True)
class ModelCard:
    """The description inside an exported model, and the digest of its hearing graph."""

    name: str
    format: int
    sample_rate: int  # Hz
    default_exaggeration: float
    feature_size: int  # D
    draw_size: int  # R, coordinates of the spread of equally likely faces
    sha256: str  # digest of the hearing graph
    face_sha256: str  # digest of the face graph, as the hearing graph names it
    # Everything in its metadata, such as licence and training data.
    details: dict[str, Any] = field(default_factory=dict, repr=False)
    descriptor_sizes: tuple[int, ...] = ()  # of the parts of V; none: the graph gives no V

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
        sizes = self.descriptor_sizes
        if any(size <= 0 for size in sizes) or sum(sizes) > MAX_SIZE:
            raise ValueError(f"descriptor_sizes is {sizes}")


@dataclass(frozen=True)
class Face:
    """A face consistent with the voice; never the speaker's face.

    How old it looks is no estimate of the speaker's age: one age for everybody is closer.
    """

    image: "Image"  # 224 x 224, RGB
    feature: Floats  # [D]: v', the face feature that was drawn, exaggeration included
    landmarks: Floats  # [68, 2] in pixels of the image, (x, y)
    seconds: float  # length of the speech that was found and used; 0 without a recording
    exaggeration: float  # alpha, how far the face was moved away from the mean face
    likely: tuple["Image", ...] = ()  # further faces that fit the voice as well
    truncated: bool = False  # the recording was longer, and its rest was not used
    damaged: bool = False  # parts of the recording could not be decoded
    seconds_searched: float = 0.0  # length of the recording that was searched for speech
    notes: tuple[str, ...] = ()  # remarks on the recording, for example that it has little speech
    likely_landmarks: tuple[Floats, ...] = ()  # [68, 2] of each of the further faces

    def cartoon(self, likely: int | None = None) -> str:
        """A cartoon of what the face shows, as the text of an SVG file.

        Args:
            likely: number of the further face, from 0, that is meant instead of the face itself.
        """
        from speech2face.inference.cartoon import cartoon_of

        if likely is None:
            return cartoon_of(np.asarray(self.image), self.landmarks)
        return cartoon_of(np.asarray(self.likely[likely]), self.likely_landmarks[likely])


class Pipeline:
    """An exported model that makes faces from voices. The same voice always gives the same face."""

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
        """Make a face that is consistent with a voice: `draw` the feature that `hear` gives.

        Args:
            voice: as for `hear`.
            sample_rate: as for `hear`.
            exaggeration: as for `draw`.
            draws: as for `draw`.
            seed: as for `draw`.

        Raises:
            Speech2FaceError: the voice cannot be used, or a setting is out of range.
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
            voice: a file that PyAV can decode, given as a path, as bytes or opened in binary mode;
                or samples `[L]`, `[C, L]` or `[L, C]`. The speech in it is found, and its first
                five minutes are used. Speech of less than six seconds is repeated. A `Recording` is
                used as it is.
            sample_rate: the rate of samples, in Hz. It must be left out for a file.

        Raises:
            Speech2FaceError: the voice cannot be used.
        """
        return self._feature(_recording(voice, sample_rate))

    def stream(
        self,
        chunks: Iterable[NDArray[Any]],
        sample_rate: int,
        *,
        every_seconds: float = 1.0,
        exaggeration: float | None = None,
    ) -> Iterator[Face]:
        """Faces of a voice that is still being spoken, one after the other.

        Args:
            chunks: consecutive samples, all `[L]` or all `[L, C]`, as sound libraries give them.
                They may be of any length, and are taken when a face is asked for.
            sample_rate: in Hz.
            every_seconds: of new sound after which the next face is made.
            exaggeration: as for `draw`.

        Yields:
            A face each time, as soon as half a second of speech is there. Each is the face that
            `reconstruct` makes of the last 12 s of sound.

        Raises:
            Speech2FaceError: samples that cannot be used; or, after the last of them, that nobody
                spoke.
        """
        from speech2face.inference.streaming import faces_of_stream

        alpha = self._alpha(exaggeration)
        return faces_of_stream(self, chunks, sample_rate, every_seconds, alpha)

    def describe(self, voice: Voice, *, sample_rate: int | None = None) -> Floats:
        """The numbers by which the model describes a voice before it makes a face of it, `[V]`.

        It is for systems that learn something else from a voice than a face, such as `match`.

        Args:
            voice: as for `hear`.
            sample_rate: as for `hear`.

        Raises:
            Speech2FaceError: a voice that cannot be used, or a model that does not give them.
        """
        if not self.card.descriptor_sizes:
            problem = f"the model {self.card.name!r} gives no descriptors of a voice"
            remedy = "give an embedded model, or one that this version has exported"
            raise Speech2FaceError(problem, remedy)
        outputs = hearing_outputs(self.card.feature_size, self.card.descriptor_sizes)
        _, descriptors = self._heard(_recording(voice, sample_rate), outputs)
        return descriptors

    def draw(
        self,
        feature: NDArray[Any],
        *,
        exaggeration: float | None = None,
        draws: int = 0,
        seed: int = 0,
    ) -> Face:
        """Draw the face of a feature, which may come from a voice or from a photo.

        Args:
            feature: v_s, `[D]`.
            exaggeration: alpha of v' = mean + (1 + alpha)(v_s - mean), from -1 to 4. The default is
                stated by the model.
            draws: how many further, equally likely faces to draw. Their spread shows how much of a
                face the voice leaves open.
            seed: seed of the draws. If more faces are drawn, the first ones stay the same.

        Raises:
            Speech2FaceError: this is not a feature of the model, or a setting is out of range.
        """
        alpha, n_draws = self._alpha(exaggeration), _whole(draws, "draws")
        heard = self._checked_feature(feature)
        size = (n_draws, self.card.draw_size)
        normal = np.random.default_rng(_whole(seed, "seed")).standard_normal(size)
        images, landmarks, drawn = self._faces(heard, alpha, np.zeros((1, self.card.draw_size)))
        likely, likely_landmarks = self._likely(heard, alpha, normal)
        return Face(
            image=_as_image(images[0]),
            feature=drawn[0],
            landmarks=landmarks[0],
            seconds=0.0,
            exaggeration=alpha,
            likely=likely,
            likely_landmarks=likely_landmarks,
        )

    def _likely(
        self, feature: Floats, alpha: float, draws: NDArray[Any]
    ) -> tuple[tuple["Image", ...], tuple[Floats, ...]]:
        """Images and landmarks of draws `[N, R]`.

        All groups have one size. Rounding differs between groups of different sizes, so a face
        would otherwise depend on how many others are asked for.
        """
        likely: list[Image] = []
        points: list[Floats] = []
        for start in range(0, len(draws), FACES_AT_ONCE):
            group = draws[start : start + FACES_AT_ONCE]
            filled = np.zeros((FACES_AT_ONCE, draws.shape[1]))
            filled[: len(group)] = group
            images, landmarks, _ = self._faces(feature, alpha, filled)
            likely += [_as_image(image) for image in images[: len(group)]]
            points += list(landmarks[: len(group)])
        return tuple(likely), tuple(points)

    def _feature(self, recording: Recording) -> Floats:
        """v_s `[D]`."""
        (feature,) = self._heard(recording, hearing_outputs(self.card.feature_size))
        return feature

    def _heard(self, recording: Recording, outputs: dict[str, Shape]) -> list[Floats]:
        """The named outputs of the graph that hears, without the axis of one voice."""
        waveform = tile_to(recording.waveform, N_SAMPLES)[None]  # [1, L]
        found = self._run(self.hearing, {"waveform": waveform}, outputs)
        return [output[0] for output in found]

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
        """The named outputs, checked to be finite and to have the right shapes."""
        try:
            found: list[Floats] = session.run(list(outputs), inputs)
        except Exception as error:  # onnxruntime's own exceptions have no narrower parent
            sizes = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
            problem = f"the model {self.card.name!r} failed on {sizes}"
            raise Speech2FaceError(problem, "export the model again") from error
        shapes = [output.shape for output in found]
        if shapes != list(outputs.values()) or not all(np.isfinite(one).all() for one in found):
            problem = f"the output of the model {self.card.name!r} is not a face"
            raise Speech2FaceError(problem, "export the model again")
        return found

    def _alpha(self, exaggeration: float | None) -> float:
        """The given exaggeration after a check, or the model's default."""
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
        except (TypeError, ValueError):  # not numbers, or lists of different lengths
            is_ours = False
        if not is_ours:
            problem = f"this is not a face feature of the model {self.card.name!r}"
            raise Speech2FaceError(problem, f"give {self.card.feature_size} finite numbers")
        return given


def load_model(
    model: str | os.PathLike[str] | None = None, *, threads: int | None = None
) -> Pipeline:
    """Open a model for inference.

    Args:
        model: an exported model file, or the name of an embedded model; by default the embedded
            default model.
        threads: number of threads that work on one face; by default two.

    Raises:
        Speech2FaceError: the file does not exist or is not one of our models, or the installation
            is damaged.
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
    outputs = hearing_outputs(card.feature_size, card.descriptor_sizes)
    _refuse_other_graph(hearing, inputs, outputs, path)
    return Pipeline(hearing, _face_session(card, path, threads or THREADS), card)


def hearing_outputs(feature_size: int, descriptor_sizes: Sequence[int] = ()) -> dict[str, Shape]:
    """Names and sizes of what the hearing graph gives, in its order."""
    outputs: dict[str, Shape] = {"feature": (1, feature_size)}
    if descriptor_sizes:
        outputs["voice_descriptors"] = (1, sum(descriptor_sizes))
    return outputs


def face_outputs(feature_size: int) -> dict[str, Shape]:
    """Names and sizes of the outputs of the face graph, in its order."""
    return {
        "image": (None, 3, IMAGE_SIZE, IMAGE_SIZE),
        "landmarks": (None, N_LANDMARKS, 2),
        "drawn_feature": (None, feature_size),
    }


def _face_session(card: ModelCard, hearing: Path, threads: int) -> Any:
    """Session of the face graph, which is beside the hearing graph and is named in its card."""
    path = hub.face_graph_path(hearing)
    content = _read(path, f"put it beside {hearing.name} again: the two files belong together")
    if hub.sha256_of(content) != card.face_sha256:
        problem = f"is not the face graph of {hearing.name}"
        remedy = "copy both files of one model, or export it again"
        raise Speech2FaceError(problem, remedy, str(path))
    session = _session(content, path, threads)
    said = _said(session, path)
    if said.get("part") != DRAWS:
        raise Speech2FaceError("is not a face graph of speech2face", _EXPORT, str(path))
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
            raise Speech2FaceError("a file states its own sample rate", remedy, path)
        return decode(cast(Any, voice))
    if isinstance(voice, Recording):
        return voice
    if sample_rate is None:
        raise Speech2FaceError("samples have no sample rate", "give sample_rate= in Hz")
    if not isinstance(sample_rate, Real):
        raise Speech2FaceError(f"sample_rate = {sample_rate!r}", "give a number, in Hz")
    return as_recording(voice, sample_rate)


def _whole(value: int, name: str) -> int:
    """`value`, checked to be a whole number that is not negative."""
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
            raise Speech2FaceError("is not a model file", _EXPORT, str(path))
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Speech2FaceError("there is no such model file", if_missing, str(path)) from error
    except (OSError, ValueError) as error:
        problem = f"the model cannot be opened ({error})"
        raise Speech2FaceError(problem, "check the path", str(path)) from error


def _session(content: bytes, path: Path, threads: int) -> Any:
    """Session of a model. It is made from bytes, so that the file with the checked digest is used
    and no other file is read.
    """
    try:
        return open_session(content, threads)
    except Exception as error:  # onnxruntime's own exceptions have no narrower parent
        problem = "is not an ONNX model that onnxruntime can open by itself"
        raise Speech2FaceError(problem, _EXPORT, str(path)) from error


def _said(session: Any, path: Path) -> dict[str, Any]:
    """The description of a graph, from the metadata in its file."""
    try:
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except UnicodeDecodeError as error:
        raise Speech2FaceError("is damaged", _EXPORT, str(path)) from error
    if text is None:
        raise Speech2FaceError("is ONNX, but not a speech2face model", _EXPORT, str(path))
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
            descriptor_sizes=tuple(int(size) for size in said.get("descriptor_sizes", ())),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        problem = f"its description is not one that this version knows ({error})"
        raise Speech2FaceError(problem, _EXPORT, str(path)) from error


def _refuse_other_graph(
    session: Any, inputs: dict[str, Shape], outputs: dict[str, Shape], path: Path
) -> None:
    """Raise unless the inputs and outputs have the names, types and sizes of the contract."""
    for side, contract in ((session.get_inputs, inputs), (session.get_outputs, outputs)):
        try:
            found = {tensor.name: (tensor.type, tensor.shape) for tensor in side()}
        except UnicodeDecodeError as error:  # a name in the file may be bytes that are not text
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
    """Whether the sizes of a graph are the wanted ones.

    A name in `shape` and None in `wanted` stand for any size.
    """
    return len(shape) == len(wanted) and all(
        want is None or not isinstance(size, int) or size == want
        for size, want in zip(shape, wanted, strict=True)
    )
