"""What the folder of an extraction says of itself, in `OUT/extract.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.files import write_whole
from speech2face.records import read_json_object

FEATURES, FACES, CLIPS, RECORD = "features.safetensors", "faces", "clips", "extract.json"
FORMAT = 1


def begin_run(out: Path, provenance: Provenance) -> None:
    """Note what a new run is made with, or refuse to go on with a run of other settings."""
    record = out / RECORD
    if record.is_file():
        try:
            earlier = read_json_object(record)["provenance"]
        except (Speech2FaceError, KeyError) as error:
            remedy = "choose another folder, or remove this one"
            raise Speech2FaceError("not a record of extraction", remedy, str(record)) from error
        if not isinstance(earlier, dict):
            raise Speech2FaceError(
                "not a record of extraction",
                "choose another folder, or remove this one",
                str(record),
            )
        if earlier != asdict(provenance):
            changed = sorted(
                name for name, value in asdict(provenance).items() if earlier.get(name) != value
            )
            raise Speech2FaceError(
                f"the folder holds an extraction with another {', '.join(changed)}",
                "choose another folder, or remove this one",
                str(out),
            )
    if not record.is_file():
        _write_record(out, provenance, n_done=None, rejected={})


def finish_run(
    out: Path,
    provenance: Provenance,
    features: FeatureSet | None,
    rejected: Mapping[str, str],
) -> FeatureSet:
    """Write the features of a run, and what became of all items.

    Args:
        out, provenance: of the run.
        features: of everything that could be used; None if nothing could.
        rejected: reason in words, by the id of what has no result.

    Raises:
        Speech2FaceError: there are no features, or they cannot be written.
    """
    if features is not None:
        features.save(out / FEATURES)
    _write_record(out, provenance, n_done=len(features or ()), rejected=rejected)
    if features is None:
        (out / FEATURES).unlink(missing_ok=True)  # of other clips
        reason = next(iter(rejected.values()), "there are no clips")
        raise Speech2FaceError(
            f"not one of {len(rejected)} clips could be extracted ({reason})",
            "check the manifest's paths",
            str(out / RECORD),
        )
    return features


def _write_record(
    out: Path, provenance: Provenance, *, n_done: int | None, rejected: Mapping[str, str]
) -> None:
    record: dict[str, Any] = {
        "format": FORMAT,
        "provenance": asdict(provenance),
        "is_complete": n_done is not None,
        "n_done": n_done,
        "rejected": dict(sorted(rejected.items())),
    }
    write_whole(out / RECORD, (json.dumps(record, indent=2) + "\n").encode())
