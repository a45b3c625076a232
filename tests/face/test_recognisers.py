"""The recognisers by the names of the command line."""

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from speech2face.errors import Speech2FaceError
from speech2face.face.recognisers import (
    RECOGNISERS,
    WITHOUT_WEIGHTS,
    RecogniserName,
    load_recogniser,
)


def test_every_name_is_a_recogniser_and_no_two_share_a_feature() -> None:
    assert get_args(RecogniserName) == RECOGNISERS and set(WITHOUT_WEIGHTS) < set(RECOGNISERS)
    picture = np.full((60, 60, 3), 128, np.uint8)
    encoders = [load_recogniser(name) for name in WITHOUT_WEIGHTS]
    assert len({encoder.name for encoder in encoders}) == len(encoders)
    for encoder in encoders:
        assert encoder.encode([picture]).shape == (1, encoder.size)


def test_a_recogniser_without_its_weights_names_the_option_that_gives_them() -> None:
    with pytest.raises(Speech2FaceError, match="needs its weights; add --vgg-face FILE"):
        load_recogniser("vgg-face")


def test_the_names_are_known_before_anything_heavy_is_imported() -> None:
    code = "import sys, speech2face.face.recognisers; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
