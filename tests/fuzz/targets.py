"""What is fuzzed: every reader of a file that somebody else may have written, and its seeds.

Seeds are made on the spot, of noise and drawn colours: no input shows or names anybody.
"""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import corpus_targets
from fuzz.mutations import damaged_bytes, damaged_json, damaged_text, in_header
from fuzz.target import Target


def audio(folder: Path) -> Target:
    from media import write_media

    from speech2face.audio import io as audio_io
    from speech2face.audio import sound_file

    sound_file.MAX_CPU_SECONDS = 5.0
    noise = 0.1 * np.random.default_rng(0).standard_normal(9_600)
    kinds = {
        "a.wav": {},
        "float.wav": {"codec": "pcm_f32le"},
        "stereo.wav": {"codec": "pcm_u8", "channels": 2},
        "a.flac": {"codec": "flac"},
        "a.mp3": {"codec": "libmp3lame"},
        "a.m4a": {"codec": "aac"},
        "a.ogg": {"codec": "libopus"},
        "a.webm": {"codec": "libopus"},
        "a.caf": {"codec": "pcm_s16be"},
        "a.aiff": {"codec": "pcm_s16be"},
        "a.mkv": {"codec": "pcm_s16le", "channels": 2},
        "a.flv": {"codec": "aac", "video": False},
        "a.mp4": {"codec": "aac", "video": True},
    }
    seeds = []
    for name, options in kinds.items():
        channels = np.tile(noise, (options.pop("channels", 1), 1))  # type: ignore[arg-type]
        file = write_media(folder / name, channels, 16_000, **options)  # type: ignore[arg-type]
        seeds.append(file.read_bytes())

    def read(path: Path) -> object:  # noise is heard too, so that every seed is valid
        return audio_io.decode(path.read_bytes(), speech_only=False)

    return Target(read, seeds, damaged_bytes)


def speech(folder: Path) -> Target:
    """The same reader with the search for speech, on a voice that is synthetic."""
    from media import EXAMPLES, write_media

    from speech2face.audio import io as audio_io
    from speech2face.audio import sound_file

    sound_file.MAX_CPU_SECONDS = 5.0
    voice = audio_io.decode(EXAMPLES / "slt.ogg").waveform[: 4 * 16_000]
    kinds = {
        "a.wav": {},
        "float.wav": {"codec": "pcm_f32le"},
        "a.flac": {"codec": "flac"},
        "a.m4a": {"codec": "aac"},
        "a.ogg": {"codec": "libopus"},
    }
    seeds = [
        write_media(folder / name, voice, 16_000, **options).read_bytes()  # type: ignore[arg-type]
        for name, options in kinds.items()
    ]
    return Target(lambda path: audio_io.decode(path.read_bytes()), seeds, damaged_bytes)


def photo(folder: Path) -> Target:
    from PIL import Image

    from speech2face.face.image import open_image

    colours = np.random.default_rng(0).integers(0, 256, (40, 48, 4), dtype=np.uint8)
    rgba = Image.fromarray(colours)
    rgb = rgba.convert("RGB")
    mark = Image.Exif()
    mark[0x0112] = 6
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (rgb, "JPEG", {"exif": mark}),
        (rgb, "JPEG", {"progressive": True}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgba, "PNG", {"exif": mark}),
        (rgb.convert("P"), "PNG", {"transparency": 3}),
        (rgb.convert("I;16"), "PNG", {}),
        (rgba, "WEBP", {}),
        (rgb, "BMP", {}),
        (rgb.convert("P"), "GIF", {}),
        (rgb, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (rgb.convert("LA"), "TIFF", {"compression": "tiff_deflate"}),
        (rgb.convert("1"), "TIFF", {"compression": "group4"}),
        (rgb, "PPM", {}),
    ]
    seeds = []
    for number, (picture, kind, options) in enumerate(kinds):
        picture.save(folder / str(number), kind, **options)
        seeds.append((folder / str(number)).read_bytes())
    return Target(open_image, seeds, damaged_bytes)


