"""The page when a visitor is quick, and when the host is not what it should be."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import EXAMPLES, write_media
from web.browser import file_server, opened, settled

from speech2face.audio.io import decode
from speech2face.web import site
from speech2face.web.site import write_site

# A file that the page reads only when it is told to, as a large one on a slow disk.
HELD_FILE = """() => {
  File.prototype.arrayBuffer = function () {
    return new Promise((resolve, reject) => {
      window.give = () => new Response(this).arrayBuffer().then(resolve);
      window.refuse = () => reject(new DOMException("gone", "NotReadableError"));
    });
  };
}"""
# Waits until a service worker is in one of some states.
UNTIL = """() => {
  window.until = async (worker, states) => {
    while (!states.includes(worker.state)) {
      await new Promise((done) => worker.addEventListener("statechange", done, {once: true}));
    }
    return worker.state;
  };
}"""
# A microphone for which the browser still asks.
HELD_MICROPHONE = """() => {
  window.asked = 0;
  window.stopped = 0;
  navigator.mediaDevices.getUserMedia = () => {
    window.asked++;
    return new Promise((resolve) => {
      window.allow = () => {
        const context = new AudioContext();
        const { stream } = context.createMediaStreamDestination();
        const [track] = stream.getTracks();
        const stop = track.stop.bind(track);
        track.stop = () => { window.stopped++; stop(); };
        resolve(stream);
      };
    });
  };
}"""

# A microphone into which a sample voice speaks without an end.
SPEAKING_MICROPHONE = """() => {
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext();
    const content = await (await fetch("voices/slt.ogg")).arrayBuffer();
    const voice = context.createBufferSource();
    voice.buffer = await context.decodeAudioData(content);
    voice.loop = true;
    const microphone = context.createMediaStreamDestination();
    voice.connect(microphone);
    voice.start();
    window.track = microphone.stream.getTracks()[0];
    return microphone.stream;
  };
}"""


@pytest.fixture
def page(browser: Any, static_home: str) -> Iterator[Any]:
    context = browser.new_context(reduced_motion="reduce", locale="en-GB")
    made = opened(context.new_page(), static_home)
    made.errors = []
    made.on("pageerror", lambda error: made.errors.append(str(error)))
    yield made
    assert made.errors == []
    context.close()


def test_the_voice_that_was_chosen_last_is_shown(page: Any, tmp_path: Path) -> None:
    page.evaluate(HELD_FILE)
    slow = tmp_path / "slow.ogg"
    slow.write_bytes((Path(site.__file__).parent / "page/voices/rms.ogg").read_bytes())
    page.set_input_files("#file", slow)
    page.click("#samples button:nth-child(1)")
    settled(page)
    said = page.inner_text("#status")
    assert said == "Heard 7.2 s of speech."
    painted = page.evaluate("document.getElementById('spectrogram').toDataURL()")
    page.evaluate("window.give()")
    page.wait_for_timeout(2000)
    assert page.inner_text("#status") == said
    assert page.evaluate("document.getElementById('spectrogram').toDataURL()") == painted
    assert page.get_attribute("#samples button:nth-child(1)", "aria-pressed") == "true"


def test_a_voice_goes_to_the_place_that_was_chosen_when_it_was_begun(
    page: Any, tmp_path: Path
) -> None:
    page.evaluate(HELD_FILE)
    file = tmp_path / "voice.ogg"
    file.write_bytes((Path(site.__file__).parent / "page/voices/rms.ogg").read_bytes())
    page.set_input_files("#file", file)
    page.click("#slot-1")
    page.evaluate("window.give()")
    settled(page)
    filled = [page.get_attribute(f"#slot-{i}", "data-filled") is not None for i in (0, 1)]
    assert filled == [True, False]


def test_a_voice_that_is_replaced_while_it_is_heard_is_never_shown(
    page: Any, tmp_path: Path
) -> None:
    """Neither its face, nor its sentence, nor why it cannot be used."""
    noise = np.random.default_rng(0).standard_normal(20 * 16_000).clip(-3, 3) / 4
    voice = decode(EXAMPLES / "rms.ogg", speech_only=False).waveform
    page.evaluate("""() => {
      window.said = [];
      const note = () => window.said.push(document.getElementById("status").textContent);
      const options = { childList: true, characterData: true, subtree: true };
      new MutationObserver(note).observe(document.getElementById("status"), options);
    }""")
    for name, samples in (("noise", noise), ("long", np.resize(voice, 20 * 16_000))):
        file = write_media(tmp_path / f"{name}.wav", samples, 16_000, codec="pcm_s16le")
        blank = page.evaluate("document.getElementById('spectrogram').toDataURL()")
        page.set_input_files("#file", file)
        page.wait_for_function(
            "(blank) => document.getElementById('spectrogram').toDataURL() !== blank", arg=blank
        )  # it is being heard
        page.click("#samples button:nth-child(1)")
        settled(page)
        page.wait_for_timeout(500)
        assert page.inner_text("#status") == "Heard 7.2 s of speech."
    said = set(page.evaluate("window.said"))
    assert {one for one in said if "7.2" not in one} == {"Hearing the voice."}


def test_a_file_that_cannot_be_read_says_so(page: Any, tmp_path: Path) -> None:
    page.evaluate(HELD_FILE)
    (tmp_path / "gone.ogg").write_bytes(b"x")
    page.set_input_files("#file", tmp_path / "gone.ogg")
    page.evaluate("window.refuse()")
    page.wait_for_selector("body[data-state=refused]")
    assert page.inner_text("#status").startswith("The file cannot be read")


def test_a_recording_that_has_not_begun_can_be_stopped(page: Any) -> None:
    page.evaluate(HELD_MICROPHONE)
    page.click("#record")
    page.click("#record")  # in haste, or in second thoughts
    page.wait_for_selector("body[data-state=empty]")
    assert page.inner_text("#record") == "Record"
    page.evaluate("window.allow()")
    page.wait_for_function("() => window.stopped === 1")
    assert page.get_attribute("body", "data-state") == "empty"
    assert page.evaluate("[window.asked, window.stopped]") == [1, 1]


def test_a_sample_voice_can_be_taken_while_the_browser_asks_for_the_microphone(page: Any) -> None:
    page.evaluate(HELD_MICROPHONE)
    page.click("#record")
    page.click("#samples button:nth-child(1)")
    settled(page)
    page.evaluate("window.allow()")
    page.wait_for_function("() => window.stopped === 1")  # it is not listened to
    page.wait_for_timeout(300)
    assert page.get_attribute("body", "data-state") == "settled"
    assert page.inner_text("#status") == "Heard 7.2 s of speech."


def test_a_press_before_the_model_is_there_records_once(browser: Any, static_home: str) -> None:
    context = browser.new_context(reduced_motion="reduce", locale="en-GB")
    page = context.new_page()
    page.add_init_script(f"({HELD_MICROPHONE})()")
    held: list[Any] = []
    page.route("**/hears.onnx", lambda route: held.append(route))
    page.goto(static_home)
    page.wait_for_selector("#status:not(:empty)")
    for _ in range(3):  # begin, stop, begin
        page.click("#record")
    while not held:
        page.wait_for_timeout(50)
    held[0].continue_()
    page.wait_for_selector("body[data-loaded]")
    page.wait_for_function("() => window.asked > 0")
    page.wait_for_timeout(500)
    assert page.evaluate("window.asked") == 1
    assert page.inner_text("#record") == "Stop"  # the first one has ended, and not the third
    page.click("#record")
    page.wait_for_selector("body[data-state=empty]")
    context.close()


def test_a_recording_is_heard_when_it_is_stopped_and_speaks_another_language(page: Any) -> None:
    page.evaluate(SPEAKING_MICROPHONE)
    page.click("#record")
    page.wait_for_selector("body[data-state=recording][data-face]")
    page.select_option("#language", "de")
    page.wait_for_selector("html[lang=de]")
    assert page.inner_text("#record") == "Beenden"
    assert page.get_attribute("body", "data-state") == "recording"
    page.click("#samples button:nth-child(2)", force=True)  # is not taken while one speaks
    page.click("#record")
    settled(page)
    assert page.inner_text("#record") == "Aufnehmen"
    assert re.fullmatch(r"\d,\d s Sprache gehört\..*", page.inner_text("#status"))
    assert page.evaluate("window.track.readyState") == "ended"
    assert page.get_attribute("#samples button:nth-child(2)", "aria-pressed") == "false"


def test_a_microphone_that_is_pulled_out_ends_the_recording(page: Any) -> None:
    page.evaluate(SPEAKING_MICROPHONE)
    page.click("#record")
    page.wait_for_selector("body[data-state=recording][data-face]")
    page.evaluate("""() => {
      window.track.stop();  // which itself tells nobody
      window.track.dispatchEvent(new Event("ended"));
    }""")
    # At once, and not after the minute that a recording may take.
    page.wait_for_selector("body[data-state=settled]", timeout=30_000)
    assert page.inner_text("#status").startswith("Heard ")
    assert float(page.inner_text("#seconds")) < 7


@pytest.mark.slow
def test_a_microphone_that_gives_not_even_silence_is_given_up(page: Any) -> None:
    page.evaluate(HELD_MICROPHONE)
    page.evaluate("""() => {
      const Real = window.AudioContext;
      window.AudioContext = class extends Real {
        constructor(options) { super(options); this.suspend(); }
      };
    }""")
    page.click("#record")
    page.evaluate("window.allow()")
    page.wait_for_selector("body[data-state=refused]", timeout=20_000)
    assert page.inner_text("#status").startswith("The microphone gives no sound.")


# ---------------------------------------------------------------- a host with faults


@pytest.mark.parametrize("how", ["missing", "damaged", "cut off"])
def test_without_a_file_of_words_the_page_keeps_its_own(
    browser: Any, static_home: str, how: str
) -> None:
    def answer(route: Any) -> None:
        if how == "cut off":
            route.abort()
        else:
            route.fulfill(**({"status": 404} if how == "missing" else {"body": "{damaged"}))

    context = browser.new_context(reduced_motion="reduce", locale="en-GB")
    page = context.new_page()
    page.route("**/languages/*.json", answer)
    opened(page, static_home)
    assert page.inner_text("#choose") == "Choose a file"
    assert page.get_attribute("main .panel", "aria-label") == "Controls"
    context.close()


@pytest.mark.parametrize(
    ("file", "answer"),
    [
        ("vendor/onnxruntime.wasm", {"status": 404}),
        ("model/draws.onnx", {"body": "damaged"}),
        ("worker.js", {"status": 404}),
    ],
)
def test_a_part_of_the_model_that_cannot_be_loaded_is_named(
    browser: Any, static_home: str, file: str, answer: dict[str, Any]
) -> None:
    context = browser.new_context(service_workers="block", locale="en-GB")
    page = context.new_page()
    page.route(f"**/{file}", lambda route: route.fulfill(**answer))
    page.goto(static_home)
    page.wait_for_selector("body[data-state=refused]")
    assert page.inner_text("#status").startswith(f"{file} could not be loaded.")
    context.close()


def test_a_browser_without_webassembly_is_told_so(browser: Any, static_home: str) -> None:
    context = browser.new_context(service_workers="block", locale="en-GB")
    page = context.new_page()
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(static_home)
    page.wait_for_selector("body[data-state=refused]")
    assert page.inner_text("#status").startswith("This browser does not run WebAssembly")
    context.close()


def test_a_damaged_site_is_not_kept(
    browser: Any, page_files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    write_site(folder, page_files)
    (folder / "languages/es.json").write_text("{}")  # another digest than that of the list
    with file_server(folder) as address:
        context = browser.new_context(locale="en-GB")
        page = opened(context.new_page(), address)
        page.evaluate(UNTIL)
        state = page.evaluate("""async () => {
          const registration = await navigator.serviceWorker.register("service_worker.js");
          const worker = registration.installing;
          if (worker === null) return "kept";
          return until(worker, ["activated", "redundant"]);
        }""")
        assert state == "redundant"
        context.close()


def test_a_cartoon_that_cannot_be_loaded_says_so_and_is_switched_off(
    browser: Any, static_home: str
) -> None:
    context = browser.new_context(reduced_motion="reduce", service_workers="block", locale="en-GB")
    page = context.new_page()
    page.route("**/cartoon.json", lambda route: route.fulfill(status=404))
    opened(page, static_home)
    page.click("label:has(#cartoon-switch)")
    page.wait_for_selector("body[data-state=refused]")
    assert "cartoon.json could not be loaded" in page.inner_text("#status")
    assert not page.is_checked("#cartoon-switch")
    context.close()


def test_a_new_site_does_not_reach_into_a_page_of_the_old_one(
    browser: Any, page_files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    write_site(folder, page_files)
    words = json.loads(page_files["languages/en.json"])
    with file_server(folder, keeps_seconds=3600) as address:
        context = browser.new_context(reduced_motion="reduce", locale="en-GB")
        page = opened(context.new_page(), address)
        page.wait_for_selector("#offline[data-word=works_offline]")
        newer = page_files | {
            "languages/en.json": json.dumps(words | {"choose_file": "New words"}).encode()
        }
        newer.pop(site.LIST)
        shutil.rmtree(folder)
        write_site(folder, newer | {site.LIST: site._list_of(newer)})
        page.evaluate(UNTIL)
        found = page.evaluate("""async () => {
          await caches.open("of another page");
          const registration = await navigator.serviceWorker.getRegistration();
          await registration.update();
          const worker = registration.installing ?? registration.waiting ?? registration.active;
          await until(worker, ["installed", "activated", "redundant"]);
          await new Promise((done) => setTimeout(done, 500));
          const words = await (await fetch("languages/en.json")).json();
          return [worker.state, (await caches.keys()).length, words.choose_file];
        }""")
        # The new site is there, and waits until the page of the old one is closed.
        assert found == ["installed", 3, "Choose a file"]
        page.close()
        for _ in range(50):  # the browser needs a moment until the old worker has nobody left
            again = opened(context.new_page(), address)
            if said := re.fullmatch("New words", again.inner_text("#choose")):
                break
            again.close()
        assert said
        names = again.evaluate("caches.keys()")  # the new site and what is not of this page
        assert len(names) == 2 and "of another page" in names
        context.close()
