// The page: what a visitor does, and what becomes of it.

import { cartoonOf } from "./cartoon.js";
import { Model } from "./model.js";
import { canvasOf, cardPng, facePng, pictureOf, save } from "./pictures.js";
import { Portrait, blended, paint } from "./portrait.js";
import { Recorder } from "./recorder.js";
import { VoiceError } from "./recording.js";
import { decoded } from "./sound_file.js";
import { Spectrogram } from "./spectrogram.js";
import { preferredLanguage, remember, say, speak, written } from "./words.js";

const NAMES = ["A", "B"]; // of the two voices
const STRIP_DELAY = 180; // ms without a change, after which the strip is drawn again

const $ = (id) => document.getElementById(id);
const model = new Model();
const portrait = new Portrait(model, $("picture"), $("marks"), showCartoon);
const spectrogram = new Spectrogram($("spectrogram"));

const voices = [null, null]; // {feature, seconds, ..., pressed} as the model heard them
let active = 0; // the voice that the next recording becomes
let likely = null; // number of the equally likely face that is shown, or null
let contract = null;
let book = null; // rules and drawings of the cartoon, once somebody wants to see it
let secondsHeard = 0; // of speech, as they stand under the spectrogram
let recorder = null; // from the press on, even while the browser still asks
let turn = 0; // of the newest voice that somebody recorded or opened: an older one is not shown
let message = ["loading", {}]; // what the status says, so that it can be said in another language
let notes = [];

const loaded = model.load().then((found) => (contract = found));

// ---------------------------------------------------------------- the face

function feature() {
  const [first, second] = voices;
  if (first && second) return blended(first.feature, second.feature, Number($("blend").value));
  return (first ?? second)?.feature ?? null;
}

function view() {
  return { feature: feature(), exaggeration: Number($("exaggeration").value), likely };
}

/** Show the face that fits the present settings; `formed` lets it move there. */
async function showFace({ formed = false } = {}) {
  if (feature() === null) return;
  document.body.dataset.face = "";
  const drawn = formed ? portrait.form(view(), contract.exaggerations[0]) : portrait.show(view());
  describeFace();
  await drawn;
}

function describeFace() {
  const [first, second] = voices;
  const blend = Number($("blend").value);
  const isBetween = first && second && blend > 0 && blend < 1;
  const name = NAMES[first && !(second && blend === 1) ? 0 : 1];
  const words = isBetween ? say("face_between") : say("face_of", { voice: name });
  if (feature() !== null) $("picture").setAttribute("aria-label", words);
  $("exaggeration-value").textContent = written(Number($("exaggeration").value).toFixed(2));
}

/** The cartoon of a face, if it is wanted; `book` is read when it is wanted first. */
function showCartoon(face) {
  if (book === null || !$("cartoon-switch").checked) return;
  const drawn = new DOMParser().parseFromString(cartoon(face), "image/svg+xml");
  $("cartoon").replaceChildren(drawn.documentElement);
}

function cartoon(face) {
  return cartoonOf(book, face.pixels, face.landmarks);
}

async function switchCartoon(isWanted) {
  await attempt(async () => {
    book ??= await jsonOf("cartoon.json");
    if (portrait.face !== null) showCartoon(portrait.face);
    document.body.toggleAttribute("data-cartoon", isWanted);
  });
  if (book === null) $("cartoon-switch").checked = false; // its drawings could not be loaded
}

let stripTimer = 0;
function drawStripSoon() {
  clearTimeout(stripTimer);
  stripTimer = setTimeout(drawStrip, STRIP_DELAY);
}

async function drawStrip() {
  const { feature: heard, exaggeration } = view();
  if (heard === null || document.body.dataset.state === "recording") return;
  const buttons = [...$("likely").children];
  const faces = await model.likely(heard, exaggeration, buttons.length);
  buttons.forEach((button, i) => {
    paint(button.firstElementChild, faces[i].pixels);
    button.disabled = false;
  });
}

async function drawSlots() {
  const exaggeration = Number($("exaggeration").value);
  for (const [i, voice] of voices.entries()) {
    const slot = $(`slot-${i}`);
    slot.setAttribute("aria-pressed", String(i === active));
    slot.toggleAttribute("data-filled", voice !== null);
    slot.setAttribute("aria-label", say(voice ? "voice" : "voice_empty", { voice: NAMES[i] }));
    if (voice) paint(slot.firstElementChild, (await model.draw(voice.feature, exaggeration)).pixels);
  }
}

// ---------------------------------------------------------------- voices

/** The next voice, with the place that is active now. What was begun before is not shown any more. */
function newTurn(pressed = null) {
  markSample(pressed);
  setState("hearing");
  const number = ++turn;
  return { place: active, isNewest: () => number === turn };
}