def manifest(_: Path) -> Target:
    from speech2face.data.manifest import read_manifest

    one = b'{"id": "a", "person": "p", "voice": "a.ogg", "seconds": 3.5, "split": "train"}\n'
    two = (
        b'{"id": "b", "person": "q", "voice": "b.ogg", "face": "b.jpg", "labels": '
        b'{"gender": "female"}, "teachers": {"t": "t.jpg"}, "video": "v"}\n'
    )
    return Target(read_manifest, [one + two], damaged_json)


def labels_csv(_: Path) -> Target:
    from speech2face.evaluation.features import Labels

    def read(path: Path) -> object:
        return Labels.read(path).column("gender", ["a", "b"])

    seed = b'id,gender,age\na,female,31\nb,"ma""le,\n",\n'
    return Target(read, [seed], damaged_text, "labels.csv")


def labels_jsonl(_: Path) -> Target:
    from speech2face.evaluation.features import Labels

    def read(path: Path) -> object:
        return Labels.read(path).column("gender", ["a", "b"])

    return Target(read, [b'{"id": "a", "gender": "x", "age": 3}\n{"id": "b"}\n'], damaged_json)


def landmarks(_: Path) -> Target:
    from speech2face.face.landmarks import read_landmarks

    points = b"[" + b", ".join([b"[1.5, 20]"] * 68) + b"]"
    return Target(read_landmarks, [points], damaged_json)


def features(folder: Path) -> Target:
    from speech2face.evaluation.features import FeatureSet, Provenance

    values = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    names = np.array(["a", "b", "c"])
    provenance = Provenance("m", "0" * 64, "dlib", 1.0, 6.0)
    FeatureSet(names, np.array(["p", "p", "q"]), values, provenance).save(folder / "f")
    damage = in_header(damaged_json, "speech2face")
    return Target(FeatureSet.load, [(folder / "f").read_bytes()], damage)


def photo_map(folder: Path) -> Target:
    from speech2face.inference.photo import PhotoMap, read_photo_map, write_photo_map

    made = PhotoMap(np.ones((3, 4), np.float32), np.ones(3, np.float32), "dlib", "0" * 64)
    write_photo_map(made, folder / "map")
    damage = in_header(damaged_json, "speech2face")
    return Target(read_photo_map, [(folder / "map").read_bytes()], damage)


def checkpoint(folder: Path) -> Target:
    import torch

    from speech2face.configuration import restored
    from speech2face.models.checkpoint import RECORD, Checkpoint, load_checkpoint, save_checkpoint
    from speech2face.models.voice_encoder import VoiceEncoderConfig

    home = folder / "run"
    modules = {"voice_encoder": {"a": torch.ones(2, 3), "b": torch.zeros(2)}}
    made = Checkpoint("paper voice encoder", VoiceEncoderConfig(), modules, metrics={"loss": 0.5})
    save_checkpoint(made, home)

    def read(path: Path) -> object:
        path.replace(home / RECORD)
        loaded = load_checkpoint(home)
        return restored(VoiceEncoderConfig, loaded.config, str(home))

    return Target(read, [(home / RECORD).read_bytes()], damaged_json)


def checkpoint_tensors(folder: Path) -> Target:
    import hashlib
    import json

    import torch

    from speech2face.models.checkpoint import RECORD, Checkpoint, load_checkpoint, save_checkpoint
    from speech2face.models.voice_encoder import VoiceEncoderConfig

    home = folder / "tensors"
    modules = {"voice_encoder": {"a": torch.ones(2, 3), "b": torch.zeros(2)}}
    save_checkpoint(Checkpoint("paper voice encoder", VoiceEncoderConfig(), modules), home)
    weights = next(home.glob("*.safetensors"))
    seed, record = weights.read_bytes(), (home / RECORD).read_text()
    digest = hashlib.sha256(seed).hexdigest()
    assert digest in record and json.loads(record)

    def read(path: Path) -> object:  # with the digest that the damaged file has
        content = path.read_bytes()
        weights.write_bytes(content)
        (home / RECORD).write_text(record.replace(digest, hashlib.sha256(content).hexdigest()))
        return load_checkpoint(home)

    return Target(read, [seed], damaged_bytes)


