"""Settings of the five systems. The defaults are the compact size, which trains on two cores.

Those of SVHF, Kim and DIMNet were chosen by folds of the people of the train split of the authors'
page; the clips that judge had no part in it. The optimiser is Adam for all, unlike in some papers.
"""

from dataclasses import dataclass, field, fields
from typing import Any, get_args

from speech2face.baselines.frozen_view import ViewConfig
from speech2face.baselines.interfaces import Direction
from speech2face.configuration import require, require_sizes
from speech2face.training.config import AdamConfig, Plan

COMPACT, PAPER = "compact", "paper"
DIRECTIONS: tuple[str, ...] = get_args(Direction)


def _adam(rate: float, beta1: float = 0.9) -> AdamConfig:
    return AdamConfig(learning_rate=rate, decay=1.0, beta1=beta1, epsilon=1e-8)


def _plan(epochs: float, batch_size: int = 128) -> Plan:
    return Plan(batch_size=batch_size, epochs=epochs, validate_every=2**40)


@dataclass(frozen=True)
class BaselineTraining:
    """What the settings of all five systems have in common."""

    size: str = COMPACT  # or "paper"
    width_share: float = 1.0  # of the paper's widths; less is for a trial of the paper's size
    view: ViewConfig = field(default_factory=ViewConfig)  # of the compact size
    adam: AdamConfig = field(default_factory=lambda: _adam(1e-3))
    plan: Plan = field(default_factory=lambda: _plan(60))

    def __post_init__(self) -> None:
        require(self.size in (COMPACT, PAPER), "size", self.size, f"{COMPACT} or {PAPER}")
        share = self.width_share
        require(0 < share <= 1, "width_share", share, "above 0, and at most 1")


@dataclass(frozen=True)
class DirectedTraining(BaselineTraining):
    """A system with one network for each direction."""

    direction: str = "V->F"
    width: int = 64  # of what a stream of the compact size makes of a voice or a photo

    def __post_init__(self) -> None:
        super().__post_init__()
        known = " or ".join(DIRECTIONS)
        require(self.direction in DIRECTIONS, "direction", self.direction, known)
        require_sizes(self, "width")


@dataclass(frozen=True)
class SvhfTraining(DirectedTraining):
    """SVHF-Net."""

    view: ViewConfig = field(
        default_factory=lambda: ViewConfig(size=32, voice_ridge=0.01, face_ridge=0.018)
    )


@dataclass(frozen=True)
class KimTraining(DirectedTraining):
    """Kim et al."""

    width: int = 128
    plan: Plan = field(default_factory=lambda: _plan(40))


@dataclass(frozen=True)
class Covariates:
    """Weights of what DIMNet predicts; a covariate of weight 0 needs no labels."""

    identity: float = 1.0
    gender: float = 1.0
    nationality: float = 0.0
    age_group: float = 0.0
    language: float = 0.0

    def __post_init__(self) -> None:
        _check_weights(self)

    @property
    def used(self) -> dict[str, float]:
        """Weights above 0 by name."""
        weights = {one.name: float(getattr(self, one.name)) for one in fields(self)}
        return {name: weight for name, weight in weights.items() if weight}


@dataclass(frozen=True)
class DimnetTraining(BaselineTraining):
    """DIMNet; its variants I, G and IG are choices of the weights."""

    width: int = 64  # of a vector of the compact size
    adam: AdamConfig = field(default_factory=lambda: _adam(3e-3))
    lambdas: Covariates = field(default_factory=Covariates)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_sizes(self, "width")


@dataclass(frozen=True)
class Wav2PixLambdas:
    """Weights of the generator's terms, as published."""

    adversarial: float = 1.0
    activations: float = 100.0
    pixels: float = 50.0
    identity: float = 20.0

    def __post_init__(self) -> None:
        _check_weights(self)


@dataclass(frozen=True)
class Wav2PixTraining(BaselineTraining):
    """Wav2Pix at 64 pixels."""

    view: ViewConfig = field(default_factory=lambda: ViewConfig(size=8))
    channels: tuple[int, ...] = (128, 64, 32, 16)  # of generator and discriminator, compact
    dropout: float = 0.0  # of the generator in training; 0.5 as published
    lambdas: Wav2PixLambdas = field(default_factory=Wav2PixLambdas)
    discriminator_rate: float = 4e-4  # learning rate; `adam` has that of the generator
    adam: AdamConfig = field(default_factory=lambda: _adam(1e-3, beta1=0.5))
    plan: Plan = field(default_factory=lambda: _plan(120, batch_size=16))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_sizes(self, "channels")
        require(len(self.channels) == 4, "channels", self.channels, "four, for 64 pixels")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "0 or more, below 1")
        rate = self.discriminator_rate
        require(rate > 0, "discriminator_rate", rate, "a positive number")


@dataclass(frozen=True)
class GanLambdas:
    """Weights of the generator's terms, as published."""

    adversarial: float = 1.0
    identity: float = 1.0

    def __post_init__(self) -> None:
        _check_weights(self)


@dataclass(frozen=True)
class GanTraining(BaselineTraining):
    """The voice-to-face GAN."""

    channels: tuple[int, ...] = (256, 128, 64, 32, 16)  # of the generator, compact
    judge_channels: tuple[int, ...] = (16, 32, 64, 128, 128)  # of the trunk that judges, compact
    voice_run: str = ""  # run of DIMNet at the paper's size, whose voice network is used there
    shift: int = 4  # pixels by which photos and made faces are moved before they are judged; ours
    lambdas: GanLambdas = field(default_factory=GanLambdas)
    adam: AdamConfig = field(default_factory=lambda: _adam(5e-4, beta1=0.5))
    plan: Plan = field(default_factory=lambda: _plan(60, batch_size=16))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_sizes(self, "channels", "judge_channels")
        require(0 <= self.shift <= 16, "shift", self.shift, "0..16")
        for name in ("channels", "judge_channels"):
            value = getattr(self, name)
            require(len(value) == 5, name, value, "five, for 64 pixels")


@dataclass(frozen=True)
class Trainings:
    """Settings of all five, for a comparison."""

    svhf: SvhfTraining = field(default_factory=SvhfTraining)
    kim: KimTraining = field(default_factory=KimTraining)
    dimnet: DimnetTraining = field(default_factory=DimnetTraining)
    wav2pix: Wav2PixTraining = field(default_factory=Wav2PixTraining)
    voice2face_gan: GanTraining = field(default_factory=GanTraining)

    def of(self, name: str) -> BaselineTraining:
        """Those of the system with this name on the command line, such as "voice2face-gan"."""
        settings: BaselineTraining = getattr(self, name.replace("-", "_"))
        return settings


def _check_weights(lambdas: Any) -> None:
    values = {one.name: getattr(lambdas, one.name) for one in fields(lambdas)}
    for name, value in values.items():
        require(value >= 0, f"lambdas.{name}", value, "0 or a positive number")
    require(any(values.values()), "lambdas", values, "at least one weight above 0")
