"""Speech2Face whole: waveform in, face out. This module is what is exported."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder
from speech2face.models.face_decoder import WarpingFaceDecoder


class FaceFromSpeech(NamedTuple):
    """Outputs of the exported graph, in its order."""

    image: Tensor  # [B, 3, 224, 224], RGB in 0..1
    feature: Tensor  # [B, D]: v_s as the decoder received it
    landmarks: Tensor  # [B, 68, 2], pixels, (x, y)


class Speech2Face(nn.Module):
    """v' = mean + (1 + alpha) (v_s - mean) + draw S, decoded to a face.

    Args:
        voice_encoder: waveforms `[B, L]` to face features `[B, D]`.
        face_decoder: face features to faces.
        mean_feature: feature of the mean training face, `[D]`: where alpha = -1 leads.
        spread: S, `[R, D]`, a factor of the covariance of true faces around the predicted one,
            so that standard normal draws give equally likely faces.
    """

    mean_feature: Tensor
    spread: Tensor

    def __init__(
        self,
        voice_encoder: nn.Module,
        face_decoder: WarpingFaceDecoder,
        mean_feature: Tensor,
        spread: Tensor,
    ) -> None:
        super().__init__()
        self.voice_encoder, self.face_decoder = voice_encoder, face_decoder
        self.register_buffer("mean_feature", mean_feature)
        self.register_buffer("spread", spread)

    def forward(self, waveform: Tensor, exaggeration: Tensor, draw: Tensor) -> FaceFromSpeech:
        """Faces of waveforms `[B, L]`, at `exaggeration [1]` (alpha) and `draw [B, R]`."""
        deviation = self.voice_encoder(waveform) - self.mean_feature  # [B, D]
        feature = self.mean_feature + (1.0 + exaggeration) * deviation + draw @ self.spread
        decoded = self.face_decoder(feature)
        return FaceFromSpeech(decoded.image, feature, decoded.landmarks)


def load_speaker_encoder(state: Mapping[str, Tensor], voice_encoder: CompactVoiceEncoder) -> None:
    """Copy the pretrained trunk, weights of `Campplus`, into a compact voice encoder.

    Raises:
        Speech2FaceError: names or shapes are not those of the trunk.
    """
    try:
        voice_encoder.trunk.load_state_dict(state)
    except RuntimeError as other:  # torch's word for missing names and other shapes
        problem = "the weights are not those of the speaker encoder"
        raise Speech2FaceError(problem, "give what read_speaker_encoder returns") from other
