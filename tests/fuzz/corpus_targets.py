"""What is fuzzed of corpora at scale, of the matcher and of XAB experiments, and its seeds."""

import json
import os
from pathlib import Path

import numpy as np

from fuzz.mutations import damaged_bytes, damaged_json, damaged_text, in_header
from fuzz.target import Target


def video(folder: Path) -> Target:
    """The pictures of a clip, out of small films of drawn colours."""
    from moving_face import write_talk

    from speech2face.face.video import frames_near_middle

    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    face = (colours, 0.5, 0.5)
    size, side, detail = (64, 48), 20, 8
    seeds = [
        write_talk(
            folder / name, [face], None, seconds=0.4, size=size, side=side, detail=detail,
            keyframe_every=4, codec=codec,
        ).read_bytes()
        for name, codec in (("a.mp4", "libx264"), ("a.mkv", "mpeg4"), ("a.webm", "libvpx"))
    ]  # fmt: skip
    return Target(lambda path: list(frames_near_middle(path)), seeds, damaged_bytes)


def face_track(_: Path) -> Target:
    from speech2face.data.face_track import TrackFile, read_track

    seed = b"Identity: \tid1\nReference: \tx\n\nFRAME X Y W H\n"
    seed += b"".join(b"%06d 0.4 0.25 0.2 0.35\n" % (50 + number) for number in range(4))
    return Target(lambda path: read_track(TrackFile(path, "fractions")), [seed], damaged_text)


def avspeech(folder: Path) -> Target:
    from speech2face.data import avspeech as corpus

    root = folder / "avspeech"
    root.mkdir()
    for name in ("PmD-LzPS2rg", "a__b-c"):
        (root / f"{name}.mp4").write_bytes(b"not opened here")

    def read(path: Path) -> object:
        path.replace(root / corpus.TRAIN)
        return corpus.read(root)

    seed = b"PmD-LzPS2rg,282.5823,285.5853,0.371875,0.425\na__b-c,0,3.5,0.5,0.5\ngone,1,4,0.5,0.5\n"
    return Target(read, [seed], damaged_text)


def voxceleb_people(_: Path) -> Target:
    from speech2face.data.voxceleb_table import gender_label, read_people, split_of

    columns = ("VoxCeleb2 ID", "Gender", "Set")

    def read(path: Path) -> object:
        people, _ = read_people(path, columns)
        return [(gender_label(one), split_of(name, one, 0)) for name, one in people.items()]

    commas = b"VoxCeleb2 ID ,VGGFace2 ID ,Gender,Set\nid00012,n000001,m,dev\nid00016, n2,f,test\n"
    tabs = b'"VoxCeleb2 ID"\tGender\tSet\nid00017\tf\tdev\n'
    return Target(read, [commas, tabs], damaged_text)


def talkvid(folder: Path) -> Target:
    from speech2face.data import talkvid as corpus

    root = folder / "talkvid"
    root.mkdir()
    (root / "PmD-LzPS2rg.mp4").write_bytes(b"not opened here")
    clip = {
        "id": "videovideoPmD-LzPS2rg-scene1",
        "start-time": 1.5,
        "end-time": 6,
        "info": {
            "Person ID": "7",
            "Video Link": "https://www.youtube.com/watch?v=PmD-LzPS2rg",
            "Gender": "Male",
            "Language": "English",
        },
    }

    def read(path: Path) -> object:
        path.replace(root / "clips.json")
        return corpus.read(root)

    return Target(read, [json.dumps([clip, clip | {"id": "x"}]).encode()], damaged_json)


def _prepared(folder: Path) -> Path:
    import talking

    return talking.write(folder / "prepared", talking.record)


def ledger(folder: Path) -> Target:
    """The list of what is in a shard: where the sound of each clip lies, and how long it is."""
    from speech2face.data.store import Store
    from speech2face.data.talking_shards import TalkingShards

    prepared = _prepared(folder)
    file = prepared / "shard-00000.json"
    seed = file.read_bytes()

    def read(path: Path) -> object:
        path.replace(file)
        store = Store(prepared, "tools")
        if "key 0" in store:
            store.content("key 0", "wav")
        clips = TalkingShards(prepared, "train", "recogniser")
        return clips.voice_batch(range(len(clips)), 300), clips.read("face_feature", [0])

    return Target(read, [seed], damaged_json)


def shard(folder: Path) -> Target:
    """The tar file of a shard, with the sound and the features of its clips."""
    from speech2face.data.talking_shards import TalkingShards

    prepared = _prepared(folder)
    file = next(prepared.glob("shard-00000*.tar"))
    seed = file.read_bytes()

    def read(path: Path) -> object:
        content = path.read_bytes()[: len(seed)].ljust(len(seed), b"\0")  # another size is refused
        file.write_bytes(content)
        clips = TalkingShards(prepared, "train", "recogniser")
        return clips.voice_batch(range(len(clips)), 300), clips.read("face_feature", [0])

    return Target(read, [seed], damaged_bytes)


def matching_maps(_: Path) -> Target:
    from matching import tiny_maps

    from speech2face.models.matching_maps import content_of, read_maps

    damage = in_header(damaged_json, "speech2face")
    return Target(read_maps, [content_of(tiny_maps("0" * 64))], damage, "a.safetensors")


def xab_lists(folder: Path) -> Target:
    import xab_people

    from speech2face.xab.draw import draw_lists
    from speech2face.xab.trials import Design, read_lists, text_of

    design = Design(trials=8, lists=1)
    lists = draw_lists(xab_people.clips(persons=24), design)
    return Target(read_lists, [text_of(design, lists).encode()], damaged_json)


def xab_session(folder: Path) -> Target:
    import xab_people

    from speech2face.xab.answers import read_session
    from speech2face.xab.draw import draw_lists
    from speech2face.xab.experiment import Experiment
    from speech2face.xab.trials import Design, text_of

    design = Design(trials=8, lists=1)
    lists = draw_lists(xab_people.clips(persons=24), design)
    home = folder / "experiment"
    home.mkdir()
    (home / "trials.jsonl").write_text(text_of(design, lists))
    experiment = Experiment(home, design, tuple(lists), "Do you agree?")
    (session,) = xab_people.simulate(experiment, [0.7])

    def read(path: Path) -> object:
        named = path.with_name(f"{session.start.session}.jsonl")
        os.replace(path, named)
        return read_session(named, experiment)

    return Target(read, [session.text.encode()], damaged_json)


MAKERS = (
    video,
    face_track,
    avspeech,
    voxceleb_people,
    talkvid,
    ledger,
    shard,
    matching_maps,
    xab_lists,
    xab_session,
)
