"""The whole model in the two parts that are exported: one hears (voice), one draws (face)."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder
from speech2face.models.face_decoder import WarpingFaceDecoder


class DrawnFaces(NamedTuple):
    """Outputs of the exported face graph, in its order."""

    image: Tensor  # [N, 3, 224, 224], RGB in 0..1
    landmarks: Tensor  # [N, 68, 2], pixels, (x, y)
    feature: Tensor  # [N, D]: v', as the decoder received it


class FaceDrawing(nn.Module):
    """v' = mean + (1 + alpha) (v_s - mean) + draw S, decoded to a face.

    Args:
        face_decoder: face features to faces.
        mean_feature: feature of the mean training face, `[D]`: where alpha = -1 leads.
        spread: S, `[R, D]`, a factor of the covariance of true faces around the predicted one,
            so that standard normal draws give equally likely faces.
    """

    mean_feature: Tensor
    spread: Tensor

    def __init__(
        self, face_decoder: WarpingFaceDecoder, mean_feature: Tensor, spread: Tensor
    ) -> None:
        super().__init__()
        self.face_decoder = face_decoder
        self.register_buffer("mean_feature", mean_feature)
        self.register_buffer("spread", spread)

    def forward(self, feature: Tensor, exaggeration: Tensor, draw: Tensor) -> DrawnFaces:
        """Faces of features `[N, D]`, at `exaggeration [N]` (alpha) and `draw [N, R]`."""
        deviation = (1.0 + exaggeration)[:, None] * (feature - self.mean_feature)  # [N, D]
        moved = self.mean_feature + deviation + draw @ self.spread  # [N, D]
        decoded = self.face_decoder(moved)
        return DrawnFaces(decoded.image, decoded.landmarks, moved)


class Speech2Face(nn.Module):
    """A voice encoder and what draws the faces of its features.

    Args:
        hears: waveforms `[B, L]` to face features v_s `[B, D]`.
        draws: face features to faces.
    """

    def __init__(self, hears: nn.Module, draws: FaceDrawing) -> None:
        super().__init__()
        self.hears, self.draws = hears, draws

    @property
    def feature_size(self) -> int:
        """D."""
        return len(self.draws.mean_feature)

    @property
    def draw_size(self) -> int:
        """R."""
        return len(self.draws.spread)

    @property
    def descriptor_sizes(self) -> tuple[int, ...]:
        """Sizes of the parts in which a compact voice encoder describes a voice; else none."""
        hears = self.hears
        return hears.config.heard_sizes if isinstance(hears, CompactVoiceEncoder) else ()

    def forward(self, waveform: Tensor, exaggeration: Tensor, draw: Tensor) -> DrawnFaces:
        """Faces of waveforms `[B, L]`, at `exaggeration [B]` (alpha) and `draw [B, R]`."""
        faces: DrawnFaces = self.draws(self.hears(waveform), exaggeration, draw)
        return faces


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
