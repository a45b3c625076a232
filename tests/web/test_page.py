"""The page in a real Chromium: its faces are the command line's, and all of it can be used."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import EXAMPLES, write_media
from PIL import Image
from scipy.signal import resample_poly
from web.browser import (
    AXE,
    Listener,
    face_shown,
    floats_for,
    opened,
    pixels_of,
    settled,
    skip_unless_kept,
)

import speech2face
from speech2face.audio.io import decode
from speech2face.inference.png import NOTICE
from speech2face.web.npm_packages import files_of

VOICES = ("slt", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rms", "awb", "kal16")))
# Ask the page's own model, for samples that arrive as base64.
HEAR_AND_DRAW = """async ([samples, rate, nLikely]) => {
  const { Model } = await import("./model.js");
  window.model ??= new Model();
  const contract = await window.model.load();
  const bytes = Uint8Array.from(atob(samples), (letter) => letter.charCodeAt(0));
  const found = await window.model.hear([new Float32Array(bytes.buffer)], rate);
  const exaggeration = contract.model.default_exaggeration;
  const face = await window.model.draw(found.feature, exaggeration);
  const likely = await window.model.likely(found.feature, exaggeration, nLikely);
  const encoded = ({ pixels }) => btoa(Array.from(pixels, (p) => String.fromCharCode(p)).join(""));
  return {
    seconds: found.seconds,
    landmarks: Array.from(face.landmarks),
    face: encoded(face),
    likely: likely.map(encoded),
  };
}"""


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    made = browser.new_context(
        viewport={"width": 1280, "height": 800}, reduced_motion="reduce", locale="en-GB"
    )
    made.asked = []  # addresses of all that its pages and workers ask for
    made.on("request", lambda request: made.asked.append(request.url))
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(context: Any, static_home: str) -> Any:
    """The page with the model loaded; each test goes on where the last one ended."""
    return opened(context.new_page(), static_home)


def choose_sample(page: Any, number: int) -> None:
    page.evaluate("document.body.dataset.state = 'waiting'")
    page.click(f"#samples button:nth-child({number})")
    settled(page)


# ---------------------------------------------------------------- the same faces


@pytest.mark.parametrize("voice", VOICES)
def test_the_face_of_the_same_samples_is_the_command_lines(page: Any, voice: str) -> None:
    samples = decode(EXAMPLES / f"{voice}.ogg", speech_only=False).waveform
    expected = speech2face.load_model().reconstruct(samples, sample_rate=16_000, draws=2)
    found = page.evaluate(HEAR_AND_DRAW, [floats_for(samples), 16_000, 2])
    assert found["seconds"] == expected.seconds
    assert np.abs(pixels_of(found["face"]) - np.asarray(expected.image, int)).max() <= 1
    for mine, theirs in zip(found["likely"], expected.likely, strict=True):
        assert np.abs(pixels_of(mine) - np.asarray(theirs, int)).max() <= 1
    landmarks = np.reshape(found["landmarks"], (68, 2))
    np.testing.assert_allclose(landmarks, expected.landmarks, atol=0.01)


def test_the_change_of_rate_is_that_of_the_command_line(page: Any) -> None:
    from speech2face.audio.resampler import resampled

    noise = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    script = """async ([samples, rate]) => {
      const { resample } = await import("./resampler.js");
      const bytes = Uint8Array.from(atob(samples), (letter) => letter.charCodeAt(0));
      return Array.from(resample(new Float32Array(bytes.buffer), rate, 16_000));
    }"""
    for rate in (48_000, 44_100, 8_000):
        expected = np.concatenate(list(resampled([(noise, rate)])))
        found = np.array(page.evaluate(script, [floats_for(noise), rate]))
        assert len(found) == len(expected)
        np.testing.assert_allclose(found, expected, atol=3e-5)


def test_the_power_spectrum_is_numpys(page: Any) -> None:
    samples = np.random.default_rng(1).standard_normal(512)
    script = """async (samples) => {
      const { powerSpectrum } = await import("./fourier.js");
      return Array.from(powerSpectrum(samples));
    }"""
    found = page.evaluate(script, samples.tolist())
    np.testing.assert_allclose(found, np.abs(np.fft.rfft(samples)) ** 2, rtol=1e-9)


# ---------------------------------------------------------------- what one does


def test_a_sample_voice_gives_a_face_like_the_command_lines(page: Any) -> None:
    choose_sample(page, 1)
    expected = np.asarray(speech2face.load_model().reconstruct(EXAMPLES / "slt.ogg").image, int)
    # Chromium and FFmpeg decode Opus by different decoders, so the samples differ a little.
    assert np.abs(face_shown(page) - expected).mean() < 1
    assert page.inner_text("#status") == "Heard 7.2 s of speech."
    assert page.get_attribute("#picture", "aria-label") == (
        "A face that fits voice A, not the speaker's face"
    )


def test_the_slider_draws_again_and_its_left_end_is_the_mean_face(page: Any) -> None:
    before = face_shown(page)
    page.fill("#exaggeration", "-1")
    page.wait_for_timeout(300)
    model = speech2face.load_model()
    size = model.card.feature_size
    mean = np.asarray(model.draw(np.zeros(size), exaggeration=-1).image, int)
    assert np.abs(face_shown(page) - mean).max() <= 1
    assert page.inner_text("#exaggeration-value") == "-1.00"
    page.fill("#exaggeration", str(model.card.default_exaggeration))
    page.wait_for_timeout(300)
    assert np.array_equal(face_shown(page), before)


def test_an_equally_likely_face_is_shown_and_left_again(page: Any) -> None:
    before = face_shown(page)
    page.wait_for_selector("#likely button:not(:disabled)")
    page.click("#likely button:nth-child(2)")
    page.wait_for_timeout(300)
    assert np.abs(face_shown(page) - before).mean() > 1
    page.click("#likely button:nth-child(2)")
    page.wait_for_timeout(300)
    assert np.array_equal(face_shown(page), before)


def test_landmarks_are_shown_and_hidden(page: Any) -> None:
    assert page.locator("#marks circle").count() == 68
    opacity = "getComputedStyle(document.getElementById('marks')).opacity"
    page.check("#landmarks")
    assert page.evaluate(opacity) == "1"
    page.uncheck("#landmarks")
    assert page.evaluate(opacity) == "0"


def test_the_cartoon_takes_the_place_of_the_face(page: Any, tmp_path: Path) -> None:
    opacity = "getComputedStyle(document.getElementById('{}')).opacity"
    page.check("#cartoon-switch")
    page.wait_for_selector("body[data-cartoon] #cartoon svg", state="attached")
    assert [page.evaluate(opacity.format(name)) for name in ("cartoon", "picture")] == ["1", "0"]
    drawn = page.inner_html("#cartoon")
    with page.expect_download() as waiting:
        page.click("#save-face")
    waiting.value.save_as(tmp_path / "saved.svg")
    saved = (tmp_path / "saved.svg").read_text()
    assert saved.startswith("<svg ") and "a cartoon of a face consistent with the voice" in saved
    page.fill("#exaggeration", "1.2")  # the cartoon follows the slider
    is_before = "(before) => document.getElementById('cartoon').innerHTML === before"
    page.wait_for_function(is_before.replace("===", "!=="), arg=drawn)
    page.fill("#exaggeration", str(speech2face.load_model().card.default_exaggeration))
    page.wait_for_function(is_before, arg=drawn)
    page.uncheck("#cartoon-switch")
    page.wait_for_selector("body:not([data-cartoon])")
    assert page.evaluate(opacity.format("picture")) == "1"


def test_two_voices_and_the_faces_between_them(page: Any) -> None:
    first = face_shown(page)
    page.click("#slot-1")
    assert "voice B" in page.inner_text("#status")
    marked = "#samples [aria-pressed=true]"  # the sample that is the active voice
    assert page.locator(marked).count() == 0
    choose_sample(page, 2)
    second = face_shown(page)
    page.fill("#blend", "0.5")
    page.wait_for_timeout(300)
    between = face_shown(page)
    far = np.abs(first - second).mean()
    assert 0 < np.abs(between - first).mean() < far
    assert 0 < np.abs(between - second).mean() < far
    page.fill("#blend", "0")
    page.wait_for_timeout(300)
    assert np.array_equal(face_shown(page), first)
    page.click("#slot-0")
    assert page.inner_text(marked) == "Sample 1"
    page.click("#slot-1")
    assert page.inner_text(marked) == "Sample 2"
    page.fill("#blend", "0")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("button", ["#save-face", "#save-card"])
def test_a_picture_can_be_taken_along_and_says_what_it_is(
    page: Any, button: str, tmp_path: Path
) -> None:
    with page.expect_download() as waiting:
        page.click(button)
    waiting.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as image:
        image.load()
        assert image.text["Description"] == NOTICE  # type: ignore[attr-defined]
        assert image.text["Model SHA-256"] == speech2face.load_model().card.sha256  # type: ignore[attr-defined]
        if button == "#save-face":
            assert np.array_equal(np.asarray(image.convert("RGB"), int), face_shown(page))
        else:
            assert image.size == (1080, 1350)


@pytest.mark.parametrize(
    ("ending", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 16_000),
        ("mp3", "mp3", 48_000),
        ("m4a", "aac", 48_000),
        ("webm", "libopus", 48_000),
    ],
)
def test_files_of_every_usual_kind_are_opened(
    page: Any, ending: str, codec: str, rate: int, tmp_path: Path
) -> None:
    page.click("#slot-0")
    spoken = decode(EXAMPLES / "awb.ogg", speech_only=False).waveform
    samples = spoken if rate == 16_000 else resample_poly(spoken, rate // 16_000, 1)
    file = write_media(tmp_path / f"voice.{ending}", samples, rate, codec=codec)
    expected = np.asarray(speech2face.load_model().reconstruct(file).image, int)
    page.evaluate("document.body.dataset.state = 'waiting'")
    page.set_input_files("#file", file)
    settled(page)
    difference = np.abs(face_shown(page) - expected)
    assert difference.max() <= 1 if ending == "wav" else difference.mean() < 1


def test_a_file_that_cannot_be_used_says_why_and_the_face_stays(page: Any, tmp_path: Path) -> None:
    before = face_shown(page)
    noise = tmp_path / "x.wav"
    noise.write_bytes(b"this is no sound at all" * 50)
    page.set_input_files("#file", noise)
    page.wait_for_selector("body[data-state=refused]")
    assert "not a sound file" in page.inner_text("#status")
    assert np.array_equal(face_shown(page), before)


def test_other_languages_are_spoken_and_remembered(
    page: Any, context: Any, static_home: str
) -> None:
    page.select_option("#language", "de")
    page.wait_for_selector("html[lang=de]")
    assert page.inner_text("#choose") == "Datei wählen"
    other = context.new_page()
    other.goto(static_home)
    other.wait_for_selector("html[lang=de]")
    other.close()
    page.select_option("#language", "en")
    page.wait_for_selector("html[lang=en]")


@pytest.mark.parametrize("language", ["de", "es"])
def test_numbers_are_written_as_the_language_writes_them(page: Any, language: str) -> None:
    choose_sample(page, 1)
    page.select_option("#language", language)
    page.wait_for_selector(f"html[lang={language}]")
    try:
        shown = {name: page.inner_text(f"#{name}") for name in ("seconds", "exaggeration-value")}
        assert shown == {"seconds": "7,2", "exaggeration-value": "0,15"}
        assert "7,2 s" in page.inner_text("#status")
    finally:
        page.select_option("#language", "en")
        page.wait_for_selector("html[lang=en]")
    assert page.inner_text("#seconds") == "7.2"


@pytest.mark.parametrize("width", [320, 390])
def test_no_words_wrap_or_stick_out_of_what_can_be_pressed_on_a_phone(
    page: Any, width: int
) -> None:
    broken = """() => [...document.querySelectorAll("button, .switch")].filter((element) => {
      const range = document.createRange();
      range.selectNodeContents(element);
      const text = range.getBoundingClientRect();
      const box = element.getBoundingClientRect();
      const isOneLine = box.height < 50 || element.querySelector("canvas");
      return !isOneLine || text.left < box.left || text.right > box.right;
    }).map((element) => element.innerText)"""
    page.set_viewport_size({"width": width, "height": 844})
    try:
        for language in ("en", "de", "es"):
            page.select_option("#language", language)
            page.wait_for_selector(f"html[lang={language}]")
            assert page.evaluate(broken) == [], language
            assert page.evaluate("document.documentElement.scrollWidth") == width, language
    finally:
        page.select_option("#language", "en")
        page.wait_for_selector("html[lang=en]")
        page.set_viewport_size({"width": 1280, "height": 800})


def test_no_seam_stands_at_the_corners_of_a_dark_picture(page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    try:
        page.evaluate(
            """() => {
              const context = document.getElementById("picture").getContext("2d");
              context.fillStyle = "#000";
              context.fillRect(0, 0, 224, 224);
            }"""
        )
        box = page.locator(".mat").bounding_box()
        clip = {"x": box["x"], "y": box["y"], "width": 24, "height": 24}
        corner = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("L"), int)
        # Black within, the page (#171513, 21) without, and between them nothing lighter than both.
        assert corner[0, 0] > 18 and corner[-1, -1] == 0
        assert corner.max() <= corner[0, 0] + 1
    finally:
        page.emulate_media(color_scheme="light")
        choose_sample(page, 1)


def test_nothing_moves_when_a_face_comes(context: Any, static_home: str) -> None:
    page = context.new_page()
    watch = """() => {
      window.shifts = [];
      const note = (list) => list.getEntries().forEach(({ value }) => window.shifts.push(value));
      new PerformanceObserver(note).observe({ type: "layout-shift", buffered: true });
    }"""
    opened(page, static_home)
    page.evaluate(watch)
    choose_sample(page, 3)
    page.wait_for_timeout(500)
    assert sum(page.evaluate("window.shifts")) < 0.01
    page.close()


def test_axe_finds_nothing_serious(page: Any) -> None:
    skip_unless_kept(AXE)
    page.evaluate(files_of(AXE)["axe.js"].decode())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run()")
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_the_page_works_without_a_network_after_the_first_visit(
    page: Any, context: Any, static_home: str
) -> None:
    page.wait_for_selector("#offline[data-word=works_offline]")
    context.set_offline(True)
    try:
        again = opened(context.new_page(), static_home)
        choose_sample(again, 4)
        assert again.inner_text("#status").startswith("Heard")
        again.close()
    finally:
        context.set_offline(False)


def test_no_request_left_the_origin(page: Any, static_home: str, listener: Listener) -> None:
    """After all that the tests above did, the way outside was never taken; it would be seen."""
    asked = page.context.asked
    assert any(address.endswith("hears.onnx") for address in asked)
    assert all(address.startswith((static_home, "blob:")) for address in asked)
    assert listener.heard == []
    page.evaluate("navigator.sendBeacon('http://example.invalid/x')")  # the policy stops it
    page.wait_for_timeout(300)
    assert listener.heard == []
    other = page.context.browser.new_page()
    with pytest.raises(Exception, match="ERR_"):
        other.goto("http://example.invalid/", timeout=5000)
    other.close()
    assert any("example.invalid" in line for line in listener.heard)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_that_the_system_forces_hide_nothing(
    browser: Any, static_home: str, scheme: str
) -> None:
    """A face on black, the track of the slider, a switch and the pressed sample are seen."""
    context = browser.new_context(
        forced_colors="active", color_scheme=scheme, reduced_motion="reduce"
    )
    page = opened(context.new_page(), static_home)
    choose_sample(page, 2)
    page.wait_for_selector("#likely button:nth-child(6):not([disabled])")
    for what in (".mat", "#likely button:nth-child(6)", "#exaggeration", "#landmarks"):
        with Image.open(io.BytesIO(page.locator(what).screenshot())) as seen:
            assert np.asarray(seen.convert("L"), float).std() > 10, what
    pressed, other = (
        page.locator(f"#samples [aria-pressed={is_pressed}]").first.evaluate(
            "button => getComputedStyle(button).borderWidth"
        )
        for is_pressed in ("true", "false")
    )
    assert pressed != other
    context.close()


def test_everything_can_be_reached_by_the_keyboard(context: Any, static_home: str) -> None:
    page = opened(context.new_page(), static_home)
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
        if page.evaluate("document.activeElement.innerText") == "Sample 1":
            page.keyboard.press("Enter")
            settled(page)
            page.wait_for_selector("#likely button:not(:disabled)")
    wanted = {"language", "about-open", "record", "choose", "exaggeration", "slot-0", "slot-1"}
    assert (
        wanted | {"landmarks", "cartoon-switch", "save-face", "save-card", "Sample 1", "Sample 4"}
        <= reached
    )
    page.focus("#exaggeration")
    before = page.inner_text("#exaggeration-value")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#exaggeration-value") != before
    page.focus("#about-open")
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('about').open")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('about').open")
    page.close()


def test_the_speech_model_of_the_page_is_the_packages(page_files: dict[str, bytes]) -> None:
    import hashlib

    from speech2face.audio.speech import MODEL_SHA256

    assert hashlib.sha256(page_files["model/speech.onnx"]).hexdigest() == MODEL_SHA256
    json.loads(page_files["contract.json"])
