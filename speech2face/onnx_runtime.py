"""The one door to onnxruntime, with its telemetry switched off.

Without this, every process that opens a session leaves a device id and a database of events in the
home folder, a file of predictable name in `/tmp`, and looks up its maker's collector. onnxruntime
reads the environment variable while it is imported; its function `disable_telemetry_events()`
comes too late.
"""

import os
from types import ModuleType

from speech2face.extras import missing_dependency

SWITCH = "ORT_DISABLE_TELEMETRY"


def load_onnxruntime() -> ModuleType:
    """Import onnxruntime so that it sends nothing and keeps nothing about its user.

    Call this also before importing a package that imports onnxruntime itself. A program that
    imported onnxruntime before it called us has to set the variable itself.

    Raises:
        Speech2FaceError: onnxruntime is not installed.
    """
    os.environ[SWITCH] = "1"
    try:
        import onnxruntime
    except ModuleNotFoundError as missing:
        raise missing_dependency("onnxruntime", "onnxruntime") from missing
    return onnxruntime  # type: ignore[no-any-return]
