"""Settings of a training: frozen dataclasses whose defaults are the paper's.

An experiment is a TOML file of differences; an empty file gives the paper's settings.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from speech2face.configuration import MAX_INTEGER, require
from speech2face.models.face_decoder import FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoderConfig
from speech2face.training.machine import PRECISIONS

MAX_EPOCHS = 1_000_000


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
    """How long a training lasts, and how often it is validated and saved.

    Attributes:
        batch_size: samples of a micro-batch, which batch norm sees together.
        accumulate: micro-batches of an update, a power of two. Several processes share them.
        total_samples: length of the training, if `epochs` is 0.
        epochs: length of the training in epochs of the corpus at hand; 0 says that `total_samples`
            decides.
        validate_every: samples between two validations.
        validation_samples: at most so many held-out samples are used, at equal distances.
        checkpoint_minutes: time between two checkpoints; a kill costs this time at most.
        checkpoint_every: samples between two checkpoints, in addition; 0 leaves it to the time.
        seed: for the initial weights and the order of samples.
    """

    batch_size: int = 8
    accumulate: int = 1
    total_samples: int = 5_100_000  # 3 epochs of 1.7 million pairs
    epochs: float = 0.0
    validate_every: int = 80_000  # 10,000 iterations
    validation_samples: int = 5_000  # the paper tests on so many samples
    checkpoint_minutes: float = 5.0
    checkpoint_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "total_samples", "validate_every"):
            value = getattr(self, name)
            require(value > 0, name, value, "positive")
        is_power = self.accumulate & (self.accumulate - 1) == 0
        require(is_power, "accumulate", self.accumulate, "a power of two, such as 1, 2 or 4")
        count = self.validation_samples
        require(count > 0, "validation_samples", count, "positive")
        minutes, every = self.checkpoint_minutes, self.checkpoint_every
        require(minutes > 0, "checkpoint_minutes", minutes, "a positive number")
        require(every >= 0, "checkpoint_every", every, "0 or a positive number")
        require(0 <= self.epochs <= MAX_EPOCHS, "epochs", self.epochs, f"0..{MAX_EPOCHS:,}")
        require(0 <= self.seed <= MAX_INTEGER, "seed", self.seed, "0 or a positive number")

    @property
    def update_size(self) -> int:
        """Samples of an update."""
        return self.batch_size * self.accumulate

    def for_corpus(self, n_samples: int) -> "Plan":
        """The plan with the length of the training in samples of this corpus."""
        if not self.epochs:
            return self
        return replace(self, epochs=0.0, total_samples=max(1, round(self.epochs * n_samples)))

    def iteration(self, samples_seen: int) -> int:
        """Number of the next update, counted from 0."""
        return samples_seen // self.update_size

    def is_done(self, samples_seen: int) -> bool:
        """Whether enough samples were seen."""
        return samples_seen >= self.total_samples

    def checkpoint_due(self, samples_seen: int) -> bool:
        """Whether the last update passed a multiple of `checkpoint_every`, if that is not 0."""
        return self.checkpoint_every > 0 and self._passed(samples_seen, self.checkpoint_every)

    def validation_due(self, samples_seen: int) -> bool:
        """Whether the last update passed a multiple of `validate_every`, or was the last."""
        return self.is_done(samples_seen) or self._passed(samples_seen, self.validate_every)

    def _passed(self, samples_seen: int, every: int) -> bool:
        return samples_seen // every > (samples_seen - self.update_size) // every


@dataclass(frozen=True)
class Lambdas:
    """Weights of the terms of Eq. (1), and of the pixel loss of an ablation, by name.

    A term of weight 0 is not computed.

    The published weights balance gradients at the scale of the authors' features, which is not
    known. For your features, find them by the paper's rule:
    `speech2face train voice-encoder --balance-at 1000`.
    """

    decoder: float = 1.0
    feature: float = 0.025  # lambda_1
    distillation: float = 200.0  # lambda_2
    pixel: float = 0.0  # not in Eq. (1): an ablation (arXiv, Fig. 8) trains by this term alone

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
    face_feature: str = ""  # name of v_f, if clips of videos have several features
    precision: str = "auto"  # or float32, bfloat16; auto is bfloat16 where the GPU has it

    def __post_init__(self) -> None:
        _check_precision(self.precision)
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
    precision: str = "auto"  # or float32, bfloat16; auto is bfloat16 where the GPU has it

    def __post_init__(self) -> None:
        _check_precision(self.precision)


def _check_precision(precision: str) -> None:
    require(precision in PRECISIONS, "precision", precision, f"one of {', '.join(PRECISIONS)}")


def _check_weights(lambdas: Any) -> None:
    values = {setting.name: getattr(lambdas, setting.name) for setting in fields(lambdas)}
    for name, value in values.items():
        require(value >= 0, f"lambdas.{name}", value, "0 or a positive number")
    require(any(values.values()), "lambdas", values, "at least one weight above 0")
