"""The files that a sample names."""

from pathlib import Path

from speech2face.data.sample import Sample


def files_of(sample: Sample) -> list[Path]:
    """Voice and all pictures of a clip, whether or not they exist."""
    named = (sample.voice, sample.face, sample.canonical, sample.landmarks)
    return [file for file in (*named, *sample.teachers.values()) if file is not None]
