"""The voice encoder against Table 1: every shape, every count, the order of its layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig

TINY = VoiceEncoderConfig(channels=(4, 4, 6, 6, 6, 8, 8, 8, 8), n_bins=45, feature_size=12)

# Time x frequency x channels after each layer of Table 1, VALID padding, 6 s and 3 s.
TABLE_1 = {
    598: [
        (595, 254, 64), (592, 251, 64), (589, 248, 128), (294, 248, 128), (291, 245, 128),
        (145, 245, 128), (142, 242, 128), (71, 242, 128), (68, 239, 256), (34, 239, 256),
        (31, 236, 512), (14, 117, 512), (6, 57, 512),
    ],
    298: [
        (295, 254, 64), (292, 251, 64), (289, 248, 128), (144, 248, 128), (141, 245, 128),
        (70, 245, 128), (67, 242, 128), (33, 242, 128), (30, 239, 256), (15, 239, 256),
        (12, 236, 512), (5, 117, 512), (1, 57, 512),
    ],
}  # fmt: skip


def paper_encoder_without_memory() -> VoiceEncoder:
    with torch.device("meta"):
        return VoiceEncoder()


def tiny_encoder() -> VoiceEncoder:
    torch.manual_seed(0)
    encoder = VoiceEncoder(TINY)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)  # the signal survives thirteen layers
        elif isinstance(module, nn.BatchNorm2d):
            for parameter in (module.weight, module.running_var):
                nn.init.uniform_(parameter, 0.5, 1.5)
            for parameter in (module.bias, module.running_mean):
                nn.init.normal_(parameter, std=0.2)
    return encoder.eval()


def random_spectrogram(n_frames: int, n_voices: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(n_frames)
    return torch.randn(n_voices, 2, 45, n_frames, generator=generator)


def test_parameter_counts_are_those_of_the_paper() -> None:
    encoder = paper_encoder_without_memory()
    trainable = sum(parameter.numel() for parameter in encoder.parameters())
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    scales_and_shifts = sum(norm.weight.numel() + norm.bias.numel() for norm in norms)
    statistics = sum(norm.running_mean.numel() + norm.running_var.numel() for norm in norms)
    assert trainable - scales_and_shifts == 148_058_368
    assert trainable == 148_062_976
    assert trainable + statistics == 148_067_584


@pytest.mark.parametrize("n_frames", [598, 298])
def test_every_layer_has_the_shape_of_table_1(n_frames: int) -> None:
    encoder, shapes = paper_encoder_without_memory().eval(), []
    for layer in encoder.trunk:
        layer.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape[1:])))
    feature = encoder(torch.empty(1, 2, 257, n_frames, device="meta"))
    assert [(time, bins, channels) for channels, time, bins in shapes] == TABLE_1[n_frames]
    assert encoder.hidden.in_features == 57 * 512 == 29_184
    assert feature.shape == (1, 4096)


def test_layers_run_in_the_order_of_table_1() -> None:
    encoder, spectrogram = tiny_encoder(), random_spectrogram(598)  # six positions to average
    weights = encoder.state_dict()

    def convolve(maps: Tensor, name: str, stride: int = 1) -> Tensor:
        return F.conv2d(maps, weights[f"{name}.weight"], weights[f"{name}.bias"], stride)

    def norm(maps: Tensor, name: str) -> Tensor:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale = weights[f"{name}.weight"] / (variance + 1e-5).sqrt()
        shift = weights[f"{name}.bias"] - mean * scale
        return maps * scale[:, None, None] + shift[:, None, None]

    def block(maps: Tensor, index: int, stride: int = 1) -> Tensor:
        rectified = convolve(maps, f"trunk.{index}.convolution", stride).clamp(min=0)
        return norm(rectified, f"trunk.{index}.norm")

    def pool(maps: Tensor) -> Tensor:
        even = maps.shape[2] // 2 * 2
        return torch.maximum(maps[:, :, 0:even:2], maps[:, :, 1:even:2])

    maps = spectrogram.permute(0, 1, 3, 2)  # [B, 2, T, F]: the kernel is time x frequency
    maps = pool(block(block(block(maps, 0), 1), 2))  # layers 1 to 4
    maps = pool(block(maps, 4))  # 5, 6
    maps = pool(block(maps, 6))  # 7, 8
    maps = pool(block(maps, 8))  # 9, 10
    maps = block(block(maps, 10), 11, stride=2)  # 11, 12
    maps = convolve(maps, "trunk.12", stride=2)  # 13
    pooled = norm(maps.mean(dim=2, keepdim=True).clamp(min=0), "pooled_norm")  # 14
    hidden = F.linear(pooled.flatten(1), weights["hidden.weight"], weights["hidden.bias"])
    expected = F.linear(hidden.clamp(min=0), weights["feature.weight"], weights["feature.bias"])
    torch.testing.assert_close(encoder(spectrogram), expected, rtol=1e-4, atol=1e-5)


def test_convention_kernels_and_pools_see_time_before_frequency() -> None:
    encoder = tiny_encoder()
    pools = [layer for layer in encoder.trunk if isinstance(layer, nn.MaxPool2d)]
    assert [pool.kernel_size for pool in pools] == [(2, 1)] * 4
    maps = encoder.trunk(random_spectrogram(598).transpose(2, 3))
    assert maps.shape[2:] == (6, TINY.n_pooled_bins)  # positions in time, bins


@pytest.mark.parametrize(
    ("n_frames", "positions"),
    [(298, 1), (322, 1), (323, 2), (515, 5), (579, 6), (642, 6), (700, 7)],
)
def test_any_length_from_three_seconds_up_gives_one_feature(n_frames: int, positions: int) -> None:
    encoder, spectrogram = tiny_encoder(), random_spectrogram(n_frames)
    assert encoder.trunk(spectrogram.transpose(2, 3)).shape[2] == positions
    assert encoder(spectrogram).shape == (2, 12)


def test_a_spectrogram_below_three_seconds_is_refused_with_its_length() -> None:
    with pytest.raises(Speech2FaceError, match="297 frames.*298"):
        tiny_encoder()(random_spectrogram(297))


def test_a_spectrogram_of_another_layout_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"\(2, 2, 310, 45\).*\[B, 2, 45, T\]"):
        tiny_encoder()(random_spectrogram(310).transpose(2, 3))


def test_every_voice_of_a_batch_is_encoded_by_itself() -> None:
    encoder, spectrogram = tiny_encoder(), random_spectrogram(300, n_voices=3)
    together = encoder(spectrogram)
    for index in range(3):
        alone = encoder(spectrogram[index : index + 1])
        torch.testing.assert_close(alone[0], together[index], rtol=1e-4, atol=1e-5)


def test_encoder_overfits_one_batch() -> None:
    encoder, spectrogram = tiny_encoder().train(), random_spectrogram(298, n_voices=4)
    target = torch.randn(4, 12, generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
    for _ in range(40):
        loss = (encoder(spectrogram) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.15  # a constant answer leaves about 0.7


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_exported_encoder_equals_torch(run_in_onnxruntime) -> None:
    encoder, spectrogram = tiny_encoder(), random_spectrogram(310)
    (exported,) = run_in_onnxruntime(encoder, (spectrogram,))
    torch.testing.assert_close(exported, encoder(spectrogram).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_papers_encoder_runs_on_six_seconds() -> None:
    torch.manual_seed(0)
    encoder = VoiceEncoder().eval()
    with torch.inference_mode():
        feature = encoder(torch.randn(1, 2, 257, 598))
    assert feature.shape == (1, 4096)
    assert feature.isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": (4,) * 8}, "give 9 numbers of channels"),
        ({"channels": (0,) * 9}, "channels = .* sizes in 1"),
        ({"feature_size": 0}, "feature_size = 0; expected sizes in 1"),
        ({"n_bins": 30}, "31 or more"),
    ],
)
def test_sizes_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(Speech2FaceError, match=message):
        VoiceEncoderConfig(**(vars(TINY) | change))
