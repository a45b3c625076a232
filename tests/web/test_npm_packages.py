"""What others wrote for the page: only pinned archives are used, and a failure says what to do."""

import base64
import hashlib
import io
import os
import re
import stat
import tarfile
from pathlib import Path

import pytest

from speech2face import Speech2FaceError
from speech2face.web import npm_packages
from speech2face.web.npm_packages import PACKAGES, NpmPackage, files_of


def archive_of(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


ARCHIVE = archive_of(code=b"let x = 1;", other=b"not taken")
DIGEST = base64.b64encode(hashlib.sha512(ARCHIVE).digest()).decode()
PACKAGE = NpmPackage("@some/thing", "1.2.3", DIGEST, "MIT", {"code": "vendor/thing.js"})


def npm_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program named npm first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_only_the_named_files_of_an_archive_are_taken(tmp_path: Path) -> None:
    (tmp_path / "some-thing-1.2.3.tgz").write_bytes(ARCHIVE)
    assert files_of(PACKAGE, tmp_path) == {"vendor/thing.js": b"let x = 1;"}


def test_another_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some-thing-1.2.3.tgz").write_bytes(archive_of(code=b"let x = 2;"))
    with pytest.raises(Speech2FaceError, match=r"is not the archive of @some/thing 1\.2\.3"):
        files_of(PACKAGE, tmp_path)


def test_a_missing_archive_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match=r"npm pack @some/thing@1\.2\.3"):
        files_of(PACKAGE, tmp_path)


def test_a_package_is_fetched_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source.tgz").write_bytes(ARCHIVE)
    script = f'echo "$@" >> {tmp_path}/calls; cp {tmp_path}/source.tgz "$5/some-thing-1.2.3.tgz"'
    npm_that(tmp_path, monkeypatch, script)
    first, second = files_of(PACKAGE), files_of(PACKAGE)
    assert first == second == {"vendor/thing.js": b"let x = 1;"}
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("pack --ignore-scripts") and call.endswith("@some/thing@1.2.3")
    kept = npm_packages.cache_folder() / "some-thing-1.2.3.tgz"
    kept.write_bytes(b"damaged")
    assert files_of(PACKAGE) == first  # fetched again


def test_what_npm_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that(tmp_path, monkeypatch, "echo no network here >&2; exit 1")
    with pytest.raises(Speech2FaceError, match=r"no network here.*--packages"):
        files_of(PACKAGE)
    assert not npm_packages.cache_folder().exists()


def test_without_npm_another_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Speech2FaceError, match="install Node.js; or .* --packages"):
        files_of(PACKAGE)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_package_is_pinned_and_permissive(package: NpmPackage) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", package.version)
    assert len(base64.b64decode(package.sha512)) == 64
    assert package.licence in {"MIT", "OFL-1.1", "Apache-2.0", "BSD-3-Clause"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_the_container_fetches_the_same_versions(package: NpmPackage) -> None:
    recipe = (Path(__file__).resolve().parents[2] / "deploy" / "Dockerfile").read_text()
    assert f"{package.name}@{package.version}" in recipe
