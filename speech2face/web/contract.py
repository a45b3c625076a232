"""What the page must know to hear and draw as `Pipeline` does: `contract.json` of a site.

Every constant is taken from the file that uses it here, so that the page cannot differ.
"""

from typing import Any

import numpy as np

from speech2face import __version__
from speech2face.audio import recording, speech
from speech2face.audio.segment import N_SAMPLES
from speech2face.inference import pipeline
from speech2face.inference.pipeline import ModelCard
from speech2face.inference.png import NOTICE

N_LIKELY = 8  # equally likely faces that the page can draw


def page_contract(card: ModelCard) -> dict[str, Any]:
    """Sizes, limits and constants by name, in the units of the files that they are from."""
    return {
        "version": __version__,
        "notice": NOTICE,
        "model": {
            "name": card.name,
            "sha256": card.sha256,
            "face_sha256": card.face_sha256,
            "licence": str(card.details.get("licence", "")),
            "feature_size": card.feature_size,
            "draw_size": card.draw_size,
            "default_exaggeration": card.default_exaggeration,
        },
        "exaggerations": list(pipeline.EXAGGERATIONS),
        "image_size": pipeline.IMAGE_SIZE,
        "faces_at_once": pipeline.FACES_AT_ONCE,
        "n_likely": N_LIKELY,
        "n_samples": N_SAMPLES,
        "recording": {
            "sample_rate": card.sample_rate,
            "min_seconds": recording.MIN_SECONDS,
            "little_seconds": recording.LITTLE_SECONDS,
            "max_seconds": recording.MAX_SECONDS,
            "max_searched_seconds": recording.MAX_SEARCHED_SECONDS,
            "silence_dbfs": recording.SILENCE_DBFS,
            "telephone_hertz": recording.TELEPHONE_HERTZ,
            "nothing": recording.NOTHING,
            "cancelled": recording.CANCELLED,
            "max_channels": recording.MAX_CHANNELS,
        },
        "speech": {
            "frame": speech.FRAME,
            "context": speech.CONTEXT,
            "frames_at_once": speech.FRAMES_AT_ONCE,
            "threshold": speech.THRESHOLD,
            "around": speech.AROUND,
            "silent": speech.SILENT,
            "loudness": speech.LOUDNESS,
            "max_gain": speech.MAX_GAIN,
            "state_size": speech.STATE_SIZE,
        },
    }


def likely_draws(card: ModelCard) -> bytes:
    """Normal numbers `[N_LIKELY, R]`, little-endian float32: those of `--spread` with seed 0."""
    draws = np.random.default_rng(0).standard_normal((N_LIKELY, card.draw_size))
    return draws.astype("<f4").tobytes()
