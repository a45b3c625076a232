"""Settings of a training: frozen dataclasses whose defaults are the paper's.

An experiment is a TOML file of differences; an empty file gives the paper's settings.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from speech2face.configuration import MAX_INTEGER, require
from speech2face.models.face_decoder import FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoderConfig


@dataclass(frozen=True)
class AdamConfig:
    """Optimiser and its schedule (Oh et al. 2019, section 3).

    The paper does not state `beta2`, which is here the default of every library, and whether the
    rate falls in steps or smoothly; here it falls in steps. The paper used TensorFlow, which adds
    epsilon to the *uncorrected* root of the second moment ("epsilon hat" of Kingma and Ba). PyTorch
    adds it to the corrected one. With 1e-4 this matters early in training, so
    `speech2face.training.step` gives PyTorch the epsilon that makes both equal:
    `epsilon / sqrt(1 - beta2 ** t)`.
    """

    learning_rate: float = 1e-3
    decay: float = 0.95
    decay_iterations: int = 10_000
    beta1: float = 0.5
    beta2: float = 0.999  # not in the paper
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a positive number")
        require(0 < self.decay <= 1, "decay", self.decay, "a number in 0..1, 0 excluded")
        require(self.decay_iterations > 0, "decay_iterations", self.decay_iterations, "positive")
        require(0 <= self.beta1 < 1, "beta1", self.beta1, "a number in 0..1, 1 excluded")
        require(0 <= self.beta2 < 1, "beta2", self.beta2, "a number in 0..1, 1 excluded")
        require(self.epsilon > 0, "epsilon", self.epsilon, "a positive number")

    def learning_rate_at(self, iteration: int) -> float:
        """Rate of the update number `iteration`, counted from 0."""
        return float(self.learning_rate * self.decay ** (iteration // self.decay_iterations))

    def torch_epsilon_at(self, iteration: int) -> float:
        """PyTorch's epsilon that acts like TensorFlow's in update number `iteration`, from 0."""
        return float(self.epsilon / (1 - self.beta2 ** (iteration + 1)) ** 0.5)


@dataclass(frozen=True)
class Plan:
    """How long a training lasts and how often it is validated and saved, in samples."""

    batch_size: int = 8
    total_samples: int = 5_100_000  # 3 epochs of 1.7 million pairs
    validate_every: int = 80_000  # samples: 10,000 iterations
    checkpoint_every: int = 8_000  # samples: 1,000 iterations
    seed: int = 0  # for the initial weights and the order of samples

    def __post_init__(self) -> None:
        for name in ("batch_size", "total_samples", "validate_every", "checkpoint_every"):
            value = getattr(self, name)
            require(value > 0, name, value, "positive")
        require(0 <= self.seed <= MAX_INTEGER, "seed", self.seed, "0 or a positive number")

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

    The published weights balance gradients at the scale of the authors' features, which is not
    known. For your features, find them by the paper's rule:
    `speech2face train voice-encoder --balance-at 1000`.
    """

    decoder: float = 1.0
    feature: float = 0.025  # lambda_1
    distillation: float = 200.0  # lambda_2

    def __post_init__(self) -> None:
        _check_weights(self)


@dataclass(frozen=True)
class FaceLambdas:
    """Weights of the face decoder's terms; a term of weight 0 is not computed.

    The papers do not give them. With these, the squared errors of landmarks in pixels and of
    textures have a similar size; public re-implementations use 1 : 100 as well. The embedding term
    needs a differentiable recogniser.
    """

    landmark: float = 1.0
    texture: float = 100.0
    embedding: float = 0.0

    def __post_init__(self) -> None:
        _check_weights(self)


@dataclass(frozen=True)
class VoiceEncoderTraining:
    """All settings that determine the result of training the voice encoder."""

    model: VoiceEncoderConfig = field(default_factory=VoiceEncoderConfig)
    adam: AdamConfig = field(default_factory=AdamConfig)
    lambdas: Lambdas = field(default_factory=Lambdas)
    plan: Plan = field(default_factory=Plan)
    temperature: float = 2.0  # tau of L_distill
    clip_seconds: float = 6.0  # 3 or 6 in the paper; the beginning of each clip is used
    face_decoder: str = ""  # run directory of a trained face decoder, whose first layer is f_dec
    vgg_face: str = ""  # file that `speech2face convert-vgg-face` wrote; its last layer is f_VGG

    def __post_init__(self) -> None:
        require(self.temperature > 0, "temperature", self.temperature, "a positive number")
        require(self.clip_seconds > 0, "clip_seconds", self.clip_seconds, "a positive number")


@dataclass(frozen=True)
class FaceDecoderTraining:
    """All settings that determine the result of training the face decoder.

    Cole et al. do not state optimiser, batch size and length; these are those of the voice encoder.
    """

    model: FaceDecoderConfig = field(default_factory=FaceDecoderConfig)
    adam: AdamConfig = field(default_factory=AdamConfig)
    lambdas: FaceLambdas = field(default_factory=FaceLambdas)
    plan: Plan = field(default_factory=lambda: Plan(total_samples=800_000))
    vgg_face: str = ""  # file that `convert-vgg-face` wrote, for the embedding term


def _check_weights(lambdas: Any) -> None:
    values = {setting.name: getattr(lambdas, setting.name) for setting in fields(lambdas)}
    for name, value in values.items():
        require(value >= 0, f"lambdas.{name}", value, "0 or a positive number")
    require(any(values.values()), "lambdas", values, "at least one weight above 0")
