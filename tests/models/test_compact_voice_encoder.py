"""The compact voice encoder: its trunk against Resemblyzer itself, its head against a kernel."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2face.audio.io import decode
from speech2face.errors import Speech2FaceError
from speech2face.models.compact_voice_encoder import (
    CompactVoiceEncoder,
    CompactVoiceEncoderConfig,
    draw_frequencies,
)
from speech2face.models.resemblyzer import read_speaker_encoder
from speech2face.models.speech2face import load_speaker_encoder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL = CompactVoiceEncoderConfig(feature_size=5, hidden_size=16, n_layers=2, n_fourier=64)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """Ten seconds of a synthetic voice, `[1, 160000]`."""
    waveform = decode(EXAMPLES / "slt.ogg").waveform
    return torch.from_numpy(np.tile(waveform, 10)[None, :160_000].copy())


@pytest.fixture(scope="module")
def resemblyzer() -> Any:
    """Resemblyzer's own network, its code and weights, without the audio stack it imports."""
    package = importlib.util.find_spec("resemblyzer")
    if package is None or package.origin is None:
        pytest.skip("resemblyzer is not installed: pip install --no-deps resemblyzer")
    folder = Path(package.origin).parent
    stand_in = ModuleType("resemblyzer")
    stand_in.__path__ = [str(folder)]
    stand_in.audio = ModuleType("audio")  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("voice_encoder", folder / "voice_encoder.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "resemblyzer", stand_in)
        spec.loader.exec_module(module)
    return module.VoiceEncoder(device="cpu", verbose=False).eval()


@pytest.fixture(scope="module")
def pretrained(resemblyzer: Any) -> CompactVoiceEncoder:
    encoder = CompactVoiceEncoder().eval()
    load_speaker_encoder(read_speaker_encoder(), encoder)
    return encoder


def random_encoder(config: CompactVoiceEncoderConfig = SMALL, seed: int = 0) -> CompactVoiceEncoder:
    torch.manual_seed(seed)
    encoder = CompactVoiceEncoder(config).eval()
    frequencies, phases = draw_frequencies(
        config.hidden_size,
        config.n_fourier,
        gamma=1.0,
        generator=torch.Generator().manual_seed(seed),
    )
    encoder.frequencies.copy_(frequencies)
    encoder.phases.copy_(phases)
    return encoder


def noise(n_frames: int, n_voices: int = 1, seed: int = 0) -> Tensor:
    """Noise that makes exactly `n_frames` frames, `[n_voices, L]`."""
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(n_voices, (n_frames - 1) * 160, generator=generator)


def windows_one_by_one(mel: Tensor, frames: int, hop: int) -> Tensor:
    """Windows of `[T, 40]` every `hop` frames until the end is reached, the last one flush."""
    windows, start = [], 0
    while start + frames < len(mel):
        windows.append(mel[start : start + frames])
        start += hop
    windows.append(mel[len(mel) - frames :])
    return torch.stack(windows)  # [W, frames, 40]


@torch.no_grad()
def test_one_window_is_embedded_as_resemblyzer_embeds_it(
    pretrained: CompactVoiceEncoder, resemblyzer: Any, speech: Tensor
) -> None:
    waveform = speech[:, 16_000 : 16_000 + 159 * 160]  # one window of 160 frames
    mel = pretrained.mel(waveform)  # [1, 160, 40]
    raw = pretrained.speaker_embedding(waveform).relu()
    ours = raw / raw.norm()
    torch.testing.assert_close(ours, resemblyzer(mel), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_longer_speech_is_the_mean_of_what_resemblyzer_hears_in_its_windows(
    pretrained: CompactVoiceEncoder, resemblyzer: Any, speech: Tensor
) -> None:
    waveform = speech[:, :100_000]
    windows = windows_one_by_one(pretrained.mel(waveform)[0], frames=160, hop=80)
    _, (hidden, _) = resemblyzer.lstm(windows)
    expected = resemblyzer.linear(hidden[-1]).mean(dim=0, keepdim=True)  # [1, 256]
    ours = pretrained.speaker_embedding(waveform)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pretrained_trunk_hears_who_speaks(pretrained: CompactVoiceEncoder) -> None:
    embeddings = {}
    for voice in ("slt", "rms"):
        waveform = torch.from_numpy(decode(EXAMPLES / f"{voice}.ogg").waveform)
        half = len(waveform) // 2
        for part, samples in enumerate((waveform[:half], waveform[half:])):
            raw = pretrained.speaker_embedding(samples[None])[0].relu()
            embeddings[voice, part] = raw / raw.norm()
    same = min((embeddings[voice, 0] @ embeddings[voice, 1]).item() for voice in ("slt", "rms"))
    other = max(
        (embeddings["slt", a] @ embeddings["rms", b]).item() for a in (0, 1) for b in (0, 1)
    )
    assert same > other + 0.1


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [160, 161, 239, 240, 241, 320, 601])
def test_windows_are_those_cut_one_by_one(n_frames: int) -> None:
    encoder = random_encoder()
    waveform = noise(n_frames)
    windows = windows_one_by_one(encoder.mel(waveform)[0], frames=160, hop=80)
    _, (hidden, _) = encoder.lstm(windows)
    expected = encoder.linear(hidden[-1]).mean(dim=0, keepdim=True)
    torch.testing.assert_close(encoder.speaker_embedding(waveform), expected)


@pytest.mark.parametrize("n_frames", [160, 201, 601, 1234])
def test_every_piece_of_the_speech_is_heard(n_frames: int) -> None:
    waveform = noise(n_frames).requires_grad_()
    random_encoder().speaker_embedding(waveform).sum().backward()
    assert waveform.grad is not None
    pieces = waveform.grad[0].unfold(0, 160, 160)  # [hops, 160]
    assert pieces.abs().amax(dim=1).min() > 0


def test_speech_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"159 frames.*1\.6 s"):
        random_encoder()(noise(159))


