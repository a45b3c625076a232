"""LibriSpeech: English audiobooks, read aloud by 2,484 people, without faces.

=========  =========================================================================================
What       audiobook readings cut into utterances (Panayotov et al., ICASSP 2015; openslr.org/12).
Use here   to measure whether a reader gets the same face in every utterance.
Person     the reader's number; `video` is reader and chapter.
Split      `train-*` is train, `dev-*` is val, `test-*` is test; no reader is in two of them.
Licence    CC BY 4.0.
=========  =========================================================================================

There are two layouts: the corpus as it is unpacked,
`<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac` with `SPEAKERS.TXT` beside the
subsets; or a folder with `manifest.jsonl`, whose lines are `{"file", "speaker", "subset"}`.
"""

from collections.abc import Mapping
from pathlib import Path

from speech2face.data.sample import Sample, Split
from speech2face.data.splits import check_disjoint
from speech2face.errors import Speech2FaceError
from speech2face.records import jsonl_rows

_REMEDY = "give the folder with the subsets (train-clean-100, ...) or with a manifest.jsonl"
_SPLITS: Mapping[str, Split] = {"train": "train", "dev": "val", "test": "test"}
_GENDERS = {"F": "female", "M": "male"}  # as SPEAKERS.TXT writes them


def read(root: Path) -> list[Sample]:
    """Samples of either layout, sorted by id; the layout is found from the content of `root`.

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
        raise Speech2FaceError("there are no LibriSpeech utterances here", _REMEDY, str(root))
    check_disjoint(samples, str(root))
    return sorted(samples, key=lambda sample: sample.id)


def _read_flat(root: Path) -> list[Sample]:
    manifest = root / "manifest.jsonl"
    samples = []
    for where, record in jsonl_rows(manifest, remedy=_REMEDY):
        try:
            samples.append(_sample(root / record["file"], record["subset"], {}))
        except (KeyError, TypeError) as error:
            problem = f"this line is not an utterance ({error!r})"
            raise Speech2FaceError(problem, _REMEDY, where) from error
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
    """Gender of each reader, from `SPEAKERS.TXT`.

    Its lines are `id | F | subset | minutes | name`, and comments begin with `;`.
    """
    if not table.is_file():
        return {}
    rows = [line.split("|") for line in table.read_text(encoding="utf-8").splitlines()]
    return {
        row[0].strip(): _GENDERS[row[1].strip()]
        for row in rows
        if len(row) >= 2 and not row[0].startswith(";") and row[1].strip() in _GENDERS
    }
