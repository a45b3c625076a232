"""What to install when an optional package is missing.

No package index has a package of our name, and whoever registered that name there would be
installed by `pip install "speech2face[face]"`. So the advice depends on where this copy came from:
a checkout, a folder, a wheel file, or a repository.
"""

import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from speech2face.errors import Speech2FaceError

NAME = "speech2face"


def missing_extra(package: str, extra: str) -> Speech2FaceError:
    """The error to raise when `package` is missing, which an extra installs, or several: `a,b`."""
    return Speech2FaceError(f"{package} is not installed", f"run {install_command(extra)}")


def missing_dependency(package: str, requirement: str) -> Speech2FaceError:
    """The error to raise when a package that no installation should lack is missing."""
    return Speech2FaceError(f"{package} is not installed", f"run {_pip_install(requirement)}")


def install_command(extra: str) -> str:
    """The command that installs an extra of this copy of the package, or several, for a shell."""
    checkout = _checkout(Path(__file__).resolve().parents[1])
    if checkout is not None:
        return _pip_install("-e", f"{checkout}[{extra}]")
    return _pip_install(*(_from_source(extra) or _requirements(extra)))


def _checkout(folder: Path) -> Path | None:
    """`folder`, if it is the source tree of this package."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return folder if project.get("project", {}).get("name") == NAME else None


def _from_source(extra: str) -> list[str]:
    """What pip is given to install from the same source again; empty if that is gone or unknown.

    The source is in `direct_url.json` (PEP 610), which pip writes for everything that does not
    come from an index.
    """
    try:
        recorded = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return []
    url, version_control = recorded.get("url", ""), recorded.get("vcs_info")
    subfolder = f"#subdirectory={recorded['subdirectory']}" if "subdirectory" in recorded else ""
    if version_control and not url.startswith("file:"):  # an older pip refuses `git+file:`
        address = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
        return [f"{NAME}[{extra}] @ {address}{subfolder}"]
    if not url.startswith("file:"):
        return [f"{NAME}[{extra}] @ {url}{subfolder}"] if url else []
    path = Path(url2pathname(urlsplit(url).path))
    editable = recorded.get("dir_info", {}).get("editable", False)
    return [*(["-e"] if editable else []), f"{path}[{extra}]"] if path.exists() else []


def _requirements(extra: str) -> list[str]:
    """The packages of the extras themselves, for a copy whose source is gone."""
    names = "|".join(re.escape(name) for name in extra.split(","))
    of_this_extra = re.compile(rf"^(.+?)\s*;\s*extra\s*==\s*['\"](?:{names})['\"]$")
    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        lines = []
    found = [match[1] for line in lines if (match := of_this_extra.match(line))]
    return found or ["-e", f"A_CHECKOUT_OF_{NAME.upper()}[{extra}]"]


def _pip_install(*words: str) -> str:
    """`pip install`, by the pip of the Python that runs now."""
    pip = shutil.which("pip")
    own = pip is not None and os.path.dirname(pip) == os.path.dirname(sys.executable)
    command = ["pip"] if own else [sys.executable, "-m", "pip"]
    return " ".join(_quoted(word) for word in (*command, "install", *words))


def _quoted(word: str) -> str:
    """`word` as a shell needs it; cmd.exe knows double quotes only."""
    if os.name != "nt":
        return shlex.quote(word)
    return f'"{word}"' if re.search(r"[\s<>|&^]", word) else word
