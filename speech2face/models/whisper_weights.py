"""The weights of Whisper base (OpenAI, MIT), out of two packages that hold them in halves.

The file is CTranslate2's: a header, then for every tensor its name, sizes, type and numbers, then
aliases. Names are read as they are there; nothing in it is executed.
"""

import struct
from collections.abc import Iterator

import torch
from torch import Tensor

from speech2face.models.whisper import Whisper
from speech2face.third_party import third_party_file

PARTS = ("model.bin.part1", "model.bin.part2")
_FLOAT16 = 4  # CTranslate2's number for the type


def read_whisper() -> Whisper:
    """Whisper base with its published weights.

    Raises:
        Speech2FaceError: a package is missing, or holds another file.
    """
    content = b"".join(third_party_file(part).read_bytes() for part in PARTS)
    network = Whisper()
    network.load_state_dict(converted(dict(tensors(content)), len(network.encoder)))
    return network.eval()


def tensors(content: bytes) -> Iterator[tuple[str, Tensor]]:
    """Every float16 tensor of a CTranslate2 file by its name, as float32."""
    reader = _Reader(content)
    reader.number("I")  # version of the format
    reader.text()  # name of the architecture
    reader.number("I")  # its revision
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = reader.number("B")
        numbers = reader.take(reader.number("I"))
        if kind == _FLOAT16:
            values = torch.frombuffer(bytearray(numbers), dtype=torch.float16)
            yield name, values.reshape(shape).float()


class _Reader:
    """Little-endian values of a file, one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = memoryview(content), 0

    def take(self, n_bytes: int) -> memoryview:
        start, self._place = self._place, self._place + n_bytes
        return self._content[start : self._place]

    def number(self, kind: str) -> int:
        return int(struct.unpack("<" + kind, self.take(struct.calcsize(kind)))[0])

    def text(self) -> str:
        """A length, then that many bytes, the last of which is zero."""
        return bytes(self.take(self.number("H"))[:-1]).decode()


def converted(published: dict[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """Weights of `Whisper` by its own names."""
    ours = {
        "positions": published["encoder/position_encodings/encodings"],
        "tokens": published["decoder/embeddings/weight"],
        "first_position": published["decoder/position_encodings/encodings"][0],
    }
    for layer in ("conv1", "conv2"):
        ours |= {f"{layer}.{part}": published[f"encoder/{layer}/{part}"] for part in _LINEAR}
    for side in ("encoder", "decoder"):
        ours |= _norm(published, f"{side}/layer_norm", f"{side}_norm")
        for number in range(n_layers):
            own = _layer(published, f"{side}/layer_{number}", attends=side == "decoder")
            ours |= {f"{side}.{number}.{name}": value for name, value in own.items()}
    return ours


_LINEAR = ("weight", "bias")


def _layer(published: dict[str, Tensor], theirs: str, *, attends: bool) -> dict[str, Tensor]:
    """One layer by torch's names; in the decoder it attends to what was heard."""
    last = "norm3" if attends else "norm2"
    ours = _norm(published, f"{theirs}/self_attention/layer_norm", "norm1")
    ours |= _norm(published, f"{theirs}/ffn/layer_norm", last)
    for part in _LINEAR:
        ours[f"linear1.{part}"] = published[f"{theirs}/ffn/linear_0/{part}"]
        ours[f"linear2.{part}"] = published[f"{theirs}/ffn/linear_1/{part}"]
        own = f"{theirs}/self_attention"
        ours[f"self_attn.in_proj_{part}"] = published[f"{own}/linear_0/{part}"]
        ours[f"self_attn.out_proj.{part}"] = published[f"{own}/linear_1/{part}"]
        if attends:
            other = f"{theirs}/attention"
            ours[f"multihead_attn.in_proj_{part}"] = torch.cat(
                [published[f"{other}/linear_{number}/{part}"] for number in (0, 1)]
            )  # queries; keys and values
            ours[f"multihead_attn.out_proj.{part}"] = published[f"{other}/linear_2/{part}"]
    if attends:
        ours |= _norm(published, f"{theirs}/attention/layer_norm", "norm2")
    return ours


def _norm(published: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {
        f"{ours}.weight": published[f"{theirs}/gamma"],
        f"{ours}.bias": published[f"{theirs}/beta"],
    }