/** Take a voice that was heard into its place, with the button of the sample that it is. */
async function settle(found, place, pressed = null) {
  voices[place] = { ...found, pressed };
  likely = null;
  markLikely();
  $("blend").value = place;
  for (const id of ["exaggeration", "save-face", "save-card"]) $(id).disabled = false;
  $("blend").disabled = !(voices[0] && voices[1]);
  showSeconds(found.seconds);
  const truncated = found.truncated ? [["truncated", { seconds: found.seconds.toFixed(0) }]] : [];
  await showFace({ formed: true });
  await drawSlots();
  tell("settled", { seconds: found.seconds.toFixed(1) }, [...found.notes, ...truncated]);
  setState("settled");
  drawStripSoon();
}

/** Run something that may refuse a voice; the reason is shown, and what was there stays. */
async function attempt(work, isNewest = () => true) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof VoiceError)) console.error(error);
    if (!isNewest()) return;
    const known = error instanceof VoiceError;
    tell(known ? error.code : "failed", known ? error.values : {});
    setState("refused");
    if (feature() !== null) showFace();
  }
}

/** Hear a file. `read` gives its content; `pressed` is the button of a sample voice. */
async function openSound(read, pressed = null) {
  if (document.body.dataset.state === "recording") return;
  recorder?.stop(); // it has not begun: the browser still asks
  recorder = null;
  sayRecord();
  const { place, isNewest } = newTurn(pressed);
  tell("hearing");
  await attempt(async () => {
    const [{ channels, rate }] = await Promise.all([read().then(decoded), loaded]);
    if (!isNewest()) return;
    spectrogram.paintWhole(channels[0], rate);
    const found = await model.hear(channels, rate);
    if (isNewest()) await settle(found, place, pressed);
  }, isNewest);
}

async function record() {
  if (recorder !== null) return stopRecording();
  const mine = new Recorder(model);
  recorder = mine;
  sayRecord();
  const { place, isNewest } = newTurn();
  tell("asking");
  await attempt(async () => {
    try {
      await loaded;
      const found = await mine.record(contract.recording, { onStart: listen, onSound, onHeard });
      if (!isNewest()) return;
      setState("hearing");
      tell("hearing");
      await settle(found, place);
    } finally {
      if (recorder === mine) recorder = null;
      $("level").style.transform = "";
      sayRecord(); // of a newer one, perhaps
    }
  }, isNewest);
}

/** What was recorded so far is heard; if nothing was, what was there before stays. */
function stopRecording() {
  recorder.stop();
  if (recorder.hasBegun) return;
  recorder = null;
  turn++;
  sayRecord();
  tell("ready");
  setState(feature() === null ? "empty" : "settled");
}

function listen() {
  setState("recording");
  tell("listening");
  spectrogram.clear();
  showSeconds(0);
  sayRecord();
}

function onSound(levels, loudness) {
  spectrogram.add(levels);
  $("level").style.transform = `scaleX(${loudness.toFixed(3)})`;
}

function showSeconds(seconds) {
  secondsHeard = seconds;
  $("seconds").textContent = written(seconds.toFixed(1));
}

/** The face forms while somebody speaks. */
function onHeard(found) {
  showSeconds(found.seconds);
  document.body.dataset.face = "";
  likely = null;
  markLikely();
  const exaggeration = Number($("exaggeration").value);
  portrait.form({ feature: found.feature, exaggeration, likely }, contract.exaggerations[0]);
}

// ---------------------------------------------------------------- words

function tell(key, values = {}, further = []) {
  message = [key, values];
  notes = further;
  $("status").textContent = [message, ...notes].map(([one, given]) => say(one, given)).join(" ");
}

function setState(state) {
  document.body.dataset.state = state;
}

function sayRecord() {
  $("record").lastElementChild.textContent = say(recorder === null ? "record" : "stop");
}

async function useLanguage(language) {
  await speak(language);
  $("language").value = language;
  [...$("samples").children].forEach((button, i) => {
    button.textContent = say("sample", { number: i + 1 });
  });
  [...$("likely").children].forEach((button, i) => {
    button.setAttribute("aria-label", say("likely_face", { number: i + 1 }));
  });
  tell(...message, notes);
  sayRecord();
  describeFace();
  showSeconds(secondsHeard);
  for (const [i, voice] of voices.entries()) {
    $(`slot-${i}`).setAttribute("aria-label", say(voice ? "voice" : "voice_empty", { voice: NAMES[i] }));
  }
}

// ---------------------------------------------------------------- what is marked

function markSample(pressed) {
  for (const button of $("samples").children) {
    button.setAttribute("aria-pressed", String(button === pressed));
  }
}

