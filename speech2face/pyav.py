"""The door to PyAV, which reads and writes sound and video; loaded when it is needed first."""

from types import ModuleType

from speech2face.extras import missing_dependency


def load_av() -> ModuleType:
    """The module `av`.

    Raises:
        Speech2FaceError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as missing:
        raise missing_dependency("PyAV", "av") from missing
    return av
