"""Every corpus in its published layout, with rows that are hostile."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from speech2face.data import (
    avspeech,
    cremad,
    mavceleb,
    talkvid,
    videos,
    voxblink2,
    voxceleb1,
    voxceleb2,
)
from speech2face.data.splits import SHARES_WITHOUT_TEST, split_of_person
from speech2face.data.talking_clip import Corpus
from speech2face.errors import Speech2FaceError


def touch(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def reasons(corpus: Corpus) -> dict[str, str]:
    """Reason by id; of a line of a file, the name of the file and the number."""
    return {row.id.rsplit("/", 1)[-1] if ", line" in row.id else row.id: row.rejected.reason
            for row in corpus.rejected}  # fmt: skip


def test_avspeech(tmp_path: Path) -> None:
    """Ids with every mark, cut clips in both usual names, whole videos, and bad rows."""
    (tmp_path / "avspeech_train.csv").write_text(
        "PmD-LzPS2rg,282.5823,285.5853,0.371875,0.425\n"
        "a__b-_-c_d-,10.000000,13.5,0.5,0.5\n"
        "wholevideo1,1.5,4.5,0.25,0.75\n"
        "gone_______,1,2,0.5,0.5\n"
        "\n"
        "too,few\n"
        "word,one,2,0.5,0.5\n"
        "backwards__,5,4,0.5,0.5\n"
        "outside____,1,2,1.5,0.5\n"
        "nan________,nan,2,0.5,0.5\n"
        "../../etc,1,2,0.5,0.5\n"
        "wholevideo1,1.5,4.5,0.25,0.75\n"
    )
    (tmp_path / "avspeech_test.csv").write_text("test-video1,30,36.25,0.5,0.4\n")
    touch(
        tmp_path,
        [
            "clips/PmD-LzPS2rg_282.5823-285.5853.mp4",
            "clips/a__b-_-c_d-_10.000000_13.500000.mp4",
            "full/wholevideo1.webm",
            "full/test-video1.mp4",
        ],
    )
    corpus = avspeech.read(tmp_path)
    cut, whole, marked, test = (
        next(clip for clip in corpus.clips if clip.video == video)
        for video in ("PmD-LzPS2rg", "wholevideo1", "a__b-_-c_d-", "test-video1")
    )
    assert len(corpus.clips) == 4
    assert cut.id == "PmD-LzPS2rg_282.5823-285.5853" and cut.centre == (0.371875, 0.425)
    assert (cut.start, cut.end) == (0, None) and (whole.start, whole.end) == (1.5, 4.5)
    assert whole.face == whole.voice == tmp_path / "full" / "wholevideo1.webm"
    assert marked.person == "a__b-_-c_d-" and marked.face.name.endswith("_10.000000_13.500000.mp4")
    assert test.split == "test" and {clip.split for clip in corpus.clips} <= {
        "train",
        "val",
        "test",
    }
    assert cut.split == split_of_person("PmD-LzPS2rg", shares=SHARES_WITHOUT_TEST)
    assert reasons(corpus) == {
        "gone________1-2": "missing_media",
        "wholevideo1_1.5-4.5": "duplicate_id",
    } | {f"avspeech_train.csv, line {number}": "bad_row" for number in (6, 7, 8, 9, 10, 11)}


def test_avspeech_by_channel_never_splits_a_channel(tmp_path: Path) -> None:
    names = [f"video{number:06d}" for number in range(60)]
    (tmp_path / "avspeech_train.csv").write_text("".join(f"{n},1,4,0.5,0.5\n" for n in names))
    touch(tmp_path, [f"{name}.mp4" for name in names])
    rows = "".join(f"{name},channel {number % 7}\n" for number, name in enumerate(names))
    (tmp_path / "channels.csv").write_text("id,channel\n" + rows)
    clips = avspeech.read(tmp_path).clips
    assert {clip.person for clip in clips} == {f"channel {number}" for number in range(7)}
    assert len({(clip.person, clip.split) for clip in clips}) == 7


def test_avspeech_refuses_a_video_that_is_in_both_tables(tmp_path: Path) -> None:
    for name in ("avspeech_train.csv", "avspeech_test.csv"):
        (tmp_path / name).write_text(f"abcdefghijk,{len(name)},{len(name) + 3},0.5,0.5\n")
    touch(tmp_path, ["abcdefghijk.mp4"])
    with pytest.raises(Speech2FaceError, match="'abcdefghijk' is in splits"):
        avspeech.read(tmp_path)


VOX1 = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"


def test_voxceleb1(tmp_path: Path) -> None:
    (tmp_path / "vox1_meta.csv").write_text(
        VOX1 + "id10001\tA.J._Buckley\tm\tIreland\tdev\nid10270\tEartha_Kitt\tf\tUSA\ttest\nx\n"
    )
    touch(
        tmp_path,
        [
            *(f"wav/id10001/1zcIwhmdeo4/0000{number}.wav" for number in (1, 2)),
            *(f"unzippedFaces/A.J._Buckley/1.6/1zcIwhmdeo4/000{n}.jpg" for n in range(5)),
            "wav/id10270/5r0dWxy17C8/00001.wav",
            "txt/id10270/5r0dWxy17C8/00001.txt",
            "videos/a/5r0dWxy17C8.mp4",
            "wav/id10270/nofaces____/00001.wav",
            "wav/id99999/5r0dWxy17C8/00001.wav",
        ],
    )
    corpus = voxceleb1.read(tmp_path)
    first, _, third = corpus.clips
    assert [clip.id for clip in corpus.clips] == [
        "id10001/1zcIwhmdeo4/00001",
        "id10001/1zcIwhmdeo4/00002",
        "id10270/5r0dWxy17C8/00001",
    ]
    assert first.face.name == "0002.jpg" and first.track is None and first.split != "test"
    assert first.labels == {"gender": "male", "nationality": "Ireland"}
    assert third.split == "test" and third.face.name == "5r0dWxy17C8.mp4"
    assert third.track is not None and third.track.unit == "pixels"
    assert third.voice == tmp_path / "wav/id10270/5r0dWxy17C8/00001.wav"
    assert reasons(corpus) == {
        "vox1_meta.csv, line 4": "bad_row",
        "id10270/nofaces____/00001": "missing_media",
        "id99999/5r0dWxy17C8/00001": "no_metadata",
    }


def test_voxceleb2(tmp_path: Path) -> None:
    (tmp_path / "vox2_meta.csv").write_text(
        "\ufeffVoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n"
        "id00012 ,n000012 ,m ,dev \nid00017 ,n000017 ,f ,test \n"
    )
    touch(
        tmp_path,
        [
            "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4",
            "dev/aac/id00012/21Uxsk56VDQ/00001.m4a",
            "dev/mp4/id00012/21Uxsk56VDQ/00002.mp4",
            "dev/txt/id00012/21Uxsk56VDQ/00001.txt",
            "test/txt/id00017/01dfn2spqyE/00001.txt",
            "videos/01dfn2spqyE.mp4",
            "test/txt/id00017/gone_______/00001.txt",
        ],
    )
    corpus = voxceleb2.read(tmp_path)
    first, second, third = corpus.clips
    assert first.voice.suffix == ".m4a" and first.face.suffix == ".mp4"
    assert second.voice == second.face and second.centre == (0.5, 0.5) and second.track is None
    assert third.split == "test" and third.labels == {"gender": "female"}
    assert third.track is not None and third.track.unit == "fractions" and third.centre is None
    assert reasons(corpus) == {"id00017/gone_______/00001": "missing_media"}


def test_cremad(tmp_path: Path) -> None:
    (tmp_path / "VideoDemographics.csv").write_text(
        '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
    )
    touch(
        tmp_path,
        [
            *("VideoFlash/1001_DFA_ANG_XX.flv", "AudioWAV/1001_DFA_ANG_XX.wav"),
            *("VideoFlash/1001_IEO_SAD_LO.flv", "AudioMP3/1001_IEO_SAD_LO.mp3"),
            "VideoFlash/1001_IWL_FEA_XX.flv",
            "VideoFlash/1002_DFA_ANG_XX.flv",
        ],
    )
    corpus = cremad.read(tmp_path)
    assert [clip.voice.suffix for clip in corpus.clips] == [".wav", ".mp3"]
    assert {clip.person for clip in corpus.clips} == {"1001"}
    assert corpus.clips[0].labels == {"language": "English", "gender": "male"}
    assert reasons(corpus) == {
        "1001_IWL_FEA_XX": "missing_media",
        "1002_DFA_ANG_XX": "no_metadata",
    }


def test_mavceleb(tmp_path: Path) -> None:
    (tmp_path / "v2_meta.csv").write_text("ids,name,gender\nid0001,Somebody,f\n")
    touch(
        tmp_path,
        [
            "voices/id0001/Hindi/vid-__1/00000.wav",
            *(f"faces/id0001/Hindi/vid-__1/0000{number}.jpg" for number in range(3)),
            "voices/id0001/English/vid2/00000.wav",
            "voices/id0002/English/vid2/00000.wav",
        ],
    )
    corpus = mavceleb.read(tmp_path)
    (only,) = corpus.clips
    assert only.id == "id0001/Hindi/vid-__1/00000" and only.face.name == "00001.jpg"
    assert only.labels == {"language": "Hindi", "gender": "female"}
    assert reasons(corpus) == {
        "id0001/English/vid2/00000": "missing_media",
        "id0002/English/vid2/00000": "no_metadata",
    }


def test_talkvid(tmp_path: Path) -> None:
    def record(link: str, start: object, end: object, **more: object) -> dict[str, object]:
        about = {"Person ID": "p1", "Video Link": link, "Gender": "Female", "Language": "English"}
        return {"start-time": start, "end-time": end, "info": about} | more

    link = "https://www.youtube.com/watch?v=abc-__hijkl"[:43]
    (tmp_path / "filtered.json").write_text(
        json.dumps(
            [
                record(link, 1.5, 6.25),
                record("https://youtu.be/cut_video-1", 2, 5, id="cut-1__a"),
                record("https://youtu.be/gone_video1", 2, 5),
                record(link, 5, 2),
                record(link, True, 2),
                record("https://example.org/", 1, 2),
                {"start-time": 1},
                7,
            ]
        )
    )
    (tmp_path / "more.jsonl").write_text(json.dumps(record(link, 8, 9)) + "\n{\n")
    touch(tmp_path, ["videos/abc-__hijkl.mp4", "cut/cut-1__a.mp4"])
    corpus = talkvid.read(tmp_path)
    assert [(clip.id, clip.start, clip.end) for clip in corpus.clips] == [
        ("abc-__hijkl_1.5-6.25", 1.5, 6.25),
        ("abc-__hijkl_8-9", 8, 9),
        ("cut-1__a", 0, None),
    ]
    assert corpus.clips[0].labels == {"language": "English", "gender": "female"}
    told = reasons(corpus)
    assert told.pop("gone_video1_2-5") == "missing_media"
    assert len(told) == 6 and set(told.values()) == {"bad_row"}


def test_voxblink2(tmp_path: Path) -> None:
    touch(
        tmp_path,
        ["meta/id000000/abc-__hijkl/00000.txt", "meta/id000001/gone/00000.txt",
         "videos/abc-__hijkl.mp4"],
    )  # fmt: skip
    corpus = voxblink2.read(tmp_path)
    assert [clip.id for clip in corpus.clips] == ["id000000/abc-__hijkl/00000"]
    assert corpus.clips[0].track is not None and corpus.clips[0].track.unit == "pixels"
    assert reasons(corpus) == {"id000001/gone/00000": "missing_media"}


def test_a_folder_of_videos(tmp_path: Path) -> None:
    touch(tmp_path, ["anna/a.mp4", "anna/2/a.MKV", "ben__1-__2.mp4", "cleo.webm", "notes.txt"])
    corpus = videos.read(tmp_path)
    assert {clip.id: clip.person for clip in corpus.clips} == {
        "anna/a.mp4": "anna",
        "anna/2/a.MKV": "anna",
        "ben__1-__2.mp4": "ben",
        "cleo.webm": "cleo",
    }
    assert len({clip.split for clip in corpus.clips if clip.person == "anna"}) == 1


@pytest.mark.parametrize(
    "corpus", [avspeech, cremad, mavceleb, talkvid, videos, voxblink2, voxceleb1, voxceleb2]
)
def test_a_wrong_folder_is_one_clear_error(corpus: object, tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError):
        corpus.read(tmp_path)  # type: ignore[attr-defined]
