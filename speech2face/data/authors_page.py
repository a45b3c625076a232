"""Clips of the paper's project page, in two layouts.

=============  =====================================================================================
What           968 AVSpeech clips of about 930 people: speech, true face, and the faces that the
               authors' networks made from both. Source: folder `figures/avspeech_res` of the
               repository `speech2face/speech2face.github.io` (Oh et al., CVPR 2019).
Speech         16 kHz mono. On the page every file is exactly 6.0 s long and a shorter clip is
               repeated to fill it; the true length is the end minus the start in the file's name.
Pictures       224 x 224 JPEG. `face`: the true face in any pose, on any background. `canonical`
               (F2F): the face that the authors' decoder made from the true face. `s2f_exg*` (S2F):
               the face that it made from the voice, at three exaggerations. The faces made by the
               decoder are frontal and neutral, on white.
Person         the YouTube id. A few people appear under several ids: name them in `same_person`.
Split          the prepared layout stores one. For a checkout it is a seeded hash of the person.
Not for        comparison with the paper's tables: these are 968 clips and not 1.7 million, and the
               authors do not say whether they trained on some of them.
Terms          no licence is given, and these are real voices and faces of people who did not agree
               to this use. Research only; none of it is redistributed, shown or committed.
=============  =====================================================================================

Prepared layout: `manifest.jsonl`, `audio/ID.ogg`, `face/ID.jpg`, `canonical/ID.jpg`,
`s2f_exg{0,0.7,1.4}/ID.jpg`, `gallery/*.jpg`. Checkout: `figures/avspeech_res/{Wav, Face_ori,
Face_f2f, Face_exg0, Face_exg0.7, Face_exg1.4}/<11-character id>_<start>-<end>.{wav,jpg}`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speech2face.data.sample import Sample
from speech2face.data.splits import check_disjoint, split_of_person
from speech2face.errors import Speech2FaceError
from speech2face.records import jsonl_rows

TEACHERS = ("s2f_exg0", "s2f_exg0.7", "s2f_exg1.4")  # the authors' S2F at three exaggerations
CLIP_SECONDS = 6.0  # every sound file of the page has this length

_PAGE = Path("figures") / "avspeech_res"
_CLIP_NAME = re.compile(r"(?P<video>.{11})_(?P<start>\d+\.\d+)-(?P<end>\d+\.\d+)")
_REMEDY = "give the prepared folder (with manifest.jsonl) or a checkout of the page's repository"


def read(
    root: Path, *, seed: int = 0, same_person: Mapping[str, str] | None = None
) -> list[Sample]:
    """Samples of either layout; which one it is, is found from the content of `root`.

    Args:
        root: prepared folder, or a checkout of the page's repository.
        seed: seed of the split by person, which is used for a checkout.
        same_person: YouTube id to person, for people who appear under several ids.

    Raises:
        Speech2FaceError: `root` has neither layout, or a person is in two splits.
    """
    if (root / "manifest.jsonl").is_file():
        samples = _read_prepared(root)
    elif (root / _PAGE / "Wav").is_dir():
        samples = _read_checkout(root / _PAGE, seed, same_person or {})
    else:
        problem = "there are no clips of the authors' page here"
        raise Speech2FaceError(problem, _REMEDY, str(root))
    check_disjoint(samples, str(root))
    return samples


def distractors(root: Path) -> list[Path]:
    """True faces of people who are not in the samples, to fill a gallery; sorted by name."""
    return sorted((root / "gallery").glob("*.jpg"))


def _read_prepared(root: Path) -> list[Sample]:
    manifest = root / "manifest.jsonl"
    rows = jsonl_rows(manifest, remedy=_REMEDY)
    return [_prepared_sample(record, root, where) for where, record in rows]


def _prepared_sample(record: dict[str, Any], root: Path, where: str) -> Sample:
    try:
        name = record["id"]
        return Sample(
            id=name,
            person=record["person"],
            video=record["youtube_id"],
            seconds=record["seconds"],
            split=record["split"],
            voice=root / "audio" / f"{name}.ogg",
            face=root / "face" / f"{name}.jpg",
            canonical=root / "canonical" / f"{name}.jpg",
            teachers={teacher: root / teacher / f"{name}.jpg" for teacher in TEACHERS},
        )
    except (KeyError, TypeError) as error:
        problem = f"this is not a clip of the corpus ({error!r})"
        raise Speech2FaceError(problem, _REMEDY, where) from error


def _read_checkout(page: Path, seed: int, same_person: Mapping[str, str]) -> list[Sample]:
    """One sample for each voice with a true face; faces that the decoder made may be missing."""
    samples = []
    for voice in sorted((page / "Wav").glob("*.wav")):
        name = _CLIP_NAME.fullmatch(voice.stem)
        if name is None:
            raise Speech2FaceError(
                "the name is not <11 characters>_<start>-<end>", "use an unchanged checkout",
                str(voice),
            )  # fmt: skip
        if (face := _picture(page, "Face_ori", voice.stem)) is None:
            continue  # a voice without a face is not a pair
        person = same_person.get(name["video"], name["video"])
        renders = {
            teacher: _picture(page, render_folder(teacher), voice.stem) for teacher in TEACHERS
        }
        samples.append(
            Sample(
                id=voice.stem,
                person=person,
                video=name["video"],
                seconds=_seconds(name["start"], name["end"], voice),
                split=split_of_person(person, seed=seed),
                voice=voice,
                face=face,
                canonical=_picture(page, "Face_f2f", voice.stem),
                teachers={teacher: file for teacher, file in renders.items() if file},
            )
        )
    if not samples:
        raise Speech2FaceError("the checkout has no clip with a face", _REMEDY, str(page))
    return samples


def _seconds(start: str, end: str, voice: Path) -> float:
    """Length of the speech itself. What follows it in the file is a repetition."""
    seconds = round(float(end) - float(start), 6)
    if seconds <= 0:
        raise Speech2FaceError(
            f"the clip ends {-seconds} s before it starts", "use an unchanged checkout", str(voice)
        )
    return min(seconds, CLIP_SECONDS)


def render_folder(teacher: str) -> str:
    """Folder of a checkout with the renders of one of `TEACHERS`."""
    return teacher.replace("s2f_", "Face_")


def _picture(page: Path, folder: str, stem: str) -> Path | None:
    """`<stem>.jpg` or `.png`. Stems contain dots, so the suffix is appended and not replaced."""
    for suffix in (".jpg", ".png", ".jpeg"):
        if (file := page / folder / f"{stem}{suffix}").is_file():
            return file
    return None
