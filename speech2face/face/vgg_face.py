"""VGG-Face (Parkhi, Vedaldi and Zisserman, Deep Face Recognition, BMVC 2015): the paper's feature.

The weights are the user's: `face.vgg_face_convert` makes our file out of any of the public ones.
They were released for non-commercial research. Torch is needed here (extra `train`).
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from speech2face.configuration import require, require_sizes, restored
from speech2face.errors import Speech2FaceError
from speech2face.face.align import face_crop
from speech2face.face.detect import FaceDetector, LocatedFace
from speech2face.face.encoder import SeekingEncoder
from speech2face.face.image import RGBImage
from speech2face.records import parse_json_object

RGB_MEAN = (129.1863, 104.7624, 93.5940)  # levels of 0..255; no division by a spread
CONVOLUTIONS = (2, 2, 3, 3, 3)  # in the five blocks of VGG-16; each block ends in a 2 x 2 max pool
FULLY_CONNECTED = ("fc6", "fc7", "fc8")
N_PARAMETERS = 145_002_878  # of the published network
METADATA_KEY = "speech2face.vgg_face"  # in the safetensors header: JSON
CONVERT = "make the file with `speech2face convert-vgg-face`"

FeatureLayer = Literal["before_relu", "after_relu"]


@dataclass(frozen=True)
class VGGFaceConfig:
    """Sizes of the network; the defaults are the published one."""

    widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512)  # channels of each block
    hidden: int = 4096  # D: fc6 and fc7
    n_identities: int = 2622  # fc8
    image_size: int = 224  # pixels

    def __post_init__(self) -> None:
        require(len(self.widths) == len(CONVOLUTIONS), "widths", self.widths, "five")
        require_sizes(self, "widths", "hidden", "n_identities", "image_size")
        if self.image_size < 32 or self.image_size % 32:
            problem = f"VGG-Face for pictures of {self.image_size} pixels"
            raise Speech2FaceError(problem, "give a multiple of 32: five pools halve it")

    def layers(self) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
        """Name and kernel shape (out, in, height, width) of all sixteen layers, in order.

        A fully connected layer counts as a convolution over the whole map, as in MatConvNet.
        """
        channels = 3
        for block, (width, count) in enumerate(zip(self.widths, CONVOLUTIONS, strict=True), 1):
            for place in range(1, count + 1):
                yield f"conv{block}_{place}", (width, channels, 3, 3)
                channels = width
        side = self.image_size // 2 ** len(CONVOLUTIONS)  # 7 pixels
        yield "fc6", (self.hidden, channels, side, side)
        yield "fc7", (self.hidden, self.hidden, 1, 1)
        yield "fc8", (self.n_identities, self.hidden, 1, 1)


class VGGFace(nn.Module):
    """VGG-16 with 2622 identities. Input: RGB levels 0..255, `[B, 3, 224, 224]`.

    `feature` says which fc7 is the face feature. The paper calls it the penultimate layer and is
    silent about the ReLU that follows. The default is before it, for two reasons, neither a proof:
    the voice encoder that predicts it ends without activation (Table 1), and the published L1/L2
    of 52 is that of a dense difference, while after the ReLU most entries are zero.
    """

    def __init__(
        self, config: VGGFaceConfig | None = None, *, feature: FeatureLayer = "before_relu"
    ) -> None:
        super().__init__()
        if feature not in get_args(FeatureLayer):
            raise Speech2FaceError(f"feature {feature!r}", f"choose from {get_args(FeatureLayer)}")
        self.config = config or VGGFaceConfig()
        self.feature = feature
        for name, (n_out, n_in, height, width) in self.config.layers():
            if name in FULLY_CONNECTED:
                layer: nn.Module = nn.Linear(n_in * height * width, n_out)
            else:
                layer = nn.Conv2d(n_in, n_out, kernel_size=3, padding=1)
            self.add_module(name, layer)  # the names of the public files

    def face_feature(self, images: Tensor) -> Tensor:
        """fc7, `[B, 3, 224, 224]` RGB levels 0..255 to `[B, 4096]`, before or after its ReLU."""
        mean = images.new_tensor(RGB_MEAN)[:, None, None]  # [3, 1, 1]
        maps = images - mean  # [B, 3, H, W]
        for block, count in enumerate(CONVOLUTIONS, 1):
            for place in range(1, count + 1):
                maps = F.relu(self.get_submodule(f"conv{block}_{place}")(maps))
            maps = F.max_pool2d(maps, 2)  # [B, C, H / 2**block, W / 2**block]
        hidden = F.relu(self.get_submodule("fc6")(maps.flatten(1)))  # [B, D]; C x H x W order
        feature: Tensor = self.get_submodule("fc7")(hidden)  # [B, D]
        return F.relu(feature) if self.feature == "after_relu" else feature

    def logits(self, face_feature: Tensor) -> Tensor:
        """fc8, f_VGG of Eq. (1): `[B, 4096]` to `[B, 2622]`, with fc7's ReLU if it is still due."""
        hidden = F.relu(face_feature) if self.feature == "before_relu" else face_feature
        logits: Tensor = self.get_submodule("fc8")(hidden)  # [B, 2622]
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the identities, `[B, 3, 224, 224]` to `[B, 2622]`. No dropout: it is frozen."""
        return self.logits(self.face_feature(images))


class VGGFaceEncoder(SeekingEncoder):
    """fc7 of VGG-Face on the loose crop of the paper, a `FaceEncoder` of 4096-D."""

    def __init__(
        self, network: VGGFace, detector: FaceDetector | None = None, *, batch_size: int = 8
    ) -> None:
        super().__init__(detector)
        self.network = network
        self.batch_size = batch_size
        self.name = f"vgg_face_fc7_{network.feature}"
        self.size = network.config.hidden

    @torch.inference_mode()
    def encode_located(
        self, images: Sequence[RGBImage], located: Sequence[LocatedFace]
    ) -> NDArray[np.float32]:
        """Face features `[B, 4096]` of faces already located by their 68 landmarks."""
        side = self.network.config.image_size
        pairs = zip(images, located, strict=True)
        crops = [torch.from_numpy(face_crop(image, face, size=side)) for image, face in pairs]
        features = np.empty((len(crops), self.size), dtype=np.float32)
        weight = next(self.network.parameters())
        for start in range(0, len(crops), self.batch_size):
            rows = slice(start, start + self.batch_size)
            batch = torch.stack(crops[rows]).permute(0, 3, 1, 2).to(weight)  # [b, 3, H, W]
            features[rows] = self.network.face_feature(batch).float().cpu().numpy()
        return features  # [B, 4096]


def header_of(config: VGGFaceConfig, **origin: str) -> dict[str, str]:
    """Metadata of the safetensors file: the sizes of the network and where its weights are from."""
    return {METADATA_KEY: json.dumps({"format": 1, "config": asdict(config), **origin})}


def load_vgg_face(
    path: str | os.PathLike[str], *, feature: FeatureLayer = "before_relu"
) -> VGGFace:
    """The frozen network from a file that `vgg_face_convert` wrote.

    Raises:
        Speech2FaceError: missing, no safetensors file, or one of another network.
    """
    name = os.fspath(path)
    try:
        with safe_open(name, framework="pt") as file:
            header = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise Speech2FaceError(f"cannot be read as weights ({error})", CONVERT, name) from error
    if header is None:
        raise Speech2FaceError("these are not VGG-Face weights", CONVERT, name)
    with torch.device("meta"):  # no memory and no random numbers for what is replaced at once
        network = VGGFace(_config_from(header, name), feature=feature)
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise Speech2FaceError("weights do not fit the header", CONVERT, name) from error
    return network.requires_grad_(False).eval()


def _config_from(header: str, name: str) -> VGGFaceConfig:
    said = parse_json_object(header, name, remedy=CONVERT, part="its header")
    return restored(VGGFaceConfig, said.get("config"), name)
