"""Four committed portraits of people who do not exist, and one detector for all tests here."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speech2face.face.detect import DlibDetector, LocatedFace
from speech2face.face.image import open_image

PORTRAITS = Path(__file__).resolve().parents[1] / "fixtures" / "portraits"


@pytest.fixture(scope="session")
def portraits() -> list[NDArray[np.uint8]]:
    """Four pictures, `[256, 256, 3]`; the second has a small face."""
    names = ("female_2", "female_5", "male_7", "male_12")
    return [open_image(PORTRAITS / f"{name}.jpg") for name in names]


@pytest.fixture(scope="session")
def detector() -> DlibDetector:
    pytest.importorskip("dlib", reason="the face extra is not installed")
    return DlibDetector()


@pytest.fixture(scope="session")
def located(portraits: list[NDArray[np.uint8]], detector: DlibDetector) -> list[LocatedFace]:
    return [detector.locate(image) for image in portraits]
