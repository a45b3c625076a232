"""VGG-Face: size, layers, and the numbers against a slow network in numpy."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
from safetensors.torch import save_file  # noqa: E402

from speech2face.errors import Speech2FaceError  # noqa: E402
from speech2face.face.align import face_crop  # noqa: E402
from speech2face.face.vgg_face import (  # noqa: E402
    METADATA_KEY,
    N_PARAMETERS,
    RGB_MEAN,
    VGGFace,
    VGGFaceConfig,
    VGGFaceEncoder,
    header_of,
    load_vgg_face,
)

SMALL = VGGFaceConfig(widths=(4, 5, 6, 7, 8), hidden=11, n_identities=9, image_size=64)


def small_network(**options) -> VGGFace:
    torch.manual_seed(0)
    network = VGGFace(SMALL, **options)
    for parameter in network.parameters():  # large enough that no layer fades away
        torch.nn.init.normal_(parameter, std=0.3)
    return network.requires_grad_(False)


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255


def test_the_published_network_has_its_number_of_parameters() -> None:
    with torch.device("meta"):
        network = VGGFace()
    assert sum(p.numel() for p in network.parameters()) == N_PARAMETERS == 145_002_878
    names = [name.removesuffix(".weight") for name in network.state_dict() if "weight" in name]
    convolutions = [
        f"conv{block}_{place}"
        for block, count in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3))
        for place in range(1, count + 1)
    ]
    assert names == [*convolutions, "fc6", "fc7", "fc8"]
    assert network.state_dict()["fc6.weight"].shape == (4096, 512 * 7 * 7)


def test_the_published_network_maps_faces_to_4096_and_2622_numbers() -> None:
    with torch.device("meta"):
        feature = VGGFace().face_feature(torch.empty(2, 3, 224, 224))
        logits = VGGFace().logits(feature)
    assert feature.shape == (2, 4096)
    assert logits.shape == (2, 2622)


def slow_fc7(state: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    """fc7 before its ReLU of one RGB picture `[3, H, W]`, in float64, one pixel after the other."""
    maps = image - np.array(RGB_MEAN)[:, None, None]
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for place in range(1, count + 1):
            kernel = state[f"conv{block}_{place}.weight"]
            bias = state[f"conv{block}_{place}.bias"]
            padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
            out = np.empty((len(kernel), *maps.shape[1:]))
            for y in range(out.shape[1]):
                for x in range(out.shape[2]):
                    patch = padded[:, y : y + 3, x : x + 3]
                    out[:, y, x] = (kernel * patch).sum(axis=(1, 2, 3)) + bias
            maps = np.maximum(out, 0)
        n, height, width = maps.shape
        maps = maps.reshape(n, height // 2, 2, width // 2, 2).max(axis=(2, 4))
    hidden = np.maximum(state["fc6.weight"] @ maps.ravel() + state["fc6.bias"], 0)
    return state["fc7.weight"] @ hidden + state["fc7.bias"]


def test_fc7_equals_a_slow_network_in_numpy() -> None:
    network = small_network().double()
    state = {name: weight.numpy() for name, weight in network.state_dict().items()}
    image = images(1).double()
    expected = slow_fc7(state, image[0].numpy())
    np.testing.assert_allclose(network.face_feature(image)[0].numpy(), expected, rtol=1e-9)
    logits = state["fc8.weight"] @ np.maximum(expected, 0) + state["fc8.bias"]
    np.testing.assert_allclose(network(image)[0].numpy(), logits, rtol=1e-9)


def test_convention_the_relu_of_fc7_is_applied_once_whichever_feature_is_chosen() -> None:
    before, after = small_network(feature="before_relu"), small_network(feature="after_relu")
    feature = before.face_feature(images(3))
    assert (feature < 0).any()
    torch.testing.assert_close(after.face_feature(images(3)), feature.relu())
    torch.testing.assert_close(after(images(3)), before(images(3)))
    torch.testing.assert_close(before(images(3)), before.logits(feature))


def test_the_logits_carry_a_gradient_to_the_feature() -> None:
    feature = torch.randn(2, 11, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(small_network().double().logits, (feature,))


def test_convention_the_network_takes_rgb_levels_and_subtracts_the_published_mean() -> None:
    network = small_network()
    mean = torch.tensor(RGB_MEAN)[:, None, None].expand(3, 64, 64)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
    assert network.face_feature(mean[None]).abs().max() == 0  # a network without biases
    assert network.face_feature(mean.flip(0)[None]).abs().max() > 0


@pytest.mark.parametrize(
    "wrong", [{"image_size": 100}, {"image_size": 0}, {"widths": (1, 2)}, {"hidden": 0}]
)
def test_impossible_sizes_are_refused(wrong: dict) -> None:
    with pytest.raises(Speech2FaceError):
        VGGFaceConfig(**wrong)


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="fc6"):
        VGGFace(SMALL, feature="fc6")  # type: ignore[arg-type]


def test_the_encoder_feeds_the_loose_crops(portraits, located, detector) -> None:
    network = small_network()
    encoder = VGGFaceEncoder(network, detector, batch_size=3)  # 3 does not divide 4
    assert (encoder.name, encoder.size) == ("vgg_face_fc7_before_relu", 11)
    features = encoder.encode(portraits)
    crops = np.stack([face_crop(i, f, size=64) for i, f in zip(portraits, located, strict=True)])
    expected = network.face_feature(torch.from_numpy(crops).permute(0, 3, 1, 2).float())
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-4, atol=1e-4)
    assert encoder.encode([]).shape == (0, 11)


def test_saved_weights_come_back_frozen(tmp_path: Path) -> None:
    network = small_network()
    save_file(network.state_dict(), tmp_path / "a.safetensors", metadata=header_of(SMALL))
    loaded = load_vgg_face(tmp_path / "a.safetensors", feature="after_relu")
    assert loaded.config == SMALL and loaded.feature == "after_relu" and not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    torch.testing.assert_close(loaded(images(2)), network(images(2)))


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(Speech2FaceError, match=r"a\.safetensors: cannot be read"):
        load_vgg_face(path)
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(Speech2FaceError, match="cannot be read"):
        load_vgg_face(path)
    save_file(small_network().state_dict(), path)
    with pytest.raises(Speech2FaceError, match="not VGG-Face"):
        load_vgg_face(path)
    for header in ("{", "[]", json.dumps({"config": {"widths": 3}})):
        save_file(small_network().state_dict(), path, metadata={METADATA_KEY: header})
        with pytest.raises(Speech2FaceError, match="header|settings"):
            load_vgg_face(path)
    save_file(small_network().state_dict(), path, metadata=header_of(VGGFaceConfig()))
    with pytest.raises(Speech2FaceError, match="do not fit"):
        load_vgg_face(path)
