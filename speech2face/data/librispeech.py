"""LibriSpeech: read English speech of 2,484 readers, no faces.

=========  =========================================================================================
What       audiobook readings cut into utterances (Panayotov et al., ICASSP 2015; openslr.org/12).
Use here   the same reader should get the same face in every utterance; voices without faces.
Person     the reader's number; `video` is reader and chapter.
Split      `train-*` is train, `dev-*` val, `test-*` test; LibriSpeech keeps readers apart itself.
Licence    CC BY 4.0.
=========  =========================================================================================

Two layouts: the corpus as it is unpacked, `<subset>/<speaker>/<chapter>/<speaker>-<chapter>-
<number>.flac` with `SPEAKERS.TXT` beside the subsets; or a flat folder with `manifest.jsonl`
whose lines are `{"file", "speaker", "subset"}`.
"""

from collections.abc import Mapping
from pathlib import Path

from speech2face.data.sample import Sample, Split
from speech2face.data.splits import check_disjoint
from speech2face.errors import Speech2FaceError
from speech2face.records import jsonl_rows

_REMEDY = "give the folder that holds the subsets (train-clean-100, ...) or a manifest.jsonl"
_SPLITS: Mapping[str, Split] = {"train": "train", "dev": "val", "test": "test"}
_GENDERS = {"F": "female", "M": "male"}  # as SPEAKERS.TXT writes them


def read(root: Path) -> list[Sample]:
    """Samples of either layout, told apart by what `root` holds, sorted by id.

    Raises:
        Speech2FaceError: `root` has neither layout, or a line of the manifest is not readable.
    """
    if (root / "manifest.jsonl").is_file():
        samples = _read_flat(root)
    else:
        genders = _read_genders(root / "SPEAKERS.TXT")
        subsets = [folder for folder in sorted(root.glob("*-*")) if folder.is_dir()]
        files = [(file, folder.name) for folder in subsets for file in folder.glob("*/*/*.flac")]
        samples = [_sample(file, subset, genders) for file, subset in files]
    if not samples:
        raise Speech2FaceError("no LibriSpeech utterances here", _REMEDY, str(root))
    check_disjoint(samples, str(root))
    return sorted(samples, key=lambda sample: sample.id)


def _read_flat(root: Path) -> list[Sample]:
    manifest = root / "manifest.jsonl"
    samples = []
    for where, record in jsonl_rows(manifest, remedy=_REMEDY):
        try:
            samples.append(_sample(root / record["file"], record["subset"], {}))
        except (KeyError, TypeError) as error:
            raise Speech2FaceError(f"not an utterance ({error!r})", _REMEDY, where) from error
    return samples


def _sample(file: Path, subset: str, genders: Mapping[str, str]) -> Sample:
    parts = file.stem.split("-")
    if len(parts) != 3:
        raise Speech2FaceError(
            "the name is not <speaker>-<chapter>-<number>", "use unchanged names", str(file)
        )
    speaker, chapter, _ = parts
    labels = {"language": "English"}
    if speaker in genders:
        labels["gender"] = genders[speaker]
    return Sample(
        id=file.stem,
        person=speaker,
        voice=file,
        video=f"{speaker}-{chapter}",
        split=_SPLITS.get(subset.split("-")[0]),
        labels=labels,
    )


def _read_genders(table: Path) -> dict[str, str]:
    """Reader to gender from `SPEAKERS.TXT` (`id | F | subset | minutes | name`, `;` comments)."""
    if not table.is_file():
        return {}
    rows = [line.split("|") for line in table.read_text(encoding="utf-8").splitlines()]
    return {
        row[0].strip(): _GENDERS[row[1].strip()]
        for row in rows
        if len(row) >= 2 and not row[0].startswith(";") and row[1].strip() in _GENDERS
    }
