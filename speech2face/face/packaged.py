"""Files of face models that other Python packages carry: found without importing the package."""

import importlib.util
from pathlib import Path

from speech2face.errors import Speech2FaceError
from speech2face.extras import install_command, missing_extra


def packaged_file(package: str, *parts: str, extra: str) -> Path:
    """Path of a data file inside an installed package, which is not imported.

    Importing would run code only to learn a folder; some such packages need `pkg_resources`, which
    new versions of setuptools have dropped.

    Raises:
        Speech2FaceError: the package, or the file in it, is missing; `extra` installs it.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise missing_extra(package, extra)
    path = Path(found.submodule_search_locations[0]).joinpath(*parts)
    if not path.is_file():
        problem = f"the package {package} does not hold this file"
        raise Speech2FaceError(problem, f"run {install_command(extra)}", str(path))
    return path
