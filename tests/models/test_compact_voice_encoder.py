"""The compact voice encoder: its windows cut one by one, its head computed by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2face.audio.io import decode
from speech2face.errors import Speech2FaceError
from speech2face.models.campplus import CampplusConfig
from speech2face.models.compact_voice_encoder import (
    CompactVoiceEncoder,
    CompactVoiceEncoderConfig,
    Hearing,
)
from speech2face.models.speaker_encoder import read_speaker_encoder
from speech2face.models.speech2face import load_speaker_encoder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL = CompactVoiceEncoderConfig(
    feature_size=5,
    max_windows=4,
    trunk=CampplusConfig(
        front_channels=4,
        first_channels=8,
        bottleneck_channels=8,
        growth=4,
        n_layers=(2, 1, 2),
        embedding_size=3,
    ),
)


def speech(voice: str, seconds: float) -> Tensor:
    """A synthetic voice, repeated to that length, `[1, L]`."""
    waveform = decode(EXAMPLES / f"{voice}.ogg").waveform
    return torch.from_numpy(np.resize(waveform, round(seconds * 16_000)))[None]


@pytest.fixture(scope="module")
def pretrained() -> CompactVoiceEncoder:
    encoder = CompactVoiceEncoder().eval()
    load_speaker_encoder(read_speaker_encoder(), encoder)
    return encoder


def random_encoder(config: CompactVoiceEncoderConfig = SMALL, seed: int = 0) -> CompactVoiceEncoder:
    torch.manual_seed(seed)
    return CompactVoiceEncoder(config).eval()


def noise(n_frames: int, n_voices: int = 1, seed: int = 0) -> Tensor:
    """Noise that makes exactly `n_frames` frames, `[n_voices, L]`; each second is louder."""
    generator = torch.Generator().manual_seed(seed)
    waveform = torch.randn(n_voices, 400 + (n_frames - 1) * 160, generator=generator)
    return waveform * torch.linspace(0.01, 0.3, waveform.shape[1])


def statistics_one_by_one(encoder: CompactVoiceEncoder, waveform: Tensor, n: int) -> Tensor:
    """Mean statistics of n windows from the first frame to the last, each cut by hand, `[1, S]`."""
    features = encoder.fbank(waveform)[0]  # [T, 80]
    features = features - features.mean(dim=0)
    room = len(features) - 300
    starts = [0] if n == 1 else [number * room // (n - 1) for number in range(n)]
    windows = [encoder.trunk.statistics(features[None, s : s + 300]) for s in starts]
    return torch.cat(windows).mean(dim=0, keepdim=True)


@torch.no_grad()
@pytest.mark.parametrize(
    ("n_frames", "n_windows"),
    [(300, 1), (301, 2), (598, 2), (600, 2), (601, 3), (1200, 4), (1201, 4), (5000, 4)],
)
def test_windows_are_those_cut_one_by_one(n_frames: int, n_windows: int) -> None:
    encoder, waveform = random_encoder(), noise(n_frames)
    expected = statistics_one_by_one(encoder, waveform, n_windows)
    torch.testing.assert_close(encoder.voice_statistics(waveform), expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ("n_frames", "starts"),
    [
        (300, [0]),
        (301, [0, 1]),
        (450, [0, 150]),
        (601, [0, 150, 301]),
        (5000, [0, 1566, 3133, 4700]),
    ],
)
def test_windows_start_at_the_very_frames_that_they_should(
    n_frames: int, starts: list[int]
) -> None:
    """The frames are compared, since statistics hardly change if a window is off by one frame."""
    encoder, waveform = random_encoder(), noise(n_frames)
    heard: list[Tensor] = []
    statistics = encoder.trunk.statistics

    def watched(windows: Tensor) -> Tensor:
        heard.append(windows)
        return statistics(windows)

    encoder.trunk.statistics = watched  # type: ignore[method-assign]
    encoder.voice_statistics(waveform)
    features = encoder.fbank(waveform)[0]  # [T, 80]
    features = features - features.mean(dim=0)
    expected = torch.stack([features[start : start + 300] for start in starts])
    assert heard[0].shape == (len(starts), 300, 80)
    torch.testing.assert_close(heard[0], expected)
    assert (features[1:] - features[:-1]).abs().max() > 0.1  # so one frame off is noticed


@torch.no_grad()
@pytest.mark.parametrize(("n_samples", "n_frames"), [(48_000, 298), (48_100, 299)])
def test_three_seconds_begin_once_more_for_the_frames_that_lack(
    n_samples: int, n_frames: int
) -> None:
    encoder, waveform = random_encoder(), noise(300)[:, :n_samples]
    features = encoder.fbank(waveform)
    features = features - features.mean(dim=1, keepdim=True)
    window = torch.cat([features, features[:, : 300 - n_frames]], dim=1)
    expected = encoder.trunk.statistics(window)
    torch.testing.assert_close(encoder.voice_statistics(waveform), expected)


@pytest.mark.parametrize("n_frames", [300, 451, 601, 1200])
def test_every_piece_of_the_speech_is_heard(n_frames: int) -> None:
    waveform = noise(n_frames).requires_grad_()
    random_encoder().voice_statistics(waveform).square().sum().backward()
    assert waveform.grad is not None
    pieces = waveform.grad[0].unfold(0, 160, 160)  # [hops, 160]
    assert pieces.abs().amax(dim=1).min() > 0


@torch.no_grad()
def test_longer_speech_is_heard_from_its_beginning_to_its_end_at_bounded_cost() -> None:
    encoder = random_encoder()
    heard: list[int] = []
    statistics = encoder.trunk.statistics
    encoder.trunk.statistics = lambda windows: (  # type: ignore[method-assign]
        heard.append(len(windows)) or statistics(windows)  # type: ignore[func-returns-value]
    )
    waveform = noise(4000)
    before = encoder.voice_statistics(waveform)
    for part in (slice(0, 8000), slice(-8000, None)):
        changed = waveform.clone()
        changed[:, part] = 0.2 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
        assert not torch.allclose(encoder.voice_statistics(changed), before)
    assert heard == [4, 4, 4]


def test_speech_shorter_than_three_seconds_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"speech of 2\.990 s; give 3 s or more"):
        random_encoder()(torch.zeros(1, 47_840))


@torch.no_grad()
def test_pretrained_trunk_hears_who_speaks(pretrained: CompactVoiceEncoder) -> None:
    voices = ("slt", "rms", "awb", "kal16")
    first, second = (
        torch.cat([pretrained.voice_statistics(speech(voice, 6)[:, half]) for voice in voices])
        for half in (slice(0, 48_000), slice(48_000, None))
    )
    apart = torch.cdist(first, second)  # [4, 4]
    assert apart.argmin(dim=1).tolist() == [0, 1, 2, 3]
    others = apart + torch.diag(torch.full((4,), torch.inf))
    assert (1.2 * apart.diagonal() < others.amin(dim=1)).all()


@torch.no_grad()
def test_repeated_speech_sounds_like_itself(pretrained: CompactVoiceEncoder) -> None:
    once, often, other = (
        pretrained.voice_statistics(waveform)
        for waveform in (speech("slt", 6), speech("slt", 29.9), speech("rms", 6))
    )
    assert (once - often).norm() < 0.3 * (once - other).norm()


@torch.no_grad()
def test_voices_of_a_batch_do_not_hear_one_another() -> None:
    encoder = random_encoder()
    waveforms = noise(401, n_voices=3)
    together = encoder(waveforms)
    alone = torch.cat([encoder(waveform[None]) for waveform in waveforms])
    torch.testing.assert_close(together, alone)
    assert together.shape == (3, SMALL.feature_size)


@torch.no_grad()
@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_speech_sounds_the_same_at_any_gain(gain: float) -> None:
    encoder, waveform = random_encoder(), noise(401)
    expected = encoder.voice_statistics(waveform)
    torch.testing.assert_close(
        encoder.voice_statistics(gain * waveform), expected, rtol=1e-3, atol=1e-3
    )


@torch.no_grad()
def test_feature_is_the_head_of_statistics_and_embedding() -> None:
    encoder, waveform = random_encoder(), noise(321)
    statistics = encoder.voice_statistics(waveform)[0].double().numpy()  # [S]
    last = statistics[-2 * SMALL.trunk.n_channels :]  # of the last layer
    embedding = encoder.trunk.embedding.weight.numpy() @ last  # [3]
    views = np.concatenate([statistics, embedding])  # [V]
    assert len(views) == SMALL.n_descriptors == SMALL.n_statistics + 3
    expected = encoder.head.weight.numpy() @ views + encoder.head.bias.numpy()
    np.testing.assert_allclose(encoder(waveform)[0].numpy(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_is_exported_gives_the_feature_and_all_that_it_is_a_linear_function_of() -> None:
    encoder, waveform = random_encoder(replace(SMALL, n_languages=5)), noise(321)
    feature, descriptors = Hearing(encoder)(waveform)
    torch.testing.assert_close(feature, encoder(waveform))
    torch.testing.assert_close(feature, encoder.head(descriptors))
    assert descriptors.shape[1] == sum(encoder.config.heard_sizes)


@torch.no_grad()
def test_languages_are_heard_in_the_descriptors_and_the_head_receives_square_roots() -> None:
    encoder, waveform = random_encoder(replace(SMALL, n_languages=5)), noise(321)
    views = encoder.descriptors(encoder.voice_statistics(waveform))[0].double().numpy()  # [V]
    assert encoder.languages is not None
    odds = encoder.languages.weight.numpy() @ views + encoder.languages.bias.numpy()
    probable = np.exp(odds) / np.exp(odds).sum()  # [5]
    assert probable.max() < 0.9  # all five matter
    seen = np.concatenate([views, np.sqrt(probable)])
    expected = encoder.head.weight.numpy() @ seen + encoder.head.bias.numpy()
    np.testing.assert_allclose(encoder(waveform)[0].numpy(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_embedding_of_mean_statistics_is_the_mean_of_the_windows_embeddings() -> None:
    """Hence speech of any length needs one embedding only."""
    encoder = random_encoder()
    windows = torch.rand(4, SMALL.n_statistics, generator=torch.Generator().manual_seed(0))
    expected = encoder.descriptors(windows).mean(dim=0)
    torch.testing.assert_close(encoder.descriptors(windows.mean(dim=0)), expected)
    assert torch.equal(encoder.descriptors(windows)[:, : SMALL.n_statistics], windows)


def test_sizes_of_the_pretrained_descriptors() -> None:
    config = CompactVoiceEncoderConfig()
    assert (config.n_statistics, config.n_descriptors) == (2048, 2240)


def test_trunk_is_frozen_and_the_head_is_not() -> None:
    learned = {name for name, weight in random_encoder().named_parameters() if weight.requires_grad}
    assert learned == {"head.weight", "head.bias"}


def test_trunk_is_copied_and_all_else_stays_as_it_is() -> None:
    source, encoder = random_encoder(seed=1), random_encoder(seed=2)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    load_speaker_encoder(source.trunk.state_dict(), encoder)
    for name, value in encoder.state_dict().items():
        is_trunk = name.startswith("trunk.")
        assert torch.equal(value, (source.state_dict() if is_trunk else before)[name]), name


@pytest.mark.parametrize("change", ["missing", "foreign"])
def test_weights_of_another_network_are_refused(change: str) -> None:
    state = dict(random_encoder().trunk.state_dict())
    if change == "missing":
        del state["tdnn.bias"]
    else:
        state["tdnn.weight"] = torch.zeros(3, 3, 5)
    with pytest.raises(Speech2FaceError, match="speaker encoder"):
        load_speaker_encoder(state, random_encoder(seed=1))
