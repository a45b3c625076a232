// One recording: the microphone is heard again and again while somebody speaks, until there is
// enough speech, somebody stops it, or a reason appears why it cannot go on.

import { Microphone } from "./microphone.js";
import { VoiceError } from "./recording.js";

const ENOUGH_SECONDS = 8; // of speech: a little more than the six that the model asks for
const MOST_SECONDS = 60; // of recording
const SILENT_SECONDS = 4; // without any sound, after which the microphone is given up
const HEAR_EVERY = 0.7; // seconds of new sound
const QUIET_REASONS = new Set(["too_short", "silent", "no_speech", "little_speech"]);

export class Recorder {
  #model;
  #isStopped = false;
  hasBegun = false; // the microphone gives sound, or could

  constructor(model) {
    this.#model = model;
  }

  /**
   * Record one voice, once. Raises VoiceError.
   * @param limits  `recording` of contract.json
   * @param onSound called with the levels of a spectrum in dB and the loudness, 0 to 1
   * @param onHeard called with what is heard so far
   * @returns what is heard of the whole recording; null if it was stopped before it began
   */
  async record(limits, { onStart, onSound, onHeard }) {
    if (this.#isStopped) return null;
    const microphone = new Microphone();
    const levels = new Float32Array(256);
    let loudest = -Infinity;
    let nSamples = 0;
    try {
      await microphone.start((block, level) => {
        nSamples += block.length;
        loudest = Math.max(loudest, level);
        microphone.analyser.getFloatFrequencyData(levels);
        onSound(levels, Math.max(0, 1 + level / 60));
      });
      if (this.#isStopped) return null;
      microphone.onended = () => this.stop();
      this.hasBegun = true;
      onStart();
      const begun = performance.now();
      for (let nHeard = 0; !this.#isStopped; ) {
        await pause(60);
        const seconds = nSamples / microphone.rate;
        if (seconds > MOST_SECONDS) break;
        const isDead = nSamples === 0 && performance.now() - begun > 1000 * SILENT_SECONDS;
        if (isDead || (seconds > SILENT_SECONDS && loudest < limits.silence_dbfs)) {
          throw new VoiceError("microphone_silent");
        }
        if (seconds - nHeard < HEAR_EVERY) continue;
        nHeard = seconds;
        const found = await this.#heardSoFar(microphone);
        if (found === null || this.#isStopped) continue;
        onHeard(found);
        if (found.seconds >= ENOUGH_SECONDS) break;
      }
    } finally {
      await microphone.stop();
    }
    return this.#model.hear([microphone.samples], microphone.rate);
  }

  stop() {
    this.#isStopped = true;
  }

  /** What is heard so far; null as long as nobody has spoken for half a second. */
  async #heardSoFar(microphone) {
    try {
      return await this.#model.hear([microphone.samples], microphone.rate);
    } catch (error) {
      if (error instanceof VoiceError && QUIET_REASONS.has(error.code)) return null;
      throw error;
    }
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
