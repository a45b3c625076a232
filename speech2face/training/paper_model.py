"""The paper's two trained networks as one model, from a voice to a face.

Each was trained separately on the features of one folder. The whole model also needs two things
from that folder: the mean face feature of the training clips, to which exaggeration refers, and the
spread of true faces around the prediction. The spread is measured on validation clips, because the
voice encoder has not learned from them.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from speech2face.audio.spectrogram import N_BINS, N_FRAMES, ComplexSpectrogram
from speech2face.data.talking_shards import open_voices
from speech2face.errors import Speech2FaceError
from speech2face.models.speech2face import FaceDrawing, Speech2Face
from speech2face.models.voice_encoder import VoiceEncoder
from speech2face.records import read_json_object
from speech2face.training.recipes.paper import Features, load_face_decoder, load_voice_encoder
from speech2face.training.tracking import CONFIG

SPREAD_SIZE = 64  # R: number of directions in which true faces differ most from predictions
SPREAD_CLIPS = 256  # clips for the spread; more would take minutes at the paper's full width
_BATCH = 8


def paper_model(voice_run: Path, face_run: Path, data: Path) -> Speech2Face:
    """Join a trained voice encoder and a trained face decoder.

    Args:
        voice_run: run directory of `speech2face train voice-encoder`.
        face_run: run directory of `speech2face train face-decoder`.
        data: the features that the voice encoder was trained on.

    Raises:
        Speech2FaceError: a folder has other content, or the three do not belong together.
    """
    encoder, decoder = load_voice_encoder(voice_run), load_face_decoder(face_run)
    if encoder.config.n_bins != N_BINS:
        problem = f"the voice encoder takes {encoder.config.n_bins} frequency bins"
        raise Speech2FaceError(problem, f"train one for {N_BINS}", str(voice_run))
    size = encoder.config.feature_size
    if decoder.config.feature_size != size:
        found = decoder.config.feature_size
        problem = f"the face decoder takes features of size {found}, not {size}"
        raise Speech2FaceError(problem, "train both on the same features", str(face_run))
    run = read_json_object(voice_run / CONFIG)
    name = str(run.get("settings", {}).get("face_feature", ""))
    train, val = open_voices(data, "train", name), open_voices(data, "val", name)
    learned_from = run.get("features")
    if learned_from != train.description:
        problem = "the voice encoder was trained on other features"
        raise Speech2FaceError(problem, "give the --data of its training", str(data))
    sums = [train.read("face_feature", rows).float().sum(dim=0) for rows in _batches(len(train))]
    mean_feature = torch.stack(sums).sum(dim=0) / len(train)  # [D]
    spread = spread_of(unexplained(encoder, val), SPREAD_SIZE)
    hears = nn.Sequential(ComplexSpectrogram(), encoder)
    return Speech2Face(hears, FaceDrawing(decoder, mean_feature, spread)).eval()


@torch.no_grad()
def unexplained(encoder: VoiceEncoder, features: Features) -> Tensor:
    """True minus predicted face features of M clips, evenly spaced in the list, `[M, D]`."""
    n_clips = min(len(features), SPREAD_CLIPS)
    chosen = [number * len(features) // n_clips for number in range(n_clips)]
    residuals = []
    for rows in _batches(n_clips):
        positions = [chosen[row] for row in rows]
        batch = features.voice_batch(positions, N_FRAMES).to(torch.device("cpu"))
        residuals.append(batch.face_feature - encoder(batch.spectrogram))  # [B, D]
    return torch.cat(residuals)


def spread_of(residuals: Tensor, size: int) -> Tensor:
    """S `[R, D]`, where S^T S is the covariance of residuals `[M, D]` in its R largest directions.

    R is `size`, or the rank that M residuals allow if that is smaller.
    """
    centred = (residuals - residuals.mean(dim=0)) / max(len(residuals) - 1, 1) ** 0.5
    _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
    factor: Tensor = (lengths[:, None] * directions)[:size]
    return factor.contiguous()


def _batches(n_rows: int) -> list[range]:
    return [range(start, min(start + _BATCH, n_rows)) for start in range(0, n_rows, _BATCH)]
