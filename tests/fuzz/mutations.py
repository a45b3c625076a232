"""Damage to files: bytes, text and values of JSON, drawn from a random generator."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

TOKENS = [
    b"[" * 200,
    b'{"a":' * 200,
    b"]" * 9,
    b"9" * 5_000,
    b"1e999",
    b"-1",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b'""',
    b"\\ud800",
    b"\\u0000",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    "\u2028".encode(),
    b"\r",
    b"\n",
    b'"',
    b",",
    b"x" * 140_000,
    b"../" * 90,
    b"inf",
    b"[[a]]\n",
    b"a.b.c=1\n",
]
NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    10**30,
    1e300,
    0.5,
    "",
    "text",
    "16000",
    "\ud800",
    "x" * 300,
    [],
    [[]],
    [1, "a", None],
    {},
    {"": {}},
    "nan",
]


def damaged_bytes(content: bytes, draw: random.Random) -> bytes:
    """One to eight changes: bits, numbers, cuts, copies, and pieces moved about."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        size = len(changed)
        place = draw.randrange(size + 1)
        if draw.random() < 0.5:  # the beginning holds most of what a reader looks at
            place = min(place, draw.randrange(min(size, 200) + 1))
        length = draw.choice((1, 2, 4, 8, 40, 400))
        match draw.randrange(7):
            case 0 if place < size:
                changed[place] ^= 1 << draw.randrange(8)
            case 1:
                width = draw.choice((1, 2, 4, 8))
                number = draw.choice(NUMBERS) % 2 ** (8 * width)
                order = draw.choice(("little", "big"))
                changed[place : place + width] = number.to_bytes(width, order)
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[place : place + length]
            case 4:
                start = draw.randrange(size + 1)
                changed[place : place + length] = changed[start : start + length]
            case 5:
                changed[place : place + length] = draw.randbytes(length)
            case 6 if draw.random() < 0.3:
                del changed[place:]
    return bytes(changed)


def damaged_text(content: bytes, draw: random.Random) -> bytes:
    """Insert tokens that are difficult for parsers, or replace text with them."""
    if draw.random() < 0.3:
        return damaged_bytes(content, draw)
    changed = content
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(changed) + 1)
        end = place + draw.choice((0, 0, 1, 3, 20))
        changed = changed[:place] + draw.choice(TOKENS) + changed[end:]
    return changed


def damaged_json(content: bytes, draw: random.Random) -> bytes:
    """Other values in the places of a JSON text, or damage to the text itself."""
    if draw.random() < 0.4:
        return damaged_text(content, draw)
    lines = content.splitlines()
    row = draw.randrange(len(lines))
    try:
        value = json.loads(lines[row])
    except ValueError:
        return damaged_text(content, draw)
    for _ in range(draw.choice((1, 1, 2))):
        value = _changed_value(value, draw)
    lines[row] = json.dumps(value).encode()
    return b"\n".join(lines)


def _changed_value(value: Any, draw: random.Random) -> Any:
    if isinstance(value, dict | list) and value and draw.random() < 0.85:
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = draw.choice(list(places))
        match draw.randrange(6):
            case 0:
                del value[place]
            case 1 if isinstance(value, dict):
                value[draw.choice(("", "unknown", "format", "\0"))] = value.pop(place)
            case _:
                value[place] = _changed_value(value[place], draw)
        return value
    return copy.deepcopy(draw.choice(VALUES))  # it may be changed in its turn


def in_header(damage: Callable[[bytes, random.Random], bytes], key: str) -> Any:
    """Damage to the JSON under `key` in a safetensors header, or to the bytes of the file."""

    def damaged(content: bytes, draw: random.Random) -> bytes:
        if draw.random() < 0.3:
            return damaged_bytes(content, draw)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        if draw.random() < 0.7:
            text = damage(header["__metadata__"][key].encode(), draw)
            header["__metadata__"][key] = text.decode("latin-1")
            new = json.dumps(header).encode()
        else:
            new = damaged_json(content[8 : 8 + size], draw)
        return len(new).to_bytes(8, "little") + new + content[8 + size :]

    return damaged
