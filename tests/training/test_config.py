"""Settings: the paper by default, differences by name, nothing unknown."""

import tomllib
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from speech2face.baselines.trainer import SYSTEMS
from speech2face.configuration import read_differences, restored, to_json, to_toml, with_differences
from speech2face.errors import Speech2FaceError
from speech2face.training.config import (
    AdamConfig,
    FaceDecoderTraining,
    Lambdas,
    Plan,
    VoiceEncoderTraining,
)
from speech2face.training.recipes.embedded import EmbeddedConfig

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def changed(*settings: str) -> VoiceEncoderTraining:
    return with_differences(VoiceEncoderTraining(), read_differences([], settings))


def test_the_defaults_are_the_papers_numbers() -> None:
    config = VoiceEncoderTraining()
    adam, plan, lambdas = config.adam, config.plan, config.lambdas
    assert (adam.learning_rate, adam.beta1, adam.epsilon) == (1e-3, 0.5, 1e-4)
    assert (adam.decay, adam.decay_iterations) == (0.95, 10_000)
    assert (plan.batch_size, plan.total_samples) == (8, 3 * 1_700_000)
    assert (lambdas.decoder, lambdas.feature, lambdas.distillation) == (1.0, 0.025, 200.0)
    assert (config.temperature, config.clip_seconds) == (2.0, 6.0)


def test_the_rate_falls_by_five_percent_every_ten_thousand_iterations() -> None:
    adam = AdamConfig()
    assert adam.learning_rate_at(0) == adam.learning_rate_at(9_999) == 0.001
    assert adam.learning_rate_at(10_000) == pytest.approx(0.00095)
    assert adam.learning_rate_at(20_000) == pytest.approx(0.0009025)
    assert adam.learning_rate_at(637_499) == pytest.approx(3.95e-5, rel=1e-4)  # 0.95 ** 63


def test_an_empty_difference_changes_nothing() -> None:
    assert with_differences(VoiceEncoderTraining(), {}) == VoiceEncoderTraining()


def test_differences_reach_nested_settings_and_leave_the_others() -> None:
    config = changed("lambdas.distillation=0", "adam.beta1=0.9", "face_decoder=runs/decoder")
    assert config.lambdas == Lambdas(distillation=0)
    assert config.adam == AdamConfig(beta1=0.9)
    assert config.face_decoder == "runs/decoder" and config.plan == Plan()


def test_a_setting_of_few_words_takes_no_other_word() -> None:
    @dataclass(frozen=True)
    class Shown:
        side: Literal["A", "B"]

    assert restored(Shown, {"side": "B"}) == Shown("B")
    with pytest.raises(Speech2FaceError, match="side = 'C'.*'A', 'B'"):
        restored(Shown, {"side": "C"})


def test_later_files_and_settings_win(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("temperature = 3\n[plan]\nseed = 1\nbatch_size = 4\n")
    second.write_text("[plan]\nseed = 2\n")
    differences = read_differences([first, second], ["plan.batch_size=16"])
    assert differences == {"temperature": 3, "plan": {"seed": 2, "batch_size": 16}}


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("lambda.feature=1", r"unknown settings \['lambda'\]; known are \['adam', 'clip_seconds'"),
        ("lambdas.vgg=1", r"unknown settings \['vgg'\]; known are \['decoder', 'distillation'"),
        ("plan.batch_size=8.5", "batch_size = 8.5; expected int"),
        ("plan.batch_size=true", "batch_size = True; expected int"),
        ("plan.batch_size=0", "batch_size = 0; expected positive"),
        ("adam.learning_rate=fast", "learning_rate = 'fast'; expected float"),
        ("adam.learning_rate=-1", "learning_rate = -1.0; expected a positive number"),
        ("adam.beta1=1.0", "beta1 = 1.0; expected a number in 0..1"),
        ("lambdas=3", "lambdas = 3; expected a table of decoder, feature, distillation"),
        ("lambdas.feature=-0.1", "lambdas.feature = -0.1; expected 0 or a positive number"),
        ("temperature=0", "temperature = 0.0; expected a positive number"),
        ("temperature", "setting 'temperature'; write key=value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_known(setting: str, complaint: str) -> None:
    with pytest.raises(Speech2FaceError, match=complaint):
        changed(setting)


def test_an_error_names_the_file_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[plan]\nlength = 3\n")
    with pytest.raises(Speech2FaceError, match="length") as caught:
        with_differences(VoiceEncoderTraining(), read_differences([file], []), str(file))
    assert caught.value.path == str(file)


def test_a_missing_or_broken_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no such file"):
        read_differences([tmp_path / "none.toml"], [])
    (tmp_path / "broken.toml").write_text("a = = 3")
    with pytest.raises(Speech2FaceError, match="not TOML"):
        read_differences([tmp_path / "broken.toml"], [])


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="at least one weight above 0"):
        Lambdas(decoder=0, feature=0, distillation=0)


@pytest.mark.parametrize("config", [VoiceEncoderTraining(), FaceDecoderTraining()])
def test_printed_settings_are_read_back(config: object) -> None:
    other = replace(config, plan=Plan(seed=7), adam=AdamConfig(epsilon=1e-8))  # type: ignore[type-var]
    assert with_differences(config, tomllib.loads(to_toml(other))) == other
    assert with_differences(config, to_json(other)) == other


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        AdamConfig().beta1 = 0.9  # type: ignore[misc]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_states_its_claim_and_is_accepted(path: Path) -> None:
    text = path.read_text()
    for word in ("# Claim: ", "Expected: ", "Cost: "):
        assert word in text.split("\n[")[0]
    if path.stem.startswith("embedded"):
        defaults: object = EmbeddedConfig()
    elif (system := path.stem.rpartition("-")[0]) in SYSTEMS:
        defaults = SYSTEMS[system].settings
    else:
        is_face = path.stem.endswith("face")
        defaults = FaceDecoderTraining() if is_face else VoiceEncoderTraining()
    with_differences(defaults, tomllib.loads(text), str(path))


def test_the_papers_config_differs_in_nothing() -> None:
    paper = next(path for path in CONFIGS if path.stem == "paper")
    assert tomllib.loads(paper.read_text()) == {}


def test_validation_and_checkpoints_are_due_once_each_for_any_batch_size() -> None:
    plan = Plan(batch_size=3, total_samples=30, checkpoint_every=10, validate_every=7)
    seen = range(3, 33, 3)
    assert [n for n in seen if plan.checkpoint_due(n)] == [12, 21, 30]
    assert [n for n in seen if plan.validation_due(n)] == [9, 15, 21, 30]
