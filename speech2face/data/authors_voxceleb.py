"""The VoxCeleb clips of the paper's project page, on which the authors' table is compared (P17).

=========  =========================================================================================
What       336 entries: speech, true face, and the faces that the authors made from both. Source:
           folder `figures/voxceleb` of the repository `speech2face/speech2face.github.io` (Oh et
           al., CVPR 2019).
Left out   8 entries of voice assistants, which are no persons and have a blank picture as the true
           face. 328 clips of 130 people remain.
Speech     16 kHz mono, 6.0 s; about 150 files repeat a shorter clip, whose length is not known.
Person     the name in the file's name.
Split      all clips are test.
Gender     the first of the four digits before the name: 0 is male and 1 is female. It is the only
           digit that always agrees with the labels printed on the page.
Terms      no licence is given, and these are real voices and faces of people who did not agree to
           this use. Research only; none of it is redistributed, shown or committed.
=========  =========================================================================================

Layout: `figures/voxceleb/{Wav, Face_ori, Face_f2f, Face_exg0, Face_exg0.7, Face_exg1.4}/
<4 digits><First_Last>_<11-character id>_<7 digits>.{wav,jpg}`.
"""

import re
from pathlib import Path

from speech2face.data.authors_page import TEACHERS, render_folder
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError

FOLDER = Path("figures") / "voxceleb"
ASSISTANT = "1145Zz_"  # the file names of voice assistants begin with this
_GENDERS = {"0": "male", "1": "female"}
_CLIP_NAME = re.compile(r"(?P<group>\d{4})(?P<person>.+)_(?P<video>.{11})_\d{7}")


def read(root: Path) -> list[Sample]:
    """Every clip of a person, sorted by name.

    Args:
        root: a checkout of the page's repository.

    Raises:
        Speech2FaceError: the folder is missing or empty, a name has another form, or a clip has no
            true face.
    """
    page = root / FOLDER
    voices = sorted((page / "Wav").glob("*.wav"))
    people = [voice for voice in voices if not voice.name.startswith(ASSISTANT)]
    if not people:
        raise Speech2FaceError(
            "there are no VoxCeleb clips of the authors' page here",
            "give a checkout of the page's repository, with figures/voxceleb in it",
            str(root),
        )
    return [_sample(page, voice) for voice in people]


def _sample(page: Path, voice: Path) -> Sample:
    name = _CLIP_NAME.fullmatch(voice.stem)
    face = page / "Face_ori" / f"{voice.stem}.jpg"
    if name is None or name["group"][0] not in _GENDERS or not face.is_file():
        raise Speech2FaceError(
            "this is not a clip of the corpus, or it has no true face",
            "use an unchanged checkout",
            str(voice),
        )
    renders = {teacher: page / render_folder(teacher) / f"{voice.stem}.jpg" for teacher in TEACHERS}
    canonical = page / "Face_f2f" / f"{voice.stem}.jpg"
    return Sample(
        id=voice.stem,
        person=name["person"],
        video=name["video"],
        voice=voice,
        face=face,
        canonical=canonical if canonical.is_file() else None,
        teachers={teacher: file for teacher, file in renders.items() if file.is_file()},
        split="test",
        labels={"gender": _GENDERS[name["group"][0]]},
    )
