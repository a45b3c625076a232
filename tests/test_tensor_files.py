"""Files of arrays and a text: read again as they were, in whatever order the memory lay."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from speech2face.tensor_files import content_of_arrays, read_arrays


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    dtype=st.sampled_from([np.float16, np.float32, np.uint8]),
    turned=st.booleans(),
)
def test_arrays_of_any_memory_order_are_read_again(
    rows: int, columns: int, dtype: type, turned: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = np.arange(rows * columns).astype(dtype).reshape(rows, columns)
    given_array = np.asfortranarray(array) if turned else array
    file = tmp_path_factory.mktemp("arrays") / "file"
    file.write_bytes(content_of_arrays({"a": given_array, "b": array.T}, "{}", extra="face"))
    text, arrays = read_arrays(file, ["a"], extra="face")
    assert text == "{}" and list(arrays) == ["a"]
    np.testing.assert_array_equal(arrays["a"], array)
    np.testing.assert_array_equal(load_file(file)["b"], array.T)  # by safetensors' own reader


def test_the_same_arrays_give_the_same_bytes() -> None:
    arrays = {"a": np.eye(3), "b": np.ones(2)}
    turned = {"b": np.ones(2), "a": np.eye(3).T}
    assert content_of_arrays(arrays, "x", extra="face") == content_of_arrays(
        turned, "x", extra="face"
    )


def test_what_is_no_such_file_is_a_value_error(tmp_path: Path) -> None:
    missing, noise, foreign = tmp_path / "missing", tmp_path / "noise", tmp_path / "foreign"
    noise.write_bytes(b"\xff" * 100)
    save_file({"a": np.ones(2)}, foreign)
    for file in (missing, noise, foreign, tmp_path):
        with pytest.raises(ValueError):
            read_arrays(file, ["a"], extra="face")
    save_file({"a": np.ones(2)}, foreign, metadata={"speech2face": "{}"})
    with pytest.raises(ValueError):
        read_arrays(foreign, ["b"], extra="face")
