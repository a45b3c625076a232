"""The compact voice encoder: a pretrained speaker encoder, then one linear map to a face.

The trunk is CAM++ (Wang et al., Interspeech 2023) as published by 3D-Speaker. It was trained to
tell speakers apart, on far more of them than 700 paired clips can replace. A voice is described in
two ways: by the mean and standard deviation over time of two layers of the trunk, which depend on
language and manner of speaking too, and by the speaker embedding, which depends on what stays the
same in all speech of one person. With both, a linear head predicts faces as well as a kernel does
(docs/experiments.md).

Speech is cut into windows of three seconds, whose statistics are averaged. Up to two minutes are
used completely; from longer speech, windows are taken at even distances, which bounds the memory.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.audio.fbank import HOP_LENGTH, WIN_LENGTH, LogMelFilterbank
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.errors import Speech2FaceError
from speech2face.models.campplus import Campplus, CampplusConfig
from speech2face.models.piecewise import piecewise

MIN_SECONDS = 3


@dataclass(frozen=True)
class CompactVoiceEncoderConfig:
    """Sizes of the trunk (fixed by the pretrained weights) and of the head (ours)."""

    feature_size: int = 384  # D: the code of a canonical face
    window_frames: int = 300  # 3 s: what the trunk was trained on
    max_windows: int = 40  # 2 minutes
    n_languages: int = 0  # L: groups of languages that are told apart; 0 if none
    trunk: CampplusConfig = field(default_factory=CampplusConfig)

    @property
    def n_statistics(self) -> int:
        """S: a mean and a deviation per channel of two layers of the trunk; 2048 if pretrained."""
        return sum(self.descriptor_sizes[:2])

    @property
    def n_descriptors(self) -> int:
        """V: numbers that describe a voice, statistics and embedding; 2240 if pretrained."""
        return sum(self.descriptor_sizes)

    @property
    def descriptor_sizes(self) -> tuple[int, int, int]:
        """Sizes of the parts of a description: inner statistics, last statistics, embedding."""
        trunk = self.trunk
        return 2 * trunk.block_channels[-2], 2 * trunk.n_channels, trunk.embedding_size

    @property
    def heard_sizes(self) -> tuple[int, ...]:
        """Sizes of the parts of what the head takes, see `CompactVoiceEncoder.heard`."""
        return (*self.descriptor_sizes, *([self.n_languages] if self.n_languages else []))


class CompactVoiceEncoder(nn.Module):
    """Waveforms at 16 kHz, `[B, L]` with L of 3 s or more, to face features `[B, D]`."""

    def __init__(self, config: CompactVoiceEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CompactVoiceEncoderConfig()
        self.fbank = LogMelFilterbank()
        self.trunk = Campplus(config.trunk).requires_grad_(False)  # frozen
        # None and not a layer without outputs, which torch warns of.
        self.languages = None
        if config.n_languages:
            self.languages = nn.Linear(config.n_descriptors, config.n_languages)
        self.head = nn.Linear(config.n_descriptors + config.n_languages, config.feature_size)

    def voice_statistics(self, waveform: Tensor) -> Tensor:
        """Mean over windows of the trunk's statistics over time, `[B, S]`.

        Raises:
            Speech2FaceError: speech of less than 3 s. An exported graph does not look.
        """
        _refuse_short(waveform)
        features = self._log_mel(waveform)  # [B, T, 80]
        features = features - features.mean(dim=1, keepdim=True)  # the microphone's colour
        windows = self._windows(features)  # [B, W, 300, 80]
        n_voices, n_windows = windows.shape[:2]
        statistics = piecewise(self.trunk, windows.flatten(0, 1))  # [B * W, S]
        mean: Tensor = statistics.reshape(n_voices, n_windows, -1).mean(dim=1)  # [B, S]
        return mean

    def descriptors(self, statistics: Tensor) -> Tensor:
        """What describes a voice: its statistics and their embedding, `[B, S]` to `[B, V]`.

        The embedding is linear: that of averaged statistics is the average of the windows'.
        """
        return torch.cat([statistics, self.trunk.embed(statistics)], dim=-1)

    def heard(self, statistics: Tensor) -> Tensor:
        """Input of the head, `[B, S]` to `[B, V + L]`; the exported graph gives it as well.

        The descriptors, and square roots of how probable each language is.
        """
        described = self.descriptors(statistics)  # [B, V]
        if self.languages is None:
            return described
        roots = self.languages(described).softmax(dim=-1).sqrt()  # [B, L]
        return torch.cat([described, roots], dim=-1)

    def face_feature(self, statistics: Tensor) -> Tensor:
        """The face feature of a voice, `[B, S]` to `[B, D]`."""
        feature: Tensor = self.head(self.heard(statistics))
        return feature

    def forward(self, waveform: Tensor) -> Tensor:
        return self.face_feature(self.voice_statistics(waveform))  # [B, D]

    def _log_mel(self, waveform: Tensor) -> Tensor:
        """The front end, a window's worth of frames at a time, `[B, L]` to `[B, T, 80]`.

        At once, the spectra of five minutes would take ten times the memory of their samples.
        """
        n_frames = (waveform.shape[1] - WIN_LENGTH) // HOP_LENGTH + 1
        frames = self.config.window_frames
        step, overlap = frames * HOP_LENGTH, WIN_LENGTH - HOP_LENGTH
        n_pieces = (n_frames + frames - 1) // frames
        # One step more than there are pieces, so that every piece finds what overlaps behind it.
        padded = F.pad(waveform, (0, (n_pieces + 1) * step - waveform.shape[1]))
        steps = padded.reshape(len(waveform), -1, step)  # [B, n_pieces + 1, step]
        pieces = torch.cat([steps[:, :-1], steps[:, 1:, :overlap]], dim=2).flatten(0, 1)
        features = piecewise(self.fbank, pieces)  # [B * n_pieces, window_frames, 80]
        return features.reshape(len(waveform), -1, features.shape[-1])[:, :n_frames]

    def _windows(self, features: Tensor) -> Tensor:
        """Windows of `[B, T, 80]` from the first frame to the last: `[B, W, window_frames, 80]`.

        As many as it takes to hear every frame, at most `max_windows`, at even distances. Three
        seconds make 298 frames: of so short a speech the first frames follow once more.
        """
        frames = self.config.window_frames
        n_frames = torch.as_tensor(features.shape[1])  # a tensor, so a trace follows it
        n_windows = ((n_frames + frames - 1) // frames).clamp(max=self.config.max_windows)
        number = torch.arange(n_windows, device=features.device)  # type: ignore[call-overload]
        room = (n_frames - frames).clamp(min=0)
        starts = number * room // (n_windows - 1).clamp(min=1)  # [W], whole numbers
        index = starts[:, None] + torch.arange(frames, device=features.device)  # [W, 300]
        windows: Tensor = features[:, index % n_frames]  # [B, W, 300, 80]
        return windows


class HeardVoice(NamedTuple):
    """Outputs of the exported hearing graph of a compact model, in its order."""

    feature: Tensor  # [B, D]: v_s
    descriptors: Tensor  # [B, V + L]: what the feature is a linear function of


class Hearing(nn.Module):
    """A compact voice encoder as it is exported: it also says what its face was computed from."""

    def __init__(self, encoder: CompactVoiceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> HeardVoice:
        heard = self.encoder.heard(self.encoder.voice_statistics(waveform))
        return HeardVoice(self.encoder.head(heard), heard)


def _refuse_short(waveform: Tensor) -> None:
    if torch.onnx.is_in_onnx_export():
        return
    seconds = waveform.shape[1] / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        problem = f"speech of {seconds:.3f} s"
        raise Speech2FaceError(problem, f"give {MIN_SECONDS} s or more: repeat it")
