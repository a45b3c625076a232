"""The page of an XAB experiment: answered by keyboard in a real Chromium, and asked by programs."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web.browser import WAIT, Listener
from web.serving import asked, xab_server
from xab_people import OTHER, drawn_experiment

from speech2face.cli.main import main
from speech2face.xab.answers import read_sessions
from speech2face.xab.experiment import Experiment, open_experiment
from speech2face.xab.trials import Check, Design, Side, Trial

for package in ("fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(package, reason=f"{package} of the extra serve is not installed")

KEYS: dict[Side, str] = {"A": "f", "B": "j"}
# Sounds and pauses take a tenth of the time: a simulated listener is in no need of them.
HURRY = """
  const wait = window.setTimeout;
  window.setTimeout = (work, time, ...rest) => wait(work, time / 10, ...rest);
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function () {
    this.playbackRate.value = 10;
    start.call(this);
  };
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """One list of eight trials and two checks."""
    design = Design(lists=1, trials=8, checks=2, seconds=1.0)
    return drawn_experiment(tmp_path_factory.mktemp("drawn"), design)


@pytest.fixture
def experiment(drawn: Experiment, tmp_path: Path) -> Experiment:
    shutil.copytree(drawn.folder, tmp_path / "experiment")
    return open_experiment(tmp_path / "experiment")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that hurries, and remembers what went wrong in it and what it asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.add_init_script(HURRY)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()


def reach(page: Any, state: str) -> None:
    page.wait_for_selector(f"body[data-state={state}]")


def answer(page: Any, trial: Trial | Check, *, right: bool) -> None:
    """One trial by keyboard."""
    reach(page, "ready")
    page.keyboard.press("f")  # no trial has begun: without effect
    page.keyboard.press(" ")
    reach(page, "choosing")
    faces = page.locator("#a img, #b img").count()
    assert faces == (2 if isinstance(trial, Trial) and trial.direction == "V->F" else 0)
    page.keyboard.press(KEYS[trial.right if right else OTHER[trial.right]])


def test_a_whole_session_by_keyboard_with_a_reload_in_the_middle(
    page: Any, experiment: Experiment, listener: Listener, tmp_path: Path
) -> None:
    before = len(listener.heard)  # other tests prove that the listener hears
    trials = experiment.lists[0]
    wrong = [place for place, one in enumerate(trials) if isinstance(one, Trial)][2:4]
    with xab_server(experiment.folder) as (address, _):
        page.goto(address)
        reach(page, "consent")
        assert page.inner_text("#consent") == "Do you agree?"
        assert not list(experiment.answers.glob("*"))  # nothing is kept before the consent
        page.keyboard.press("y")
        reach(page, "instructions")
        page.keyboard.press(" ")
        for number, trial in enumerate(trials):
            if number == 5:  # in the middle of a trial, which is then shown again
                reach(page, "ready")
                page.keyboard.press(" ")
                reach(page, "choosing")
                page.reload()
                reach(page, "ready")
                assert page.inner_text("#progress") == f"5 of {len(trials)}"
            answer(page, trial, right=number not in wrong)
        reach(page, "finished")
        code = page.inner_text("#code")
        page.reload()
        reach(page, "finished")
        page.keyboard.press("n")
        reach(page, "consent")
        assert page.errors == []
        assert all(url.startswith((address, "blob:")) for url in page.asked)
    assert listener.heard[before:] == []
    (session,) = read_sessions(experiment)
    assert session.start.session == code
    assert [one.correct for one in session.answers] == [n not in wrong for n in range(len(trials))]
    assert [one.presentations for one in session.answers] == [1] * 5 + [2] + [1] * (len(trials) - 6)
    assert all(0 < one.reaction_ms < WAIT for one in session.answers)
    _score_holds(experiment.folder, tmp_path / "report")


def _score_holds(folder: Path, out: Path) -> None:
    """The score of this listener, who was right in six of eight trials: 75 %."""
    pytest.importorskip("scipy", reason="scipy of the extra xab is not installed")
    pytest.importorskip("jinja2", reason="jinja2 of the extra evaluate is not installed")
    main(["xab", "score", str(folder), "--out", str(out), "--no-models"])
    sections = json.loads((out / "results.json").read_text())["sections"]
    people = next(section for section in sections if section["name"] == "people")
    name, right, exact, *_, n = people["tables"][0]["rows"][0]
    assert (name, right, n) == ("all", "75.0 %", 8)
    low, high = (float(end) for end in exact.strip("[]").split(", "))
    assert low < 75 < high