function markLikely() {
  [...$("likely").children].forEach((button, i) => {
    button.setAttribute("aria-pressed", String(i === likely));
  });
}

// ---------------------------------------------------------------- what can be pressed

async function answerOf(file) {
  const answer = await fetch(file).catch(() => null);
  if (!answer?.ok) throw new VoiceError("not_loaded", { file });
  return answer;
}

async function sampleVoice(name) {
  return (await answerOf(`voices/${name}.ogg`)).arrayBuffer();
}

/** The content of a file that was chosen or dropped; a folder, for example, has none. */
async function contentOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new VoiceError("unreadable");
  }
}

async function jsonOf(file) {
  return (await answerOf(file)).json();
}

function addEvents() {
  for (const button of $("samples").children) {
    const { voice } = button.dataset;
    button.onclick = () => openSound(() => sampleVoice(voice), button);
  }
  [...$("likely").children].forEach((button, i) => (button.onclick = () => chooseLikely(i)));
  $("record").onclick = record;
  $("choose").onclick = () => $("file").click();
  $("file").onchange = async ({ target }) => {
    const [file] = target.files;
    if (file) await openSound(() => contentOf(file));
    target.value = "";
  };
  $("exaggeration").oninput = () => {
    showFace();
    drawStripSoon();
  };
  $("exaggeration").onchange = drawSlots;
  $("blend").oninput = () => {
    showFace();
    drawStripSoon();
  };
  for (const i of [0, 1]) $(`slot-${i}`).onclick = () => chooseSlot(i);
  $("landmarks").onchange = ({ target }) =>
    document.body.toggleAttribute("data-landmarks", target.checked);
  $("cartoon-switch").onchange = ({ target }) => switchCartoon(target.checked);
  $("save-face").onclick = saveFace;
  $("save-card").onclick = saveCard;
  $("about-open").onclick = () => $("about").showModal();
  $("language").onchange = ({ target }) => {
    remember(target.value);
    useLanguage(target.value);
  };
  addDropping();
}

/** Show one of the equally likely faces, or the middle one again. */
function chooseLikely(i) {
  likely = likely === i ? null : i;
  markLikely();
  showFace();
}

/** Make a place the active one; if there is a voice in it, show its face. */
function chooseSlot(i) {
  active = i;
  markSample(voices[i]?.pressed ?? null);
  if (voices[0] && voices[1]) {
    $("blend").value = i;
    showFace();
    drawStripSoon();
  } else if (!voices[i]) {
    tell("second_voice", { voice: NAMES[i] });
  }
  drawSlots();
}

function addDropping() {
  document.ondragover = (event) => {
    event.preventDefault();
    $("drop").hidden = false;
  };
  document.ondragleave = (event) => {
    if (event.relatedTarget === null) $("drop").hidden = true;
  };
  document.ondrop = async (event) => {
    event.preventDefault();
    $("drop").hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) await openSound(() => contentOf(file));
  };
}

// ---------------------------------------------------------------- what is taken along

function pictureTexts() {
  return {
    Description: contract.notice,
    Software: `speech2face ${contract.version}`,
    Model: contract.model.name,
    "Model SHA-256": contract.model.sha256,
    Exaggeration: String(Number($("exaggeration").value)),
  };
}

async function saveFace() {
  if (isCartoon()) {
    save(new Blob([cartoon(portrait.face)], { type: "image/svg+xml" }), "speech2face-cartoon.svg");
    return;
  }
  save(await facePng(portrait.face.pixels, pictureTexts()), "speech2face.png");
}

async function saveCard() {
  const words = {
    title: say("card_title"),
    sentence: say("card_sentence"),
    details: say("card_details", { exaggeration: Number($("exaggeration").value).toFixed(2) }),
  };
  const picture = isCartoon() ? await pictureOf(cartoon(portrait.face)) : canvasOf(portrait.face.pixels);
  save(await cardPng(picture, words, pictureTexts()), "speech2face-card.png");
}

function isCartoon() {
  return document.body.hasAttribute("data-cartoon");
}

// ---------------------------------------------------------------- the beginning

async function keepForOffline() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("service_worker.js", { updateViaCache: "none" });
    await navigator.serviceWorker.ready;
  } catch (error) {
    console.warn(error); // a browser that keeps nothing: the page works, with a network
    return;
  }
  $("offline").dataset.word = "works_offline";
  $("offline").textContent = say("works_offline");
}

async function start() {
  addEvents();
  await useLanguage(preferredLanguage([...$("language").options].map(({ value }) => value)));
  await attempt(async () => {
    await loaded;
    $("exaggeration").value = contract.model.default_exaggeration;
    describeFace();
    if (message[0] === "loading") tell("ready");
    document.body.dataset.loaded = "";
  });
  await keepForOffline();
}

start();
