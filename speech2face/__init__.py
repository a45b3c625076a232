"""A face consistent with a voice: Speech2Face (Oh et al., CVPR 2019) as software that runs.

>>> import speech2face
>>> model = speech2face.load_model()
>>> model.reconstruct("voice.m4a").image.save("face.png")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from speech2face.errors import Speech2FaceError

if TYPE_CHECKING:
    from speech2face.inference.matcher import Matcher, load_matcher
    from speech2face.inference.pipeline import Face, Pipeline, load_model

__version__ = "0.1.0"
__all__ = [
    "Face",
    "Matcher",
    "Pipeline",
    "Speech2FaceError",
    "__version__",
    "load_matcher",
    "load_model",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that the command handles signals before NumPy loads."""
    if name in ("Matcher", "load_matcher"):
        from speech2face.inference import matcher

        return getattr(matcher, name)
    if name in __all__:
        from speech2face.inference import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
