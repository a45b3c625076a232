"""The paper's encoder, narrow, learns eight voices by heart: from 16-bit sound to unit cosine."""

import numpy as np
import pytest
import torch

from speech2face.audio.segment import tile_or_cut
from speech2face.audio.wav import FULL_SCALE
from speech2face.data.invented import speak, traits_of
from speech2face.data.talking_shards import SoundBatch
from speech2face.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig
from speech2face.training.config import AdamConfig, Lambdas, Plan
from speech2face.training.state import start_state
from speech2face.training.step import VoiceTerms, voice_encoder_step

N_CLIPS, FEATURE_SIZE = 8, 64
N_SAMPLES = 400 + 297 * 160  # 298 frames
NARROW = VoiceEncoderConfig(channels=(8, 8, 8, 8, 8, 16, 16, 16, 16), feature_size=FEATURE_SIZE)
TERMS = VoiceTerms(Lambdas(decoder=0, feature=1, distillation=0))


@pytest.mark.slow
def test_the_papers_encoder_overfits_eight_clips_to_a_cosine_above_99_percent() -> None:
    voices = [speak(traits_of(n), 3.0, np.random.default_rng(n)) for n in range(N_CLIPS)]
    sound = np.stack([tile_or_cut(voice, N_SAMPLES) for voice in voices])
    levels = torch.from_numpy(np.rint(sound * FULL_SCALE).astype(np.int16))
    target = torch.randn(N_CLIPS, FEATURE_SIZE, generator=torch.Generator().manual_seed(0))
    batch = SoundBatch(levels, target).to(torch.device("cpu"))
    torch.manual_seed(0)
    encoder = VoiceEncoder(NARROW)
    adam = AdamConfig(learning_rate=3e-3)
    modules = {"voice_encoder": encoder}
    state = start_state("paper voice encoder", NARROW, modules, adam, Plan(batch_size=N_CLIPS))
    first = voice_encoder_step(state, [batch], TERMS)["feature"]
    for _ in range(120):
        last = voice_encoder_step(state, [batch], TERMS)["feature"]
    with torch.no_grad():
        cosine = torch.nn.functional.cosine_similarity(encoder(batch.spectrogram), target)  # [8]
    assert first > 1.5  # unrelated at the beginning
    assert last < 2 - 2 * 0.99 and cosine.min() > 0.99
