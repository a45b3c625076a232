"""Time and memory of a face from a voice, beside the paper's voice encoder in the same runtime.

    python benchmarks/inference.py [--model M] [--without-paper]     one JSON record a line

Measured: a warm reconstruction of six seconds, with and without four further faces, and its parts;
the whole command from a cold start, a process each time, with the memory that it took at most; the
paper's spectrogram and voice encoder (random weights: they cost the same), exported to ONNX and run
by onnxruntime with as many threads.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import measure

import speech2face
from speech2face.audio.io import decode
from speech2face.audio.segment import N_SAMPLES, tile_or_cut
from speech2face.audio.spectrogram import ComplexSpectrogram
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.models.voice_encoder import VoiceEncoder
from speech2face.onnx_runtime import load_onnxruntime

THREADS = 2
VOICE = Path(__file__).resolve().parent.parent / "examples" / "rms.ogg"

# A process between us and the command: what the system says of a child's memory counts the memory
# of the process that started it, and ours holds torch.
LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def cold_start(model: str | None) -> dict[str, Any]:
    """The command on one voice, from nothing to the written image."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "speech2face", "reconstruct", str(VOICE), "--out", out]
        command += ["--force", *(["--model", model] if model else [])]

        launched = [sys.executable, "-c", LAUNCHER, *command]
        finished = subprocess.run(launched, check=True, capture_output=True, text=True)
        peak_mib = int(finished.stdout) / 1024  # Linux counts in KiB
        return measure(
            "command, cold start",
            lambda: subprocess.run(command, check=True, capture_output=True),
            shape=decode(VOICE).waveform.shape,
            threads=THREADS,
            repeats=9,
            peak_mib=peak_mib,
        )


def warm(model: str | None) -> None:
    """Faces of a pipeline that is open: six seconds of samples to images, whole and in parts."""
    pipeline = speech2face.load_model(model, threads=THREADS)
    waveform = tile_or_cut(decode(VOICE).waveform, N_SAMPLES)
    feature = pipeline.hear(waveform, sample_rate=SAMPLE_RATE)
    options: dict[str, Any] = {
        "shape": waveform.shape,
        "threads": THREADS,
        "repeats": 100,
        "model_sha256": pipeline.card.sha256,
    }
    one, five = (
        measure(
            f"reconstruct 6 s, warm, {pipeline.card.name}, {draws} further faces",
            lambda: pipeline.reconstruct(waveform, sample_rate=SAMPLE_RATE, draws=draws),  # noqa: B023
            **options,
        )
        for draws in (0, 4)
    )
    print(json.dumps({"name": "4 further faces", "times_one": five["median_s"] / one["median_s"]}))
    real_time(pipeline)
    measure("hear 6 s", lambda: pipeline.hear(waveform, sample_rate=SAMPLE_RATE), **options)
    measure("draw one face", lambda: pipeline.draw(feature), **options)


def real_time(pipeline: speech2face.Pipeline) -> None:
    """What `stream` costs: time for each second of sound; below 1 it keeps up."""
    waveform = np.tile(decode(VOICE, speech_only=False).waveform, 6)[: 40 * SAMPLE_RATE]
    blocks = np.array_split(waveform, 400)
    started = time.perf_counter()
    n_faces = sum(1 for _ in pipeline.stream(blocks, SAMPLE_RATE))
    factor = (time.perf_counter() - started) / (len(waveform) / SAMPLE_RATE)
    record = {"name": "stream 40 s", "faces": n_faces, "threads": THREADS}
    print(json.dumps({**record, "real_time_factor": factor}), flush=True)


def paper_encoder() -> dict[str, Any]:
    """Waveform to face feature by the paper's front end and Table 1, for comparison."""
    waveform = tile_or_cut(decode(VOICE).waveform, N_SAMPLES)[None]  # [1, 96000]: 598 frames
    with exported_paper_encoder() as session:
        return measure(
            "the paper's voice encoder 6 s, warm, onnxruntime",
            lambda: session.run(None, {"waveform": waveform}),
            shape=waveform.shape,
            threads=THREADS,
            repeats=7,
        )


@contextmanager
def exported_paper_encoder() -> Iterator[Any]:
    """A session over the exported network; its file of 600 MB is gone afterwards."""
    onnxruntime = load_onnxruntime()
    torch.manual_seed(0)
    network = torch.nn.Sequential(ComplexSpectrogram(), VoiceEncoder()).eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer remarks that sizes become constants
        file = f"{folder}/paper.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(1, N_SAMPLES),),
            file,
            input_names=["waveform"],
            dynamo=False,
            opset_version=17,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        yield onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="exported model file (default: the embedded one)")
    parser.add_argument("--without-paper", action="store_true", help="skip the paper's encoder")
    arguments = parser.parse_args()
    cold_start(arguments.model)
    warm(arguments.model)
    if not arguments.without_paper:
        paper_encoder()


if __name__ == "__main__":
    main()
