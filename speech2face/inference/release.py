"""The files of a released model: two graphs, a card and a photo map, all of one training.

    NAME.onnx                  the graph that hears
    NAME-face.onnx             the graph that draws
    NAME.json                  the card: digests and sizes, licence, provenance, recipe
    NAME-photo.safetensors     from a photo to the face feature (`inference.photo`), if there is one

They are made in a temporary folder, and the graphs are compared with torch. Only then do they
replace those of an earlier release, all of them or none (`files.whole_set`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from speech2face.audio.segment import CLIP_SECONDS
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.errors import Speech2FaceError
from speech2face.files import whole_set
from speech2face.inference.export import export, verify_parity
from speech2face.inference.photo import PhotoMap, write_photo_map
from speech2face.inference.pipeline import FORMAT
from speech2face.models.hub import face_graph_path, photo_map_path, sha256_of
from speech2face.models.rounding import rounded_weights
from speech2face.models.speech2face import Speech2Face

MIN_SAMPLES = 48_000  # 3 s: what the graph takes; the pipeline repeats shorter speech
MAX_DIFFERENCE = 1 / 255  # of a pixel in 0..1, between torch and the graphs


def release(
    model: Speech2Face,
    folder: Path,
    *,
    said: Mapping[str, Any],
    recorded: Mapping[str, Any],
    speech: Tensor,
    photo: tuple[Tensor, Tensor] | None = None,
) -> Path:
    """Write the files of a model into `folder`.

    Args:
        said: what the graphs and the card contain: name, licence, default exaggeration,
            recogniser of the photo map and training data, plain values.
        recorded: what only the card contains: recipe, counts, versions.
        speech: of a person, 16 kHz, `[1, L]`, on which the graphs are compared with torch.
        photo: weight `[D, D_photo]` and bias `[D]` of the map from a recogniser's feature to the
            model's face feature; None if the model has no map.

    Returns:
        The file of the graph that hears.

    Raises:
        Speech2FaceError: the graphs differ from the model, or a file cannot be written.
    """
    model = rounded_weights(model)  # once: the comparison needs the numbers of the graphs
    card = dict(said) | {
        "format": FORMAT,
        "sample_rate": SAMPLE_RATE,
        "clip_seconds": CLIP_SECONDS,
        "min_samples": MIN_SAMPLES,
        "feature_size": model.feature_size,
        "draw_size": model.draw_size,
        "descriptor_sizes": list(model.descriptor_sizes),
    }
    name = f"{card['name']}.onnx"
    try:
        with whole_set(folder, name) as staging:
            graph = staging / name
            export(model, graph, card)
            whole = card | {"largest_difference_from_torch": _held_to_torch(model, graph, speech)}
            whole |= {**_digests(graph), **recorded}
            made = [face_graph_path(graph), graph]
            if photo is not None:
                weight, bias = (part.float().contiguous().numpy() for part in photo)
                photo_map = PhotoMap(weight, bias, card["photo_recogniser"], whole["face_sha256"])
                write_photo_map(photo_map, photo_map_path(graph))
                whole["photo_map_sha256"] = sha256_of(photo_map_path(graph).read_bytes())
                made.insert(0, photo_map_path(graph))
            card_file = graph.with_suffix(".json")
            text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
            card_file.write_text(text, encoding="utf-8")
            for file in (*made, card_file):
                os.chmod(file, 0o644)
    except OSError as refused:
        problem = f"the model cannot be written ({refused.strerror})"
        raise Speech2FaceError(
            problem, "give a folder with room to write", str(folder)
        ) from refused
    return folder / name


def _digests(graph: Path) -> dict[str, Any]:
    """Digests and sizes of both graphs, as entries of the card."""
    hearing, drawing = graph.read_bytes(), face_graph_path(graph).read_bytes()
    return {
        "sha256": sha256_of(hearing),
        "size_bytes": len(hearing),
        "face_sha256": sha256_of(drawing),
        "face_size_bytes": len(drawing),
    }


def _held_to_torch(model: Speech2Face, graph: Path, speech: Tensor) -> float:
    """Largest difference of a pixel between torch and the graphs.

    Raises:
        Speech2FaceError: it is above `MAX_DIFFERENCE`.
    """
    difference = verify_parity(model, graph, speech)
    if difference > MAX_DIFFERENCE:
        problem = f"the exported graph differs from the model by {difference:.2g} of 1"
        remedy = "export with the versions of constraints.txt"
        raise Speech2FaceError(problem, remedy)
    return difference
