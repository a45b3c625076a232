"""Whisper base, as far as it says in which language somebody speaks: a teacher, used in training.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022). The decoder
receives one token, the start of a transcript, and its next token is the language. The layers are
torch's own transformers with the norm before each part; the published key projections have no
bias, which is a bias of zero here.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from speech2face.audio.whisper_mel import HOP_LENGTH, N_MELS, whisper_mel

START_OF_TRANSCRIPT = 50258  # token
FIRST_LANGUAGE, N_LANGUAGES = 50259, 99  # tokens: English, Chinese, German and so on
LEAST_FRAMES, SILENT_FRAMES = 1000, 200  # of 10 ms: what is heard at least, and after the speech
_KIND: Any = {"dropout": 0.0, "activation": "gelu", "norm_first": True, "batch_first": True}


@dataclass(frozen=True)
class WhisperConfig:
    """Sizes; the defaults are those of the multilingual base model."""

    width: int = 512
    n_heads: int = 8
    n_layers: int = 6  # of the encoder, and of the decoder
    n_frames: int = 1500  # 30 s, halved by the second convolution
    n_tokens: int = 51865


class Whisper(nn.Module):
    """Log mel power `[B, 80, 3000]` to log odds of languages `[B, 99]`."""

    def __init__(self, config: WhisperConfig | None = None) -> None:
        super().__init__()
        config = config or WhisperConfig()
        self.conv1 = nn.Conv1d(N_MELS, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(config.n_frames, config.width))
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(*_sizes(config), **_KIND) for _ in range(config.n_layers)
        )
        self.encoder_norm = nn.LayerNorm(config.width)
        self.tokens = nn.Parameter(torch.zeros(config.n_tokens, config.width))
        self.first_position = nn.Parameter(torch.zeros(config.width))
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(*_sizes(config), **_KIND) for _ in range(config.n_layers)
        )
        self.decoder_norm = nn.LayerNorm(config.width)

    def forward(self, mel: Tensor) -> Tensor:
        gelu = nn.functional.gelu
        heard = gelu(self.conv2(gelu(self.conv1(mel)))).transpose(1, 2)  # [B, 1500, width]
        heard = heard + self.positions[: heard.shape[1]]
        for layer in self.encoder:
            heard = layer(heard)
        heard = self.encoder_norm(heard)
        start = self.tokens[START_OF_TRANSCRIPT] + self.first_position
        said = start.expand(len(mel), 1, -1)  # [B, 1, width]
        for layer in self.decoder:
            said = layer(said, heard)
        languages = self.tokens[FIRST_LANGUAGE : FIRST_LANGUAGE + N_LANGUAGES]  # [99, width]
        odds: Tensor = self.decoder_norm(said[:, 0]) @ languages.T
        return odds


def language_probabilities(network: Whisper, waveform: Tensor) -> Tensor:
    """How probable each language is, `[99]`, in speech `[L]` at 16 kHz; the first 30 s count.

    Of the silence that fills short speech up to 30 s only a part is heard. It changes the
    probabilities little (by .03 of Hellinger's squared distance, which reaches 2, where the network
    is unsure) and takes a quarter of the time.
    """
    n_frames = max(LEAST_FRAMES, len(waveform) // HOP_LENGTH + SILENT_FRAMES)
    with torch.no_grad():
        probabilities: Tensor = network(whisper_mel(waveform)[None, :, :n_frames])[0].softmax(-1)
    return probabilities


def _sizes(config: WhisperConfig) -> tuple[int, int, int]:
    """Width, heads, and width of the inner layer."""
    return config.width, config.n_heads, 4 * config.width
