"""The report: listeners of known accuracy, who counts, and what cannot be computed."""

import json
from pathlib import Path

import pytest
from xab_people import simulate

from speech2face.cli.main import main
from speech2face.evaluation.uncertainty import Score
from speech2face.report.document import Section, as_json
from speech2face.xab.answers import AnswerBook, read_sessions
from speech2face.xab.experiment import Experiment
from speech2face.xab.machines import GenderOracle
from speech2face.xab.report import participants_of, report_of
from speech2face.xab.trials import Stimulus

pytest.importorskip("statsmodels", reason="statsmodels of the extra xab is not installed")
pytest.importorskip("jinja2", reason="jinja2 of the extra evaluate is not installed")

KNOWN = 0.7


class Always:
    """A machine that finds every voice and face of one person alike, and no others."""

    def score(self, voice: Stimulus, face: Stimulus) -> float:
        return float(voice.person == face.person)


def section(report: object, name: str) -> Section:
    return next(one for one in report.sections if one.name == name)  # type: ignore[attr-defined]


def ends(text: str) -> tuple[float, float]:
    """The two numbers in brackets."""
    low, high = text.partition("[")[2].partition("]")[0].split(", ")
    return float(low), float(high)


def test_the_report_on_listeners_and_machines_of_known_accuracy(experiment: Experiment) -> None:
    simulate(experiment, [KNOWN] * 16, seed=1)  # 71 % right: one interval in twenty would miss 70
    report = report_of(experiment, {"Always": Always, "gender oracle": GenderOracle})
    row = section(report, "people").tables[0].rows[0]
    for cell in row[2:6]:
        low, high = ends(str(cell))
        assert low < 100 * KNOWN < high
    for _, cell in section(report, "mixed_model").tables[0].rows:
        low, high = ends(str(cell))
        assert low < 100 * KNOWN < high
    machine, oracle = (
        section(report, name).tables[0].rows[0][1] for name in ("Always", "gender oracle")
    )
    assert isinstance(machine, Score) and isinstance(oracle, Score)
    assert (machine.value, machine.n) == (1.0, 16 * 16)
    assert oracle.value == 0.5  # A and B share the gender, so it knows nothing
    assert as_json(report)["facts"]["participants who count"].startswith("16, of whom 16")


def test_who_does_not_attend_or_answers_nothing_is_left_out_with_the_reason(
    experiment: Experiment,
) -> None:
    good, absent = simulate(experiment, [0.8])[0], simulate(experiment, [0.5], checks=0.0)[0]
    silent = AnswerBook(experiment).begin()
    people = participants_of(read_sessions(experiment))
    assert [one.start.session for one in people.counted] == [good.start.session]
    assert people.left_out == {
        absent.start.session: "passed 0% of the attention checks",
        silent.start.session: "answered no trial",
    }


def test_without_answers_the_models_answer_all_lists_and_the_rest_says_why_not(
    experiment: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(experiment, {"Always": Always})
    score = section(report, "Always").tables[0].rows[0][1]
    assert isinstance(score, Score) and score.n == 4 * 16
    out = tmp_path / "out"
    assert main(["xab", "score", str(experiment.folder), "--out", str(out), "--no-models"]) == 1
    assert "People: there is no answer of this kind" in capsys.readouterr().err
    reasons = [one["reason"] for one in json.loads((out / "results.json").read_text())["sections"]]
    assert len(reasons) == 4 and all(reasons)
    assert main(["xab", "score", str(experiment.folder), "--out", str(out), "--no-models"]) == 1
    assert "give --force" in capsys.readouterr().err


def test_one_participant_has_an_accuracy_but_no_mixed_model(
    experiment: Experiment,
) -> None:
    simulate(experiment, [0.8])
    report = report_of(experiment, {})
    assert "only one level of participants" in section(report, "mixed_model").reason
    assert not section(report, "people").reason
