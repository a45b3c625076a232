"""Objects of a binary Torch7 (Lua) file: numbers, strings, tables and tensors; never functions."""

import math
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN = range(6)  # type marks; 6 to 8 are functions
ELEMENTS = {"Float": "<f4", "Double": "<f8", "Long": "<i8", "Int": "<i4", "Byte": "u1"}
ELEMENTS["Cuda"] = "<f4"


def read_torch7(path: Path) -> Any:
    """The one object in a `.t7` file: a table becomes a dict, a module the dict of its fields.

    Raises:
        ValueError: not such a file, cut off, or it holds a function.
    """
    return _Reader(path.read_bytes()).object()


class _Reader:
    """Position in the bytes and the objects met so far: the format refers back to them."""

    def __init__(self, content: bytes) -> None:
        self.file = BytesIO(content)
        self.left = len(content)
        self.seen: dict[int, Any] = {}

    def object(self) -> Any:
        kind = self.number("<i")
        if kind == NIL:
            return None
        if kind == NUMBER:
            return self.number("<d")
        if kind == BOOLEAN:
            return bool(self.number("<i"))
        if kind == STRING:
            return self.string()
        if kind not in (TABLE, TORCH):
            raise ValueError(f"object of type {kind}: a function, or no Torch7 file")
        index = self.number("<i")
        if index not in self.seen:
            if kind == TABLE:
                self.table(index)
            else:
                self.torch_object(index)
        return self.seen[index]

    def table(self, index: int) -> None:
        entries: dict[Any, Any] = {}
        self.seen[index] = entries  # before its content, which may refer to it
        for _ in range(self.number("<i")):
            key = self.object()
            entries[key] = self.object()

    def torch_object(self, index: int) -> None:
        class_name = self.string()
        if class_name.startswith("V "):  # the version comes first, except in the oldest files
            class_name = self.string()
        element = ELEMENTS.get(class_name.removeprefix("torch.").removesuffix("Storage"))
        if class_name.endswith("Tensor"):
            self.seen[index] = self.tensor()
        elif element is not None:
            content = self.take(self.number("<q") * np.dtype(element).itemsize)
            self.seen[index] = np.frombuffer(content, dtype=element)
        else:
            self.seen[index] = self.object()  # a module: the table of its fields

    def tensor(self) -> NDArray[Any]:
        n_axes = self.number("<i")
        shape = [self.number("<q") for _ in range(n_axes)]
        strides = [self.number("<q") for _ in range(n_axes)]
        offset = self.number("<q") - 1  # counted from 1
        storage = self.object()
        if storage is None or not shape:
            return np.empty(0, dtype=np.float32)
        reach = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        too_many = math.prod(shape) > len(storage)
        if min(*shape, *strides, offset) < 0 or reach >= len(storage) or too_many:
            raise ValueError("a tensor that passes the end of its storage")
        in_bytes = [step * storage.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, in_bytes).copy()

    def string(self) -> str:
        return self.take(self.number("<i")).decode("latin-1")

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def take(self, n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= self.left:
            raise ValueError("cut off, or no Torch7 file")
        self.left -= n_bytes
        return self.file.read(n_bytes)
