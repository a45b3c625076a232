"""Records of checkpoints that somebody has changed: a result, or one clear error."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speech2face.configuration import restored, to_json, with_differences
from speech2face.errors import Speech2FaceError
from speech2face.models.canonical_decoder import CanonicalFaceDecoder
from speech2face.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.speech2face import FaceDrawing, Speech2Face
from speech2face.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig
from speech2face.training.config import FaceDecoderTraining, VoiceEncoderTraining
from speech2face.training.recipes.embedded import EmbeddedConfig, embedded_of
from speech2face.training.recipes.paper import face_decoder_of, voice_encoder_of

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "fuzz"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([0, -1, 2**31, 2**63, 10**30, 1e308, "1", "weights", "../weights"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip
ENCODER = VoiceEncoderConfig(channels=(2,) * 9, n_bins=40, feature_size=4)
DECODER = FaceDecoderConfig(
    feature_size=4, hidden_size=5, n_landmarks=6, landmark_widths=(3,), base_size=4, channels=(2, 2)
)
EMBEDDED = EmbeddedConfig(n_face=3, n_surround=1)
RESTORE: dict[str, Callable[[Checkpoint, str], object]] = {
    "paper voice encoder": voice_encoder_of,
    "paper face decoder": face_decoder_of,
    "embedded": embedded_of,
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole checkpoint of every family."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    speech2face = Speech2Face(
        CompactVoiceEncoder(EMBEDDED.encoder),
        FaceDrawing(CanonicalFaceDecoder(EMBEDDED.decoder), torch.zeros(4), torch.eye(4)),
    )
    photo = {"weight": torch.zeros(4, 128), "bias": torch.zeros(4)}
    encoder, decoder = VoiceEncoder(ENCODER), FaceDecoder(DECODER)
    embedded = {"speech2face": speech2face.state_dict(), "photo_map": photo}
    whole = [
        Checkpoint("paper voice encoder", ENCODER, {"voice_encoder": encoder.state_dict()}),
        Checkpoint("paper face decoder", DECODER, {"face_decoder": decoder.state_dict()}),
        Checkpoint("embedded", EMBEDDED, embedded),
    ]
    for checkpoint in whole:
        save_checkpoint(checkpoint, folder / checkpoint.family)
    return {checkpoint.family: folder / checkpoint.family for checkpoint in whole}


def restore(folder: Path, family: str) -> object:
    return RESTORE[family](load_checkpoint(folder), str(folder))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a record is, nested ones too."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


@pytest.mark.parametrize("family", RESTORE)
def test_a_whole_checkpoint_is_restored(family: str, checkpoints: dict[str, Path]) -> None:
    assert restore(checkpoints[family], family) is not None


@pytest.mark.parametrize("family", RESTORE)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_json_in_any_field_is_a_result_or_one_error(
    family: str, data: st.DataObject, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / family
    if not folder.exists():
        shutil.copytree(checkpoints[family], folder)
    record = json.loads((checkpoints[family] / "checkpoint.json").read_text())
    path = data.draw(st.sampled_from(list(places(record))))
    parent = record
    for key in path[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[path[-1]] = data.draw(ANY_JSON)
    else:
        del parent[path[-1]]
    (folder / "checkpoint.json").write_text(json.dumps(record))
    try:
        restore(folder, family)
    except Speech2FaceError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("config", [VoiceEncoderTraining(), FaceDecoderTraining(), EMBEDDED])
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_of_any_setting_is_a_result_or_one_error(
    config: Any, data: st.DataObject
) -> None:
    values = to_json(config)
    path = data.draw(st.sampled_from(list(places(values))))
    parent = values
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = data.draw(ANY_JSON)
    for read in (lambda: restored(type(config), values), lambda: with_differences(config, values)):
        with suppress(Speech2FaceError):
            assert to_json(read()) is not None


def test_a_record_must_hold_every_setting() -> None:
    values = to_json(DECODER)
    assert restored(FaceDecoderConfig, values) == DECODER
    del values["warp"]["order"]
    with pytest.raises(Speech2FaceError, match=r"the settings lack \['order'\]"):
        restored(FaceDecoderConfig, values)


@pytest.mark.parametrize("name", ["../weights-0123456789ab.safetensors", "/etc/passwd", "weights"])
def test_a_record_names_files_of_its_own_folder_only(
    name: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoints["paper face decoder"], tmp_path / "run")
    record = json.loads((folder / "checkpoint.json").read_text())
    record["files"]["weights"]["name"] = name
    (folder / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(Speech2FaceError, match="file name"):
        load_checkpoint(folder)


@pytest.mark.parametrize("case", sorted(CASES.glob("ckpt-*")), ids=lambda path: path.name)
@pytest.mark.parametrize("is_current", [False, True])
def test_records_that_once_ended_in_a_traceback_are_one_error(
    case: Path, is_current: bool, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    content = case.read_bytes()
    if is_current:  # the same fault in a record of the present format
        content = content.replace(b'"format": 1', b'"format": 2, "family": "embedded"')
    (tmp_path / "checkpoint.json").write_bytes(content)
    with pytest.raises(Speech2FaceError):
        restore(tmp_path, "embedded")
