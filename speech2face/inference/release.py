"""The files of an embedded model: its graph, its card and its photo map, all of one training.

    NAME.onnx                  the exported graph
    NAME.json                  the card: digest and size of the graph, licence, provenance, recipe
    NAME-photo.safetensors     from a photo to the graph's `draw` coordinates (`inference.photo`)

They are made beside each other in a folder of their own, the graph is held to torch, and only then
are they renamed into place, the card last.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech2face.audio.io import SAMPLE_RATE
from speech2face.audio.segment import CLIP_SECONDS
from speech2face.errors import Speech2FaceError
from speech2face.inference.export import export, verify_parity
from speech2face.inference.photo import DrawMap, write_draw_map
from speech2face.inference.pipeline import FORMAT
from speech2face.models.hub import sha256_of
from speech2face.models.speech2face import Speech2Face
from speech2face.models.stored import as_stored

MIN_SAMPLES = 48_000  # 3 s: what the graph takes; the pipeline repeats shorter speech
MAX_DIFFERENCE = 1e-3  # of a pixel in 0..1, between torch and the graph


def release(
    model: Speech2Face,
    photo: tuple[Tensor, Tensor],
    folder: Path,
    *,
    said: Mapping[str, Any],
    recorded: Mapping[str, Any],
    speech: Tensor,
) -> Path:
    """Write the three files of a model into `folder`.

    Args:
        photo: weight `[D, D_photo]` and bias `[D]` of the map from a recogniser's feature to the
            model's code.
        said: what the graph itself and the card say: name, licence, default exaggeration,
            recogniser of the photo map and training data, plain values.
        recorded: what only the card says: recipe, counts, versions.
        speech: of a person, 16 kHz, `[1, L]`, on which the graph is held to torch.

    Returns:
        The graph's file.

    Raises:
        Speech2FaceError: the graph differs from the model, or a file cannot be written.
    """
    model = as_stored(model)  # once: graph, photo map and comparison need these numbers
    name = str(said["name"])
    card = dict(said) | {
        "format": FORMAT,
        "sample_rate": SAMPLE_RATE,
        "clip_seconds": CLIP_SECONDS,
        "min_samples": MIN_SAMPLES,
        "feature_size": len(model.mean_feature),
        "draw_size": len(model.spread),
    }
    graph, photo_file, card_file = f"{name}.onnx", f"{name}-photo.safetensors", f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".release-", dir=folder) as staging:
            made = Path(staging)
            export(model, made / graph, card)
            difference = _held_to_torch(model, made / graph, speech)
            content = (made / graph).read_bytes()
            sha256 = sha256_of(content)
            write_draw_map(
                draw_map_of(model, photo, card["photo_recogniser"], sha256), made / photo_file
            )
            whole = card | {
                "sha256": sha256,
                "size_bytes": len(content),
                "photo_map_sha256": sha256_of((made / photo_file).read_bytes()),
                "largest_difference_from_torch": difference,
                **recorded,
            }
            text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
            (made / card_file).write_text(text, encoding="utf-8")
            for file in (photo_file, graph, card_file):
                os.chmod(made / file, 0o644)
                os.replace(made / file, folder / file)
    except OSError as refused:
        problem = f"the model cannot be written ({refused.strerror})"
        raise Speech2FaceError(
            problem, "give a folder with room to write", str(folder)
        ) from refused
    return folder / graph


def draw_map_of(
    model: Speech2Face, photo: tuple[Tensor, Tensor], recogniser: str, sha256: str
) -> DrawMap:
    """From a photo's feature x to the draw that decodes to the code A x + b.

    The graph decodes `mean + draw @ S` at exaggeration -1, so
    draw = ((A x + b) - mean) S^-1, with S as it is in the graph: of the model `as_stored`.
    """
    spread, mean = model.spread.double(), model.mean_feature.double()  # [D, D], [D]
    weight, bias = (part.double() for part in photo)  # [D, D_photo], [D]
    right_side = torch.cat([weight, (bias - mean)[:, None]], dim=1)  # [D, D_photo + 1]
    solved = torch.linalg.solve(spread.T, right_side).float()  # [D, D_photo + 1]
    return DrawMap(
        solved[:, :-1].contiguous().numpy(),
        solved[:, -1].contiguous().numpy(),
        recogniser,
        sha256,
    )


def _held_to_torch(model: Speech2Face, graph: Path, speech: Tensor) -> float:
    """Largest difference of a pixel, which must be small."""
    difference = verify_parity(model, graph, speech)
    if difference > MAX_DIFFERENCE:
        problem = f"the exported graph differs from the model by {difference:.2g} of 1"
        remedy = "export with the versions of constraints.txt"
        raise Speech2FaceError(problem, remedy)
    return difference
