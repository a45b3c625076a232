"""What it costs to prepare a clip of a video, by stage and by runner.

    python benchmarks/prepare.py                       one JSON record a line
    python benchmarks/prepare.py --photos FOLDER       also how landmarks depend on the detector

The videos are made on the spot: 1280 x 720, 25 pictures a second, 3 to 6 s, H.264 with two seconds
between keyframes, about one megabit a second. In them a face of the embedded model moves over a
detailed background, with synthetic speech as AAC. `cpu_ms` is the time of all threads of this
process, for one clip. Clips a second are counted when every worker has done its first shard, so
starting does not count; they mean something only where no other work is on the machine.

FOLDER holds the prepared clips of the paper's page. Photographs of train and val are read; the
landmarks in the box that is made of YuNet's are compared with those in dlib's own, in parts of the
distance of the outer eye corners.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import speech2face
from speech2face.audio.io import decode
from speech2face.data import authors_page
from speech2face.data.store import Rejected
from speech2face.data.talking_clip import Corpus, TalkingClip
from speech2face.face.align import crop_placement, warp
from speech2face.face.detect import DlibDetector
from speech2face.face.image import open_image
from speech2face.face.landmarks import EXOCANTHION_LEFT, EXOCANTHION_RIGHT
from speech2face.face.video import frames_near_middle
from speech2face.face.yunet import YuNet
from speech2face.prepare.clip import CROP_SIZE, ClipWork
from speech2face.prepare.face_finder import FaceFinder
from speech2face.prepare.talk import prepare_talk
from speech2face.runners import processes

EXAMPLES = Path(__file__).parents[1] / "examples"
TESTS = Path(__file__).parents[1] / "tests"  # where videos of faces that move are made
N_VIDEOS = 12
REPEATS = 3
COPIES = 8  # clips of each video, for the runners
SHARD_SIZE = 12
FRAMES_BETWEEN_KEYFRAMES = 50


def write_videos(folder: Path) -> list[Path]:
    """Videos of invented people; nobody is in them."""
    sys.path.append(str(TESTS))
    from moving_face import write_talk

    model = speech2face.load_model()
    files = []
    for number in range(N_VIDEOS):
        voice = sorted(EXAMPLES.glob("*.ogg"))[number % 4]
        face = np.asarray(model.reconstruct(str(voice), exaggeration=0.3 * (number // 4)).image)
        speech = np.tile(decode(voice, speech_only=False).waveform, 3)
        files.append(
            write_talk(
                folder / f"{number:02d}.mp4",
                [(face, 0.3 + 0.03 * number, 0.5)],
                speech,
                seconds=seconds_of(number),
                keyframe_every=FRAMES_BETWEEN_KEYFRAMES,
                preset="medium",
                detail=8,
                seed=number,
            )
        )
    return files


def seconds_of(number: int) -> float:
    """Length of a video: 3 to 6 s."""
    return 3 + 3 * number / (N_VIDEOS - 1)


def clip_of(file: Path, copy: int = 0) -> TalkingClip:
    return TalkingClip(id=f"{copy:02d}/{file.stem}", person=file.stem, face=file, voice=file)


def report(name: str, files: Sequence[Path], run: Callable[[Path], object]) -> None:
    """CPU time of one call of `run` for each file."""
    spent: list[float] = []

    def all_files() -> None:
        start = time.process_time()
        for file in files:
            run(file)
        spent.append((time.process_time() - start) / len(files) * 1000)

    for _ in range(REPEATS + 1):  # the first is warm-up
        all_files()
    print(json.dumps({"name": name, "cpu_ms": round(float(np.median(spent[1:])), 2)}), flush=True)


def stages(files: Sequence[Path]) -> None:
    """Each stage of a clip alone, then the whole clip."""
    frames = {file: next(frames_near_middle(file)) for file in files}
    finder, yunet, dlib = FaceFinder("yunet"), YuNet(), DlibDetector()
    faces = {file: finder.find(frame.image, None) for file, frame in frames.items()}
    assert not any(isinstance(face, Rejected) for face in faces.values())

    def crop(file: Path) -> object:
        return warp(frames[file].image, crop_placement(faces[file], size=CROP_SIZE), CROP_SIZE)

    report("sound", files, lambda file: decode(file, speech_only=False))
    report("picture at a keyframe", files, lambda file: next(frames_near_middle(file)))
    report("every picture", files[:4], lambda file: list(frames_near_middle(file))[-1])
    report("faces by YuNet", files, lambda file: yunet.detect(frames[file].image))
    report("faces by dlib", files[:2], lambda file: dlib.boxes(frames[file].image))
    report("landmarks", files, lambda f: dlib.landmarks_in(frames[f].image, faces[f].box))
    report("crop", files, crop)
    report("clip", files, lambda file: ClipWork()(clip_of(file)))


def clips_per_second(files: Sequence[Path], workers: int) -> float:
    """Of the whole preparation, shards included, once every worker is at work."""
    clips = [clip_of(file, copy) for copy in range(COPIES) for file in files]
    with tempfile.TemporaryDirectory() as out:
        work = prepare_talk(
            "benchmark",
            Corpus(clips, []),
            Path(out),
            ClipWork(),
            partial(processes.run, workers=workers),
            shard_size=SHARD_SIZE,
        )
        told = [time.perf_counter() for _ in work]
    first = workers * SHARD_SIZE
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    rate = (len(told) - first) / (told[-1] - told[first - 1])
    print(
        json.dumps(
            {
                "name": f"prepare, {workers} processes",
                "clips_per_second": round(rate, 2),
                "cpu_seconds_of_all_workers_until_now": round(before.ru_utime + before.ru_stime, 1),
                "load": os.getloadavg()[0],
            }
        ),
        flush=True,
    )
    return rate


def landmarks_by_detector(folder: Path) -> None:
    """How far the landmarks in our box are from those in dlib's own."""
    finder, dlib = FaceFinder("yunet"), DlibDetector()
    apart: list[float] = []
    n_missed = 0
    samples = [sample for sample in authors_page.read(folder) if sample.split in ("train", "val")]
    for sample in samples:
        assert sample.face is not None
        image = open_image(sample.face)
        found, expected = finder.find(image, None), dlib.locate(image)
        if isinstance(found, Rejected):
            n_missed += 1
        elif expected.found:
            eyes = expected.landmarks[[EXOCANTHION_RIGHT, EXOCANTHION_LEFT]]
            distance = np.linalg.norm(found.landmarks - expected.landmarks, axis=1).mean()
            apart.append(float(distance / np.linalg.norm(eyes[0] - eyes[1])))
    quantiles = {f"q{q}": round(float(np.quantile(apart, q / 100)), 4) for q in (50, 75, 90, 95)}
    about = {"photographs": len(samples), "compared": len(apart), "not_found": n_missed}
    print(json.dumps({"name": "landmarks by YuNet and by dlib", **about, **quantiles}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write_videos(Path(folder))
        bits = sum(8 * file.stat().st_size for file in files) / sum(
            map(seconds_of, range(N_VIDEOS))
        )
        print(json.dumps({"name": "videos", "megabits_per_second": round(bits / 1e6, 2)}))
        stages(files)
        one, two = clips_per_second(files, 1), clips_per_second(files, 2)
        print(json.dumps({"name": "two processes over one", "ratio": round(two / one, 2)}))
    if arguments.photos is not None:
        landmarks_by_detector(arguments.photos)


if __name__ == "__main__":
    main()