def test_the_page_can_be_read_by_a_screen_reader_and_used_by_mouse(
    page: Any, experiment: Experiment
) -> None:
    with xab_server(experiment.folder) as (address, _):
        page.goto(address)
        reach(page, "consent")
        page.get_by_role("button", name="I agree and take part").click()
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("button", name="Go on").click()
        reach(page, "choosing")
        assert page.get_by_role("status").filter(has_text="How many beeps?").count() == 1
        page.get_by_role("button", name="one beep").click()
        reach(page, "ready")
    assert len(read_sessions(experiment)[0].answers) == 1


# ---------------------------------------------------------------- the server alone


def posted(address: str, path: str, content: object, **headers: str) -> Any:
    body = json.dumps(content).encode()
    return asked(address, path, body, Content_Type="application/json", **headers)


def test_what_the_page_is_told_does_not_give_the_answer_away(experiment: Experiment) -> None:
    with xab_server(experiment.folder) as (address, _):
        consent = asked(address, "v1/consent").json
        begun = posted(address, "v1/sessions", {"consent_sha256": consent["sha256"]})
        assert begun.status == 201
        path = f"v1/sessions/{begun.json['session']}"
        for number, trial in enumerate(experiment.lists[0]):
            shown = posted(address, f"{path}/trials", {}).json
            assert shown.pop("trial") == number
            if isinstance(trial, Trial):
                assert set(shown) == {"kind", "condition", "x", "a", "b"}
                text = json.dumps(shown)
                assert not any(w in text for s in (trial.x, trial.a) for w in (s.clip, s.person))
            sound = asked(address, f"v1/stimuli/{shown['x']}")
            assert sound.content == experiment.stimulus(shown["x"]).read_bytes()
            given = {"trial": number, "response": "A", "reaction_ms": 700}
            assert posted(address, f"{path}/answers", given).json["answered"] == number + 1
        assert posted(address, f"{path}/trials", {}).status == 409


def test_what_is_wrong_is_answered_in_words_and_keeps_what_there_is(
    experiment: Experiment,
) -> None:
    with xab_server(experiment.folder) as (address, process):
        consent = {"consent_sha256": asked(address, "v1/consent").json["sha256"]}
        assert posted(address, "v1/sessions", {"consent_sha256": ""}).status == 422
        assert posted(address, "v1/sessions", consent, Sec_Fetch_Site="cross-site").status == 403
        assert posted(address, "v1/sessions", ["x" * 5000]).status == 413
        code = posted(address, "v1/sessions", consent).json["session"]
        trials = f"v1/sessions/{code}/trials"
        assert posted(address, trials, {}, Sec_Fetch_Site="cross-site").status == 403
        posted(address, trials, {})
        path = f"v1/sessions/{code}/answers"
        good: dict[str, object] = {"trial": 0, "response": "A", "reaction_ms": 1}
        for bad in (
            {"response": "C"},
            {"trial": "0"},
            {"reaction_ms": -1},
            {"reaction_ms": True},
            {"further": 1},
        ):
            refused = posted(address, path, good | bad)
            assert refused.status == 422, bad
            assert refused.headers["Content-Type"] == "application/problem+json"
        assert posted(address, path, good | {"trial": 1}).status == 409
        assert posted(address, path, good).status == 200
        assert posted(address, path, good).status == 409
        for unknown in ("v1/sessions/" + "0" * 16, "v1/sessions/..%2flists", "v1/stimuli/x.wav"):
            assert asked(address, unknown).status == 404
        assert asked(address, "..%2flists.jsonl").status == 404
        headers = asked(address, "").headers
        assert "media-src 'self' blob:" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert asked(address, "v1/consent", Host="evil.example").status == 400
        assert main(["xab", "run", str(experiment.folder), "--port", "0"]) == 1  # it is run already
        process.kill()  # what was answered is there
    (session,) = read_sessions(experiment)
    assert len(session.answers) == 1