@torch.no_grad()
def test_repeated_speech_sounds_like_itself(
    pretrained: CompactVoiceEncoder, speech: Tensor
) -> None:
    six_seconds = speech[:, :96_000]
    repeated = six_seconds.repeat(1, 5)[:, : int(29.9 * 16_000)]
    once, often = (pretrained.speaker_embedding(part)[0] for part in (six_seconds, repeated))
    assert torch.cosine_similarity(once, often, dim=0) > 0.99


@torch.no_grad()
def test_concatenated_speech_is_the_average_of_its_parts_but_for_the_window_across() -> None:
    encoder = random_encoder()
    # Windows start every 80 frames; both parts are whole numbers of hops, so their grids agree.
    first, second = noise(401, seed=1), noise(1601, seed=2)
    n_first, n_second = 4, 19
    together = encoder.speaker_embedding(torch.cat([first, second], dim=1))
    parts = (
        n_first * encoder.speaker_embedding(first) + n_second * encoder.speaker_embedding(second)
    ) / (n_first + n_second)
    apart = (encoder.speaker_embedding(first) - encoder.speaker_embedding(second)).norm()
    assert (together - parts).norm() < 0.25 * apart


@torch.no_grad()
def test_voices_of_a_batch_do_not_hear_one_another() -> None:
    encoder = random_encoder()
    waveforms = noise(401, n_voices=3)
    together = encoder(waveforms)
    alone = torch.cat([encoder(waveform[None]) for waveform in waveforms])
    torch.testing.assert_close(together, alone)
    assert together.shape == (3, SMALL.feature_size)


@torch.no_grad()
def test_quiet_speech_gives_the_same_feature_at_any_gain() -> None:
    encoder = random_encoder()
    quiet = 0.1 * noise(401)  # -40 dBFS
    torch.testing.assert_close(encoder(0.01 * quiet), encoder(quiet))


@torch.no_grad()
def test_feature_is_the_head_of_the_standardised_embedding() -> None:
    encoder = random_encoder()
    encoder.embedding_mean.uniform_(-1, 1)
    encoder.embedding_deviation.uniform_(0.5, 2)
    waveform = noise(321)
    embedding = encoder.speaker_embedding(waveform)[0].double().numpy()
    standard = (embedding - encoder.embedding_mean.numpy()) / encoder.embedding_deviation.numpy()
    features = [
        np.sqrt(2 / 64) * np.cos(standard @ frequency + phase)
        for frequency, phase in zip(
            encoder.frequencies.T.numpy(), encoder.phases.numpy(), strict=True
        )
    ]
    expected = encoder.head.weight.numpy() @ np.array(features) + encoder.head.bias.numpy()
    np.testing.assert_allclose(encoder(waveform)[0].numpy(), expected, rtol=1e-4, atol=1e-6)


def kernel_error(n_fourier: int, gamma: float = 0.3, size: int = 16) -> float:
    """Root mean square error of the random features' kernel over pairs of points."""
    config = CompactVoiceEncoderConfig(hidden_size=size, n_layers=1, n_fourier=n_fourier)
    encoder = CompactVoiceEncoder(config)
    frequencies, phases = draw_frequencies(
        size, n_fourier, gamma=gamma, generator=torch.Generator().manual_seed(n_fourier)
    )
    encoder.frequencies.copy_(frequencies)
    encoder.phases.copy_(phases)
    points = torch.randn(40, size, generator=torch.Generator().manual_seed(1))
    features = encoder.fourier_features(points)  # [40, M]
    exact = torch.exp(-gamma * torch.cdist(points, points).square() / size)  # [40, 40]
    return float((features @ features.T - exact).square().mean().sqrt())


def test_fourier_features_are_a_gaussian_kernel() -> None:
    assert kernel_error(32_768) < 0.01


def test_error_of_the_kernel_falls_with_the_root_of_the_number_of_features() -> None:
    ratio = kernel_error(256) / kernel_error(256 * 64)
    assert 4 < ratio < 16  # sqrt(64) = 8


def test_frequencies_are_those_of_their_generator() -> None:
    first, again, other = (
        draw_frequencies(16, 8, gamma=0.5, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    for one, two, three in zip(first, again, other, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, three)


@pytest.mark.parametrize("change", ["missing", "foreign"])
def test_weights_of_another_network_are_refused(change: str) -> None:
    state = dict(random_encoder().state_dict())
    if change == "missing":
        state = {name: value for name, value in state.items() if name != "linear.bias"}
    else:
        state["lstm.weight_ih_l0"] = torch.zeros(3, 3)
    with pytest.raises(Speech2FaceError, match="speaker encoder"):
        load_speaker_encoder(state, random_encoder(seed=1))
