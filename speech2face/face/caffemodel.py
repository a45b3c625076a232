"""Weights of a `.caffemodel` without Caffe: the protobuf fields of caffe.proto that hold them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Field numbers of caffe.proto. A network lists its layers under 100, one of 2015 or before under 2.
LAYER, V1_LAYER = 100, 2
NAME_AND_BLOBS = {LAYER: (1, 7), V1_LAYER: (4, 6)}
BLOB_OLD_SHAPE = (1, 2, 3, 4)  # num, channels, height, width
BLOB_DATA = 5  # packed float32
BLOB_SHAPE = 7  # a message whose field 1 is the packed list of lengths

VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5  # protobuf wire types

Field = tuple[int, int | memoryview]


def read_caffemodel(path: Path) -> dict[str, list[NDArray[np.float32]]]:
    """Blobs of every layer that has some, by its name: weight and bias.

    Raises:
        ValueError: the bytes are not such a message.
    """
    layers = {}
    for number, layer in _fields(memoryview(path.read_bytes())):
        if number in NAME_AND_BLOBS and isinstance(layer, memoryview):
            name_field, blob_field = NAME_AND_BLOBS[number]
            found = list(_fields(layer))
            blobs = [_blob(_bytes(value)) for field, value in found if field == blob_field]
            names = [_bytes(value) for field, value in found if field == name_field]
            if blobs and names:
                layers[bytes(names[0]).decode()] = blobs
    return layers


def _blob(message: memoryview) -> NDArray[np.float32]:
    shape: list[int] = []
    pieces = [np.empty(0, dtype=np.float32)]
    for number, value in _fields(message):
        if number == BLOB_DATA:
            pieces.append(np.frombuffer(_bytes(value), dtype="<f4"))
        elif number == BLOB_SHAPE:
            shape = [length for _, lengths in _fields(_bytes(value)) for length in _packed(lengths)]
        elif number in BLOB_OLD_SHAPE and isinstance(value, int):
            shape.append(value)
    return np.concatenate(pieces).reshape(shape)


def _packed(lengths: int | memoryview) -> Iterator[int]:
    """The numbers of a repeated field, which may come one by one or in one packed piece."""
    if isinstance(lengths, int):
        yield lengths
        return
    place = 0
    while place < len(lengths):
        value, place = _varint(lengths, place)
        yield value


def _bytes(value: int | memoryview) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a number where protobuf promises bytes")
    return value


def _fields(message: memoryview) -> Iterator[Field]:
    """Number and content of each field of one protobuf message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        length = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(kind)
        if kind == COUNTED:
            length, place = _varint(message, place)
        if length is None or place + length > len(message):
            raise ValueError("not a protobuf message, or cut off")
        yield key >> 3, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Number in groups of seven bits, lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 64, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("not a protobuf number, or cut off")
