// Plays sounds and shows faces. What a trial needs is loaded and decoded before any of it begins.

let context;

/** Open the sound; a browser allows that only while a key is handled. */
export function openSound() {
  context ??= new AudioContext();
  return context.resume();
}

/** Load a stimulus: a sound, a picture or a film, ready to be played or shown at once. */
export async function load(name) {
  const answer = await fetch(`v1/stimuli/${name}`);
  if (!answer.ok) throw new Error(`A stimulus could not be loaded (${answer.status}).`);
  if (name.endsWith(".wav")) {
    return { sound: await context.decodeAudioData(await answer.arrayBuffer()) };
  }
  const address = URL.createObjectURL(await answer.blob());
  return { element: await (name.endsWith(".webm") ? filmOf(address) : pictureOf(address)) };
}

/** Play a sound to its end, while a sign in `place` says so. */
export async function play(stimulus, place, sign) {
  const mark = document.createElement("div");
  mark.className = "sound";
  mark.textContent = sign;
  mark.dataset.playing = "";
  place.replaceChildren(mark);
  await new Promise((resolve) => {
    const source = context.createBufferSource();
    source.buffer = stimulus.sound;
    source.connect(context.destination);
    source.onended = resolve;
    source.start();
  });
  delete mark.dataset.playing;
}

/** Show faces in their places at the same moment; returns when they are on the screen. */
export async function show(pairs) {
  for (const [stimulus, place] of pairs) place.replaceChildren(stimulus.element);
  for (const [{ element }] of pairs) if (element.play) await element.play();
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
}

/** Wait until a film has been played once; a picture is looked at for so many milliseconds. */
export function seen({ element }, milliseconds) {
  if (element.play && !element.ended) {
    return new Promise((resolve) => element.addEventListener("ended", resolve, { once: true }));
  }
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Empty a place; its picture is given up. */
export function clear(place) {
  for (const { src } of place.querySelectorAll("img, video")) URL.revokeObjectURL(src);
  place.replaceChildren();
}

async function pictureOf(address) {
  const image = new Image();
  image.alt = "";
  image.src = address;
  await image.decode();
  return image;
}

function filmOf(address) {
  const film = document.createElement("video");
  film.muted = true;
  film.playsInline = true;
  film.src = address;
  return new Promise((resolve, reject) => {
    film.addEventListener("canplaythrough", () => resolve(film), { once: true });
    film.addEventListener("error", () => reject(new Error("A film cannot be played.")));
  });
}