def settings(_: Path) -> Target:
    from speech2face.configuration import read_differences, with_differences
    from speech2face.training.config import FaceDecoderTraining, VoiceEncoderTraining

    def read(path: Path) -> object:
        differences = read_differences([path], [])
        kind = FaceDecoderTraining if "face" in path.read_text() else VoiceEncoderTraining
        return with_differences(kind(), differences, str(path))

    voice = b"clip_seconds = 3.0\n[model]\nchannels = [4, 4, 4, 4, 4, 8, 8, 8, 8]\n[lambdas]\n"
    voice += b"feature = 1.0\n[adam]\nbeta1 = 0.4\n"
    face = b"# face\n[plan]\ntotal_samples = 800\nseed = 3\n[adam]\ndecay = 0.9\n"
    return Target(read, [voice, face], damaged_text, "a.toml")


def vgg_face(folder: Path) -> Target:
    from safetensors.torch import save_file

    from speech2face.face.vgg_face import (
        METADATA_KEY,
        VGGFace,
        VGGFaceConfig,
        header_of,
        load_vgg_face,
    )

    config = VGGFaceConfig(widths=(1, 1, 1, 1, 1), hidden=2, n_identities=2, image_size=32)
    save_file(VGGFace(config).state_dict(), folder / "v", metadata=header_of(config))
    damage = in_header(damaged_json, METADATA_KEY)
    return Target(load_vgg_face, [(folder / "v").read_bytes()], damage)


def weights(folder: Path) -> Target:
    import torch
    from scipy.io import savemat

    from speech2face.face.vgg_face import VGGFace, VGGFaceConfig
    from speech2face.face.vgg_face_convert import convert

    config = VGGFaceConfig(widths=(1, 1, 1, 1, 1), hidden=2, n_identities=2, image_size=32)
    state = VGGFace(config).state_dict()
    torch.save(state, folder / "new")
    torch.save(state, folder / "old", _use_new_zipfile_serialization=False)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    np.savez(folder / "a.npz", **arrays)
    cells = np.empty((1, 2), dtype=object)
    cells[0, :] = [{"name": "conv1_1", "weights": np.ones((3, 3, 3, 1))}, {"name": "relu"}]
    savemat(folder / "a.mat", {"layers": cells})
    seeds = [(folder / name).read_bytes() for name in ("new", "old", "a.npz", "a.mat")]
    out = folder / "converted"
    read = partial(convert, destination=out, config=config, overwrite=True)
    return Target(read, seeds, damaged_bytes)


def model(folder: Path) -> Target:
    import stand_in

    from speech2face.inference.pipeline import load_model

    hearing = stand_in.write_stand_in(folder / "model.onnx")
    drawing = next(file for file in folder.glob("model*.onnx") if file != hearing)
    seeds = [b"h" + hearing.read_bytes(), b"d" + drawing.read_bytes()]
    whole = {b"h": (hearing, hearing.read_bytes()), b"d": (drawing, drawing.read_bytes())}

    def damage(content: bytes, draw: random.Random) -> bytes:
        return content[:1] + damaged_bytes(content[1:], draw)

    def read(path: Path) -> object:
        content = path.read_bytes()
        for file, valid in whole.values():
            file.write_bytes(valid)
        whole[content[:1]][0].write_bytes(content[1:])
        return load_model(hearing)

    return Target(read, seeds, damage)


TARGETS: dict[str, Callable[[Path], Target]] = {
    make.__name__: make
    for make in (
        audio,
        speech,
        photo,
        manifest,
        labels_csv,
        labels_jsonl,
        landmarks,
        features,
        photo_map,
        checkpoint,
        checkpoint_tensors,
        settings,
        vgg_face,
        weights,
        model,
        *corpus_targets.MAKERS,
    )
}
SLOW = ("weights",)  # a process for each input
