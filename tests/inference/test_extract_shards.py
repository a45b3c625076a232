"""Extraction from prepared shards: what a manifest of the same clips gives, on every runner."""

import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import talking
from hostile_work import RUNNERS
from media import EXAMPLES
from PIL import Image

from speech2face.audio.io import decode
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.cli.main import main
from speech2face.data.manifest import write_manifest
from speech2face.data.prepared import open_prepared, read_clips
from speech2face.data.sample import Sample
from speech2face.data.store import Rejected
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet
from speech2face.inference.extract_shards import extract_shards, prepared_items
from speech2face.inference.extraction_run import FEATURES
from speech2face.inference.extractor_choice import ExtractorChoice

RAY = pytest.param("ray", marks=pytest.mark.slow)  # a cluster needs ten seconds to start
SILENT, LEFT_OUT = 4, 6
PORTRAITS = Path(__file__).parents[1] / "fixtures" / "portraits"


def spoken(number: int, *, silent: int | None = SILENT) -> dict[str, np.ndarray | bytes] | Rejected:
    """A clip with real speech; one is silent, and one was left out by the preparation."""
    if number == LEFT_OUT:
        return Rejected("no_face", "none")
    voice = sorted(EXAMPLES.glob("*.ogg"))[number % 4]
    waveform = decode(voice, speech_only=False).waveform[number * 1000 : (3 + number) * SAMPLE_RATE]
    levels = np.rint(waveform * 32767).astype("<i2")
    about = {"id": f"clip/{number}", "person": f"person {number // 2}"}
    return talking.record(number) | {
        "wav": talking.wav(0 * levels if number == silent else levels),
        "json": json.dumps(about).encode(),
    }


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talking.write(tmp_path_factory.mktemp("shards") / "prepared", spoken)


def extracted(shards: Path, model: Path | str, out: Path, runner: str = "serial") -> FeatureSet:
    choice = ExtractorChoice(model=str(model)).for_workers()
    items = prepared_items(shards, choice)
    return extract_shards(items, choice, out, RUNNERS[runner], shard_size=2)


def content(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_shards_give_what_a_manifest_of_the_same_sounds_gives(
    shards: Path, stand_in_model: Path, tmp_path: Path
) -> None:
    features = extracted(shards, stand_in_model, tmp_path / "out")
    store = open_prepared(shards)
    samples = []
    for clip in read_clips(shards / "clips.jsonl"):
        if clip.rejected is None:
            voice = tmp_path / f"{len(samples)}.wav"
            voice.write_bytes(store.content(clip.key, "wav"))
            samples.append(Sample(id=voice.stem, person=f"person {len(samples) // 2}", voice=voice))
    write_manifest(tmp_path / "clips.jsonl", samples)
    line = ["extract", str(stand_in_model), str(tmp_path / "clips.jsonl"), str(tmp_path / "one")]
    assert main(line) == 1  # the silent clip
    alone = FeatureSet.load(tmp_path / "one" / FEATURES)
    assert features.ids.tolist() == [f"clip/{row}" for row in range(6) if row != SILENT]
    assert features.ids.tolist() == [f"clip/{name}" for name in alone.ids]
    assert features.persons.tolist() == alone.persons.tolist()
    np.testing.assert_allclose(features.values, alone.values, rtol=1e-4)  # 32,767 or 32,768
    assert features.provenance == alone.provenance
    told = [json.loads((tmp_path / name / "extract.json").read_text()) for name in ("out", "one")]
    assert [record["rejected"] for record in told] == [
        {f"{before}{SILENT}": told[1]["rejected"][str(SILENT)]} for before in ("clip/", "")
    ]


@pytest.mark.parametrize("runner", ["processes", RAY])
def test_every_runner_gives_the_same_bytes(
    runner: str, shards: Path, stand_in_model: Path, tmp_path: Path
) -> None:
    extracted(shards, stand_in_model, tmp_path / "one")
    extracted(shards, stand_in_model, tmp_path / "many", runner)
    assert content(tmp_path / "many") == content(tmp_path / "one")


def test_what_is_whole_is_not_extracted_again(
    shards: Path, stand_in_model: Path, tmp_path: Path
) -> None:
    extracted(shards, stand_in_model, tmp_path / "out")
    before = content(tmp_path / "out")
    lost = tmp_path / "out" / "clips" / "shard-00001.json"
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "clips").iterdir()}
    extracted(shards, stand_in_model, tmp_path / "out")
    after = content(tmp_path / "out")
    assert after == before
    written = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert written == {"shard-00001.tar"}


def test_the_command_extracts_halves_of_one_split_in_several_processes(
    shards: Path, stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["extract", str(stand_in_model), str(shards), str(tmp_path), "--split", "val"]
    assert main([*line, "--halves", "--runner", "processes", "--workers", "2"]) == 0
    assert "2 of 2 clips" in capsys.readouterr().out
    assert FeatureSet.load(tmp_path / FEATURES).ids.tolist() == ["clip/2_half1", "clip/2_half2"]


def test_a_recogniser_reads_the_prepared_faces_at_their_landmarks(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    from speech2face.face.detect import DlibDetector
    from speech2face.face.encoder import DlibFaceEncoder
    from speech2face.face.image import open_image

    images = [open_image(PORTRAITS / name) for name in ("female_2.jpg", "male_12.jpg")]
    located = [DlibDetector().locate(image) for image in images]

    def seen(number: int) -> dict[str, np.ndarray | bytes] | Rejected:
        file = io.BytesIO()
        Image.fromarray(images[number % 2]).save(file, "PNG")  # without loss, for the comparison
        pictured = {"jpg": file.getvalue(), "landmarks": located[number % 2].landmarks}
        return {**spoken(0), **pictured}  # type: ignore[dict-item]

    shards = talking.write(tmp_path / "prepared", seen)
    features = extracted(shards, "dlib", tmp_path / "out")
    expected = DlibFaceEncoder().encode_located(images, located)
    np.testing.assert_array_equal(features.values[:2], expected)
    assert not any("png" in name for name in content(tmp_path / "out"))


def test_a_damaged_shard_is_one_clear_error(
    shards: Path, stand_in_model: Path, tmp_path: Path
) -> None:
    folder = talking.write(tmp_path / "prepared", partial(spoken, silent=None))
    tar = folder / "shard-00001.tar"
    tar.write_bytes(bytes(tar.stat().st_size))
    with pytest.raises(Speech2FaceError, match="is damaged|not JSON"):
        extracted(folder, stand_in_model, tmp_path / "out")
    assert not (tmp_path / "out" / FEATURES).exists()


def test_options_that_do_not_fit_are_refused_in_one_line(
    shards: Path, stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(
        tmp_path / "clips.jsonl", [Sample(id="a", person="a", voice=EXAMPLES / "slt.ogg")]
    )
    line = ["extract", str(stand_in_model), str(tmp_path / "clips.jsonl"), str(tmp_path / "out")]
    assert main([*line, "--runner", "processes"]) == 1
    assert "no folder of clips that were prepared" in capsys.readouterr().err
    line = ["extract", "dlib", str(shards), str(tmp_path / "out")]
    assert main([*line, "--pictures", "canonical"]) == 1
    assert "have no pictures 'canonical'" in capsys.readouterr().err
    line = ["extract", str(stand_in_model), str(shards), str(tmp_path / "out")]
    assert main([*line, "--split", "test"]) == 1
    assert "no prepared clips of split test" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
