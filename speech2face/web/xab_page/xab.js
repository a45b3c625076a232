// One participant of an XAB experiment, from consent to the last trial. The keyboard does it all.
// Every answer is kept by the server before the next trial; a page that is loaded again goes on.

import { clear, load, openSound, play, seen, show } from "./player.js";

const KEPT = "speech2face xab session";
const SEEN_MS = 2500; // that a still face X is looked at
const PAUSE_MS = 500; // between X, A and B
const SIDES = { f: "A", j: "B" };

const at = (id) => document.getElementById(id);
const places = { x: at("x"), a: at("a"), b: at("b") };
let session = null; // code and progress, as the server tells them
let answered = null; // takes the answer to the trial that is shown, while one may be given

/** Show the parts of a state and hide all others. */
function enter(state) {
  document.body.dataset.state = state;
  for (const section of document.querySelectorAll("[data-for]")) {
    section.hidden = !section.dataset.for.split(" ").includes(state);
  }
  at("choice").style.visibility = state === "choosing" ? "visible" : "hidden";
  document.querySelector(`[data-for~="${state}"] .text`)?.focus();
}

/** Ask the server; what it refuses is an error with its words. */
async function ask(path, content) {
  const options = content && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  };
  const answer = await fetch(`v1/${path}`, options);
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.detail), { status: answer.status });
  return said;
}

// ---------------------------------------------------------------- from one state to the next

async function start() {
  const kept = localStorage.getItem(KEPT);
  if (kept !== null) {
    try {
      return goOn(await ask(`sessions/${kept}`));
    } catch (error) {
      if (error.status !== 404) throw error;
      localStorage.removeItem(KEPT); // of another experiment
    }
  }
  const { text, sha256 } = await ask("consent");
  at("consent").textContent = text;
  at("consent").dataset.sha256 = sha256;
  enter("consent");
}

async function agree() {
  session = await ask("sessions", { consent_sha256: at("consent").dataset.sha256 });
  localStorage.setItem(KEPT, session.session);
  enter("instructions");
}

/** Go on after the trials that are answered. */
function goOn(progress) {
  session = progress;
  at("progress").textContent = `${session.answered} of ${session.trials}`;
  at("code").textContent = session.session;
  enter(session.answered === session.trials ? "finished" : "ready");
}

async function trial() {
  enter("playing");
  at("question").textContent = "";
  await openSound();
  const shown = await ask(`sessions/${session.session}/trials`, {});
  const names = Object.keys(places).filter((name) => name in shown);
  const stimuli = await Promise.all(names.map((name) => load(shown[name])));
  const given = Object.fromEntries(names.map((name, index) => [name, stimuli[index]]));
  const present = { check, "V->F": facesOfVoice, "F->V": voicesOfFace }[shown.kind];
  const choice = await present(given);
  Object.values(places).forEach(clear);
  const { side, time, from } = choice;
  const content = { trial: shown.trial, response: side, reaction_ms: Math.max(0, time - from) };
  goOn(await ask(`sessions/${session.session}/answers`, content));
}

// ---------------------------------------------------------------- the three kinds of trials

async function check({ x }) {
  at("question").textContent = "How many beeps?";
  await play(x, places.x, "♪");
  return chosen("one beep", "two beeps");
}

async function facesOfVoice({ x, a, b }) {
  at("question").textContent = "Listen.";
  await play(x, places.x, "♪");
  clear(places.x);
  await pause();
  at("question").textContent = "Whose voice was it?";
  await show([[a, places.a], [b, places.b]]);
  return chosen("this person", "this person");
}

async function voicesOfFace({ x, a, b }) {
  at("question").textContent = "Look.";
  await show([[x, places.x]]);
  await seen(x, SEEN_MS);
  clear(places.x);
  await pause();
  at("question").textContent = "Which is this person's voice?";
  await play(a, places.a, "1");
  await pause();
  const answer = chosen("the first voice", "the second voice"); // possible while it plays
  const second = play(b, places.b, "2");
  const choice = await answer;
  await second; // a trial never ends in the middle of a sound
  return choice;
}

/** The side that is chosen, the time of the key, and the time from which it could be pressed. */
function chosen(wordA, wordB) {
  at("word-a").textContent = wordA;
  at("word-b").textContent = wordB;
  enter("choosing");
  const from = performance.now();
  return new Promise((resolve) => {
    answered = (side, time) => {
      answered = null;
      enter("playing");
      resolve({ side, time, from });
    };
  });
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

// ---------------------------------------------------------------- keys

const ACTIONS = {
  consent: { y: agree },
  instructions: { " ": () => goOn(session) },
  ready: { " ": trial },
  choosing: {
    f: (time) => answered?.(SIDES.f, time),
    j: (time) => answered?.(SIDES.j, time),
  },
  finished: {
    n: () => {
      localStorage.removeItem(KEPT);
      location.reload();
    },
  },
};

async function press(key, time) {
  const state = document.body.dataset.state;
  const action = ACTIONS[state]?.[key];
  if (action === undefined) return;
  if (state !== "choosing") document.body.dataset.state = "busy"; // a second press does nothing
  try {
    await action(time);
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  at("problem").textContent = error.message;
  enter("failed");
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (ACTIONS[document.body.dataset.state]?.[key]) {
    event.preventDefault(); // the space bar would also press the button that has the focus
    press(key, event.timeStamp);
  }
});
for (const button of document.querySelectorAll("button[data-key]")) {
  button.addEventListener("click", (event) => press(button.dataset.key, event.timeStamp));
}

start().catch(fail);
