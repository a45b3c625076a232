"""A run directory belongs to one training at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from speech2face.errors import Speech2FaceError
from speech2face.training.tracking import Run


def test_a_run_directory_into_which_another_process_trains_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from speech2face.training.tracking import Run\n"
        "with Run(Path(sys.argv[1])).held():\n"
        "    print('ready', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        with pytest.raises(Speech2FaceError, match="another process"), Run(tmp_path).held():
            pass
        with Run(tmp_path, is_written=False).held():  # a further rank of the same training
            pass
        other.kill()
    with Run(tmp_path).held():
        pass
