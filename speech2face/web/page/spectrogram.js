// The sound as a picture: time from left to right, pitch from bottom to top, loudness as black
// ink, which the style sheet turns white on a dark ground.

import { powerSpectrum } from "./fourier.js";

const LOUDEST = -25; // dB, full ink
const QUIETEST = -95; // dB, none
const SIZE = 512; // samples of a spectrum
const HIGHEST = 8_000; // Hz: what the model hears

export class Spectrogram {
  #canvas;
  #context;
  #column = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  clear() {
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#column = 0;
  }

  /** Paint a whole recording over the whole width. */
  paintWhole(samples, rate) {
    this.clear();
    const { width } = this.#canvas;
    for (let x = 0; x < width; x++) {
      const start = Math.floor((x / width) * Math.max(0, samples.length - SIZE));
      const frame = Float64Array.from({ length: SIZE }, (_, i) => {
        return (samples[start + i] ?? 0) * Math.sin((Math.PI * i) / SIZE) ** 2;
      });
      const power = powerSpectrum(frame).subarray(0, Math.ceil((SIZE * HIGHEST) / rate));
      this.add(power.map((value) => 10 * Math.log10(value / (SIZE / 2) ** 2 + 1e-12)));
    }
  }

  /** Paint the next column from levels in dB, low pitch first. At the right end, begin again. */
  add(levels) {
    const { width, height } = this.#canvas;
    const column = this.#context.createImageData(1, height);
    for (let y = 0; y < height; y++) {
      const level = levels[Math.floor(((height - 1 - y) / height) * levels.length)];
      const share = Math.min(1, Math.max(0, (level - QUIETEST) / (LOUDEST - QUIETEST)));
      column.data[4 * y + 3] = 255 * share ** 1.5; // black, more or less of it
    }
    this.#context.clearRect(this.#column + 1, 0, 12, height); // a gap between the new and the old
    this.#context.putImageData(column, this.#column, 0);
    this.#column = (this.#column + 1) % width;
  }
}
