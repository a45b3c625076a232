"""The networks at the sizes of their papers: numbers of parameters, and printed sizes per layer."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.baselines import dimnet, kim, svhf, voice2face_gan, wav2pix


def n_parameters(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def on_meta(build: type[nn.Module], *arguments: object) -> nn.Module:
    """The network without memory for its weights: the largest has 58 million."""
    with torch.device("meta"):
        return build(*arguments)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (svhf.FaceStream, 57_978_752),
        (svhf.VoiceStream, 16_026_304),
        (svhf.PairClassifier, 3_672_578),
        (svhf.ManyWayClassifier, 3_672_065),
        (kim.VoiceTower, 855_248),
        (kim.FaceTower, 14_796_864),
        (dimnet.VoiceNet, 2_670_720),
        (wav2pix.WaveformEncoder, 11_495_424),
        (voice2face_gan.FaceGenerator, 12_191_875),
    ],
)
def test_a_network_has_as_many_parameters_as_published(
    network: type[nn.Module], expected: int
) -> None:
    assert n_parameters(on_meta(network)) == expected


def test_networks_with_spectral_norm_and_heads_have_as_many_parameters_as_published() -> None:
    assert n_parameters(wav2pix.IdentityHead(10)) == 28_230
    assert n_parameters(wav2pix.FaceGenerator()) == 3_804_160
    assert n_parameters(wav2pix.FaceGenerator(wav2pix.GENERATOR_128)) == 13_241_344
    assert n_parameters(wav2pix.FaceDiscriminator()) == 2_765_824
    judge = voice2face_gan.FaceJudge(n_people=7)
    assert n_parameters(judge.trunk) == 3_310_720
    assert n_parameters(judge.real) == 64 and n_parameters(judge.identity) == 64 * 7


def sizes_of(trunk: nn.Sequential, kinds: tuple[type[nn.Module], ...], given: Tensor) -> list[int]:
    """Width of what comes in and of what each layer of these kinds gives."""
    found = [given.shape[-1]]
    for layer in trunk:
        given = layer(given)
        if isinstance(layer, kinds):
            found.append(given.shape[-1])
    return found


def test_soundnet_has_the_published_numbers_of_time_steps() -> None:
    tower = on_meta(kim.VoiceTower)
    sizes = sizes_of(
        tower.trunk, (nn.Conv1d, nn.MaxPool1d), torch.empty(2, 1, 220_500, device="meta")
    )
    assert sizes == [220_500, 110_251, 13_781, 6_891, 861, 431, 216, 109, 27, 14]


@pytest.mark.parametrize(
    ("frames", "steps"), list(zip(svhf.FRAMES, (2, 5, 8, 11, 14, 17, 20, 23, 27, 30), strict=True))
)
def test_the_voice_stream_of_svhf_has_the_published_widths(frames: int, steps: int) -> None:
    stream = on_meta(svhf.VoiceStream)
    maps = stream.trunk(torch.empty(1, 1, 512, frames, device="meta"))
    assert maps.shape == (1, 256, 9, steps)


def test_the_face_stream_of_svhf_ends_in_seven_by_seven() -> None:
    maps = on_meta(svhf.FaceStream).trunk(torch.empty(1, 3, 224, 224, device="meta"))
    assert maps.shape == (1, 256, 7, 7)


def test_networks_give_vectors_and_pictures_of_the_published_sizes() -> None:
    def given(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    assert on_meta(svhf.VoiceStream)(given(2, 1, 512, 300)).shape == (2, 1024)
    assert on_meta(svhf.FaceStream)(given(2, 3, 224, 224)).shape == (2, 1024)
    assert on_meta(kim.FaceTower).trunk(given(1, 3, 224, 224)).shape == (1, 512, 14, 14)
    assert on_meta(kim.VoiceTower)(given(2, 1, 220_500)).shape == (2, 128)
    assert on_meta(dimnet.VoiceNet)(given(2, 64, 300)).shape == (2, 64)
    assert on_meta(dimnet.FaceNet)(given(2, 3, 128, 128)).shape == (2, 64)
    encoder = on_meta(wav2pix.WaveformEncoder)
    assert encoder.trunk(given(2, 1, 16_000)).shape == (2, 4096)
    generator = on_meta(voice2face_gan.FaceGenerator)
    assert generator(given(2, 64)).shape == (2, 3, 64, 64)
    judged = on_meta(voice2face_gan.FaceJudge, 5)(given(2, 3, 64, 64))
    assert judged.real.shape == (2,) and judged.identity.shape == (2, 5)
    judge = wav2pix.FaceDiscriminator((8, 8, 8, 8))
    assert judge(torch.zeros(2, 3, 64, 64), torch.zeros(2, 128)).scores.shape == (2,)
    assert wav2pix.FaceGenerator((8, 8, 8, 8))(torch.zeros(2, 128)).shape == (2, 3, 64, 64)
    assert wav2pix.FaceGenerator((8,) * 5)(torch.zeros(2, 128)).shape == (2, 3, 128, 128)
