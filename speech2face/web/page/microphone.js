// The microphone, from the question whether it may be used to the samples that it gave.

import { joined, variance } from "./speech.js";
import { VoiceError } from "./recording.js";

const RATE = 16_000; // Hz: what the model hears, so that nothing has to be resampled
// The browser's processing would change the voice.
const CONSTRAINTS = {
  channelCount: 1,
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: false,
};
const REFUSALS = {
  NotAllowedError: "microphone_refused",
  SecurityError: "microphone_refused",
  NotFoundError: "microphone_absent",
  OverconstrainedError: "microphone_absent",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

export class Microphone {
  #stream = null;
  #context = null;
  #blocks = [];

  /** Ask for the microphone and begin. `onBlock(samples, level)` is called with each new block. */
  async start(onBlock) {
    if (!navigator.mediaDevices?.getUserMedia) throw new VoiceError("microphone_insecure");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
    } catch (error) {
      throw new VoiceError(REFUSALS[error.name] ?? "microphone_busy");
    }
    this.#context = await contextFor(this.#stream);
    const source = this.#context.createMediaStreamSource(this.#stream);
    await this.#context.audioWorklet.addModule(new URL("./capture.worklet.js", import.meta.url));
    const capture = new AudioWorkletNode(this.#context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => {
      this.#blocks.push(data);
      onBlock(data, 10 * Math.log10(variance(data) + 1e-12));
    };
    this.analyser = this.#context.createAnalyser();
    this.analyser.fftSize = 512;
    this.analyser.smoothingTimeConstant = 0;
    source.connect(capture);
    source.connect(this.analyser);
    for (const track of this.#stream.getTracks()) track.onended = () => this.onended?.();
  }

  get rate() {
    return this.#context.sampleRate;
  }

  /** Everything that was recorded so far. */
  get samples() {
    return joined(this.#blocks);
  }

  async stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    if (this.#context && this.#context.state !== "closed") await this.#context.close();
  }
}

/** An audio context at our rate; some browsers insist on that of the microphone. */
async function contextFor(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    context.createMediaStreamSource(stream).disconnect();
    return context;
  } catch {
    await context.close();
    return new AudioContext();
  }
}
