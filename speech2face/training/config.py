"""Settings of a training: frozen dataclasses whose defaults are the paper's.

An experiment is a TOML file of differences; an empty one is the paper. `with_differences` refuses
what it does not know, so that no setting is ever misspelt in silence.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from speech2face.errors import Speech2FaceError
from speech2face.models.face_decoder import FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoderConfig
from speech2face.records import parse_toml, read_toml

C = TypeVar("C")


@dataclass(frozen=True)
class AdamConfig:
    """Optimiser and its schedule (Oh et al. 2019, section 3).

    Not stated in the paper: `beta2`, here the default of every library; and whether the rate falls
    in steps or smoothly, here in steps. The paper trained with TensorFlow, whose epsilon is added
    to the *uncorrected* root of the second moment ("epsilon hat" of Kingma and Ba); PyTorch adds
    it to the corrected one. With 1e-4 that matters early on, so `speech2face.training.step`
    gives PyTorch the epsilon that makes both alike: `epsilon / sqrt(1 - beta2 ** t)`.
    """

    learning_rate: float = 1e-3
    decay: float = 0.95
    decay_iterations: int = 10_000
    beta1: float = 0.5
    beta2: float = 0.999  # ours
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        _check(self.learning_rate > 0, "learning_rate", self.learning_rate, "a positive number")
        _check(0 < self.decay <= 1, "decay", self.decay, "a number in 0..1, 0 excluded")
        _check(self.decay_iterations > 0, "decay_iterations", self.decay_iterations, "positive")
        _check(0 <= self.beta1 < 1, "beta1", self.beta1, "a number in 0..1, 1 excluded")
        _check(0 <= self.beta2 < 1, "beta2", self.beta2, "a number in 0..1, 1 excluded")
        _check(self.epsilon > 0, "epsilon", self.epsilon, "a positive number")

    def learning_rate_at(self, iteration: int) -> float:
        """Rate of the update number `iteration`, counted from 0."""
        return float(self.learning_rate * self.decay ** (iteration // self.decay_iterations))

    def torch_epsilon_at(self, iteration: int) -> float:
        """PyTorch's epsilon that acts like TensorFlow's in update number `iteration`, from 0."""
        return float(self.epsilon / (1 - self.beta2 ** (iteration + 1)) ** 0.5)


@dataclass(frozen=True)
class Plan:
    """How long a training lasts and how often it looks up; everything counts samples."""

    batch_size: int = 8
    total_samples: int = 5_100_000  # 3 epochs of 1.7 million pairs
    validate_every: int = 80_000  # samples: 10,000 iterations
    checkpoint_every: int = 8_000  # samples: 1,000 iterations
    seed: int = 0  # of the first weights and of the order of samples

    def __post_init__(self) -> None:
        for name in ("batch_size", "total_samples", "validate_every", "checkpoint_every"):
            value = getattr(self, name)
            _check(value > 0, name, value, "positive")

    def iteration(self, samples_seen: int) -> int:
        """Number of the next update, counted from 0."""
        return samples_seen // self.batch_size

    def is_done(self, samples_seen: int) -> bool:
        """Whether enough samples were seen."""
        return samples_seen >= self.total_samples

    def checkpoint_due(self, samples_seen: int) -> bool:
        """Whether the last update passed a multiple of `checkpoint_every`."""
        return self._passed(samples_seen, self.checkpoint_every)

    def validation_due(self, samples_seen: int) -> bool:
        """Whether the last update passed a multiple of `validate_every`, or was the last."""
        return self.is_done(samples_seen) or self._passed(samples_seen, self.validate_every)

    def _passed(self, samples_seen: int, every: int) -> bool:
        return samples_seen // every > (samples_seen - self.batch_size) // every


@dataclass(frozen=True)
class Lambdas:
    """Weights of Eq. (1), by the names of its terms; a term of weight 0 is not computed.

    The published ones balance gradients at the authors' undisclosed scale of features. For your
    features find them by the paper's rule: `speech2face train voice-encoder --balance-at 1000`.
    """

    decoder: float = 1.0
    feature: float = 0.025  # lambda_1
    distillation: float = 200.0  # lambda_2

    def __post_init__(self) -> None:
        _check_weights(self)


@dataclass(frozen=True)
class FaceLambdas:
    """Weights of the face decoder's terms; a term of weight 0 is not computed.

    Unknown in the papers. Ours: pixels squared and grey levels come to a similar size, as in public
    copies that use 1 : 100; the embedding term needs a recogniser that can be differentiated.
    """

    landmark: float = 1.0
    texture: float = 100.0
    embedding: float = 0.0

    def __post_init__(self) -> None:
        _check_weights(self)


@dataclass(frozen=True)
class VoiceEncoderTraining:
    """Everything that decides what a training of the voice encoder ends with."""

    model: VoiceEncoderConfig = field(default_factory=VoiceEncoderConfig)
    adam: AdamConfig = field(default_factory=AdamConfig)
    lambdas: Lambdas = field(default_factory=Lambdas)
    plan: Plan = field(default_factory=Plan)
    temperature: float = 2.0  # tau of L_distill
    clip_seconds: float = 6.0  # 3 or 6 in the paper; the beginning of each clip is used
    face_decoder: str = ""  # run directory of a trained face decoder, whose first layer is f_dec
    vgg_face: str = ""  # file of `speech2face convert-vgg-face`, whose last layer is f_VGG

    def __post_init__(self) -> None:
        _check(self.temperature > 0, "temperature", self.temperature, "a positive number")
        _check(self.clip_seconds > 0, "clip_seconds", self.clip_seconds, "a positive number")


@dataclass(frozen=True)
class FaceDecoderTraining:
    """Everything that decides what a training of the face decoder ends with.

    Optimiser, batch and length are unknown for Cole et al.; ours are those of the voice encoder.
    """

    model: FaceDecoderConfig = field(default_factory=FaceDecoderConfig)
    adam: AdamConfig = field(default_factory=AdamConfig)
    lambdas: FaceLambdas = field(default_factory=FaceLambdas)
    plan: Plan = field(default_factory=lambda: Plan(total_samples=800_000))
    vgg_face: str = ""  # file of `speech2face convert-vgg-face`, for the embedding term


def read_differences(paths: Sequence[Path], settings: Sequence[str]) -> dict[str, Any]:
    """Differences of TOML files and of `key.key=value` settings; the later ones win.

    Raises:
        Speech2FaceError: a file is missing or not TOML, or a setting has no `=`.
    """
    differences: dict[str, Any] = {}
    for path in paths:
        differences = _merged(differences, read_toml(path))
    for setting in settings:
        differences = _merged(differences, _parse_setting(setting))
    return differences


def with_differences(config: C, differences: Mapping[str, Any], path: str | None = None) -> C:
    """Copy of `config` changed by nested tables of differences, which came from `path`.

    Raises:
        Speech2FaceError: a setting is unknown, of another type, or out of range.
    """
    known = get_type_hints(type(config))
    if unknown := sorted(differences.keys() - known.keys()):
        raise Speech2FaceError(f"unknown settings {unknown}", f"known are {sorted(known)}", path)
    changes: dict[str, Any] = {}
    for name, value in differences.items():
        current = getattr(config, name)
        if is_dataclass(current) and isinstance(value, dict):
            changes[name] = with_differences(current, value, path)
        elif is_dataclass(current) or not _fits(value, known[name]):
            raise Speech2FaceError(
                f"{name} = {value!r}", f"expected {_described(known[name])}", path
            )
        else:
            changes[name] = tuple(value) if isinstance(value, list) else value
    try:
        return replace(config, **changes)  # type: ignore[type-var]
    except Speech2FaceError as error:
        raise Speech2FaceError(error.problem, error.remedy, error.path or path) from error


def to_toml(config: Any) -> str:
    """All settings as TOML that `with_differences` reads back; settings of None are left out."""
    return "\n".join(_toml_lines(config, prefix=""))


def to_json(config: Any) -> dict[str, Any]:
    """All settings as nested dictionaries of JSON types."""
    values = {setting.name: getattr(config, setting.name) for setting in fields(config)}
    return {name: _as_json(value) for name, value in values.items()}


def _as_json(value: Any) -> Any:
    if is_dataclass(value):
        return to_json(value)
    return list(value) if isinstance(value, tuple) else value


def _toml_lines(config: Any, prefix: str) -> list[str]:
    values = {setting.name: getattr(config, setting.name) for setting in fields(config)}
    tables = {name: value for name, value in values.items() if is_dataclass(value)}
    plain = [
        f"{name} = {json.dumps(value)}"  # JSON writes these types as TOML does
        for name, value in values.items()
        if name not in tables and value is not None
    ]
    lines = [f"[{prefix.removesuffix('.')}]", *plain, ""] if prefix and plain else plain
    for name, table in tables.items():
        lines += _toml_lines(table, f"{prefix}{name}.")
    return lines


def _parse_setting(setting: str) -> dict[str, Any]:
    """`adam.beta1=0.9` as nested dictionaries; a value that is no TOML is taken as text."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise Speech2FaceError(f"setting {setting!r}", "write key=value, as in adam.beta1=0.9")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except Speech2FaceError:
        value = text
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for name, value in second.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _fits(value: Any, expected: Any) -> bool:
    """Whether a TOML value may stand for a field of type `expected`."""
    if isinstance(expected, UnionType):
        return any(_fits(value, choice) for choice in get_args(expected))
    if get_origin(expected) is tuple:
        item = get_args(expected)[0]
        return isinstance(value, list) and all(_fits(one, item) for one in value)
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, expected) if isinstance(expected, type) else True


def _described(expected: Any) -> str:
    if is_dataclass(expected):
        known = ", ".join(setting.name for setting in fields(expected))
        return f"a table of {known}"
    if isinstance(expected, UnionType):
        return " or ".join(_described(one) for one in get_args(expected) if one is not NoneType)
    return getattr(expected, "__name__", str(expected)) if not get_args(expected) else str(expected)


def _check(is_good: bool, name: str, value: object, expected: str) -> None:
    if not is_good:
        raise Speech2FaceError(f"{name} = {value!r}", f"expected {expected}")


def _check_weights(lambdas: Any) -> None:
    values = {setting.name: getattr(lambdas, setting.name) for setting in fields(lambdas)}
    for name, value in values.items():
        _check(value >= 0, f"lambdas.{name}", value, "0 or a positive number")
    _check(any(values.values()), "lambdas", values, "one weight at least above 0")
