// The model as the page uses it: questions to the worker, answers as promises.

import { VoiceError } from "./recording.js";

export class Model {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new VoiceError(error.code, error.values));
      else resolve(result);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.values()) reject(new VoiceError("not_loaded", { file: "worker.js" }));
      this.#waiting.clear();
    };
  }

  async load() {
    // Some browsers have it switched off, for safety.
    if (typeof WebAssembly === "undefined") throw new VoiceError("no_webassembly");
    return this.#ask("load");
  }

  /** `{feature, seconds, secondsSearched, truncated, notes}` of channels of samples. */
  hear(channels, rate) {
    return this.#ask("hear", { channels, rate });
  }

  /** The feature of 16 kHz speech that is heard as it is. */
  feature(waveform) {
    return this.#ask("feature", { waveform });
  }

  /** `{pixels, landmarks}` of one face. */
  draw(feature, exaggeration, likely = null) {
    return this.#ask("draw", { feature, exaggeration, likely });
  }

  /** Further faces that fit as well. */
  likely(feature, exaggeration, count) {
    return this.#ask("likely", { feature, exaggeration, count });
  }

  #ask(action, given) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, action, given });
    });
  }
}
