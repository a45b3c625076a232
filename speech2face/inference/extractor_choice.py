"""An extractor by the names that the command line has for it, so that any process can open it."""

from dataclasses import dataclass, replace
from pathlib import Path

from speech2face.face.recognisers import WITHOUT_WEIGHTS, load_recogniser
from speech2face.inference.extract import PhotoExtractor, PictureExtractor, VoiceExtractor
from speech2face.models.hub import EMBEDDED


@dataclass(frozen=True, kw_only=True)
class ExtractorChoice:
    """Which extractor; it can be pickled, and equal ones open equal extractors.

    Attributes:
        model: an exported model, by its file or as `default`; or one of `WITHOUT_WEIGHTS`.
        pictures: which pictures are read in the place of voices. A recogniser reads `face` unless
            another name is given. It may be a folder.
        exaggeration: of the faces of voices; the model's own default unless given.
        clip_seconds: how much speech to hear; all unless given.
        threads: that the model computes one face with; its own default unless given.
    """

    model: str
    pictures: str | None = None
    exaggeration: float | None = None
    clip_seconds: float | None = None
    threads: int | None = None

    @property
    def hears(self) -> bool:
        """Whether voices are heard; otherwise pictures are read."""
        return self.model not in WITHOUT_WEIGHTS and self.pictures is None

    def for_workers(self) -> "ExtractorChoice":
        """The same for processes that work side by side, perhaps in other working folders."""
        by_name = self.model in (*WITHOUT_WEIGHTS, *EMBEDDED)
        model = self.model if by_name else str(Path(self.model).absolute())
        return replace(self, model=model, threads=1)

    def open(self) -> VoiceExtractor | PictureExtractor | PhotoExtractor:
        """Load what extracts.

        Raises:
            Speech2FaceError: a file or a package is missing, or the model cannot be used.
        """
        if self.hears:
            from speech2face.inference.pipeline import load_model

            return VoiceExtractor(
                load_model(self.model, threads=self.threads),
                exaggeration=self.exaggeration,
                clip_seconds=self.clip_seconds,
            )
        which = self.pictures or "face"
        folder = Path(which) if Path(which).is_dir() else None
        if self.model in WITHOUT_WEIGHTS:
            return PictureExtractor(load_recogniser(self.model), which, folder)
        from speech2face.inference.photo import load_photo_pipeline

        return PhotoExtractor(load_photo_pipeline(self.model, threads=self.threads), which, folder)
