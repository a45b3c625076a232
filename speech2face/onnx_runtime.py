"""The one door to onnxruntime, with its telemetry switched off.

Without this, every process that opens a session leaves a device id and a database of events in the
home folder, a file of predictable name in `/tmp`, and looks up its maker's collector. onnxruntime
reads the environment variable while it is imported; its function `disable_telemetry_events()`
comes too late.
"""

import os
from types import ModuleType
from typing import Any

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


def open_session(content: bytes, threads: int) -> Any:
    """A session over a model's bytes, on the CPU, that opens no other file and prints nothing.

    Args:
        content: an ONNX model with its weights inside.
        threads: that work on one run.
    """
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # fatal only: problems are told once, by us
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for more work in a loop would take the cores from the next graph: of the
    # three graphs between a voice and its face, each would slow down the one after it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    nowhere = os.path.join(os.devnull, "nowhere")  # weights must lie inside the file
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", nowhere
    )
    return ort.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], enable_fallback=False
    )  # without the fallback, which prints
