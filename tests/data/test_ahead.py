"""Reading ahead: the results of `map`, in its order, made earlier."""

import threading
from itertools import count, islice

import pytest

from speech2face.data.ahead import read_ahead


def test_it_is_map_with_the_same_order_and_end() -> None:
    assert list(read_ahead(lambda n: n * n, range(50), depth=7, threads=3)) == [
        n * n for n in range(50)
    ]
    assert list(read_ahead(str, [], depth=3)) == []


def test_results_are_made_before_they_are_wanted_but_not_too_many() -> None:
    read: list[int] = []
    made = threading.Event()

    def note(number: int) -> int:
        read.append(number)
        if number == 5:
            made.set()
        return number

    stream = read_ahead(note, count(), depth=5, threads=1)
    assert next(stream) == 0
    assert made.wait(10)  # number 5 is read while number 0 is in use
    stream.close()  # type: ignore[attr-defined]
    assert max(read) == 5


def test_an_error_comes_in_its_turn() -> None:
    def fail_at_three(number: int) -> float:
        return 1 / (number - 3)

    stream = read_ahead(fail_at_three, range(10), depth=4)
    assert len(list(islice(stream, 3))) == 3
    with pytest.raises(ZeroDivisionError):
        next(stream)
