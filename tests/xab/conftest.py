"""An experiment with drawn people, which tests of this folder copy before they answer it."""

import shutil
from pathlib import Path

import pytest
from xab_people import drawn_experiment

from speech2face.xab.experiment import Experiment, open_experiment
from speech2face.xab.trials import Design


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Four lists of sixteen trials; nobody has answered."""
    design = Design(lists=4, trials=16, checks=2, seconds=1.0)
    return drawn_experiment(tmp_path_factory.mktemp("drawn"), design, persons=48)


@pytest.fixture
def experiment(drawn: Experiment, tmp_path: Path) -> Experiment:
    """A copy of it."""
    shutil.copytree(drawn.folder, tmp_path / "experiment")
    return open_experiment(tmp_path / "experiment")
