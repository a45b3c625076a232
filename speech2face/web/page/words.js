// The words of the page in the visitor's language: one file a language, English for what is missing.

const KEPT = "speech2face language";

let words = {};
let english = {};
let spoken = "en"; // the language of the words

/** Read the words of a language and put them into the page. */
export async function speak(language) {
  [english, words] = await Promise.all([wordsOf("en"), wordsOf(language)]);
  spoken = language;
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = known(element.dataset.word) ?? element.textContent;
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    const label = known(element.dataset.label) ?? element.getAttribute("aria-label");
    element.setAttribute("aria-label", label);
  }
}

/** The words of a key, its gaps such as {seconds} filled with values. */
export function say(key, values = {}) {
  const text = known(key) ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => written(values[name] ?? ""));
}

/** A value as the language writes it, with the decimals that it has: 7.0 is 7,0 in German. */
export function written(value) {
  const [, decimals] = /^-?\d+(?:\.(\d+))?$/.exec(value) ?? [];
  if (decimals === undefined) return value;
  const digits = { minimumFractionDigits: decimals.length, maximumFractionDigits: decimals.length };
  return Number(value).toLocaleString(spoken, digits);
}

function known(key) {
  return words[key] ?? english[key];
}

/** Of the languages that there are, the one chosen before, or the first of the browser's. */
export function preferredLanguage(languages) {
  const wishes = [stored(), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return wishes.find((wish) => languages.includes(wish)) ?? "en";
}

/** Remember a choice; a browser that keeps nothing is no obstacle. */
export function remember(language) {
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    // private windows may refuse
  }
}

function stored() {
  try {
    return localStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

/** The words of a file; none if it cannot be had, for the page holds the most important ones. */
async function wordsOf(language) {
  try {
    const answer = await fetch(new URL(`./languages/${language}.json`, import.meta.url));
    return answer.ok ? await answer.json() : {};
  } catch {
    return {};
  }
}
