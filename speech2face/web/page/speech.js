// Finds the speech in a recording: the same steps as speech2face/audio/speech.py, whose constants
// arrive as `settings` (see speech2face/web/contract.py).

export class SpeechFinder {
  /**
   * @param session onnxruntime session over the Silero model
   * @param Tensor  onnxruntime's tensor class
   * @param settings `speech` of contract.json
   */
  constructor(session, Tensor, settings) {
    this.session = session;
    this.Tensor = Tensor;
    this.settings = settings;
  }

  /**
   * The speech of 16 kHz mono samples.
   * @returns {{waveform: Float32Array, loudest: number, truncated: boolean}}
   */
  async find(samples, maxSamples) {
    const kept = [];
    let nKept = 0;
    let peak = 0;
    let loudest = 0;
    for await (const { frames, isKept } of this.#decided(samples)) {
      peak = Math.max(peak, largest(frames));
      loudest = Math.max(loudest, this.#loudness(frames));
      for (const stretch of this.#stretches(frames, isKept)) {
        const part = withoutSilentEnds(stretch, peak * this.settings.silent);
        kept.push(part);
        nKept += part.length;
      }
      if (nKept > maxSamples) break;
    }
    const waveform = joined(kept).subarray(0, maxSamples);
    return { waveform, loudest, truncated: nKept > maxSamples };
  }

  /** Frames and which of them are kept, `around` frames behind the network. */
  async *#decided(samples) {
    const { frame, around, threshold } = this.settings;
    let waiting = new Float32Array(0);
    let speaks = new Array(around).fill(false); // of the last decided frames, then of the waiting
    for await (const { frames, probability } of this.#judged(samples)) {
      waiting = joined([waiting, frames]);
      speaks = speaks.concat(Array.from(probability, (value) => value >= threshold));
      const nDecided = waiting.length / frame - around;
      if (nDecided > 0) {
        const isKept = dilated(speaks, around).slice(around, around + nDecided);
        yield { frames: waiting.subarray(0, nDecided * frame), isKept };
        waiting = waiting.slice(nDecided * frame);
        speaks = speaks.slice(nDecided);
      }
    }
    if (waiting.length) yield { frames: waiting, isKept: dilated(speaks, around).slice(around) };
  }

  /** Frames of the samples, and how probable speech is in each of them. */
  async *#judged(samples) {
    const { frame, context, frames_at_once, state_size, loudness, max_gain } = this.settings;
    const state = () => new this.Tensor("float32", new Float32Array(state_size), [1, 1, state_size]);
    let hidden = state();
    let cell = state();
    let before = new Float32Array(context); // the samples before the next frame
    let loudest = loudness / max_gain;
    for (const frames of inFrames(samples, frame, frames_at_once)) {
      const n = frames.length / frame;
      loudest = Math.max(loudest, this.#loudness(frames));
      const gain = Math.fround(loudness / loudest);
      const seen = new Float32Array(n * (context + frame));
      for (let i = 0; i < n; i++) {
        const start = i * (context + frame);
        seen.set(before, start);
        const current = frames.subarray(i * frame, (i + 1) * frame);
        seen.set(current, start + context);
        before = current.slice(frame - context);
      }
      for (let i = 0; i < seen.length; i++) seen[i] *= gain;
      const input = new this.Tensor("float32", seen, [n, context + frame]);
      const found = await this.session.run({ input, h: hidden, c: cell });
      hidden = found.hn;
      cell = found.cn;
      yield { frames, probability: found.speech_probs.data };
    }
  }

  /** Samples of each run of kept frames. */
  *#stretches(frames, isKept) {
    const { frame } = this.settings;
    for (let start = 0; start < isKept.length; start++) {
      if (!isKept[start]) continue;
      let stop = start;
      while (stop < isKept.length && isKept[stop]) stop++;
      yield frames.subarray(start * frame, stop * frame);
      start = stop;
    }
  }

  /** Root mean square of the loudest three frames in a row, around their means. */
  #loudness(frames) {
    const { frame } = this.settings;
    const power = [];
    for (let start = 0; start < frames.length; start += frame) {
      power.push(variance(frames.subarray(start, start + frame)));
    }
    if (power.length < 3) return Math.sqrt(power.reduce((a, b) => a + b, 0) / 3);
    let most = 0;
    for (let i = 2; i < power.length; i++) {
      most = Math.max(most, (power[i - 2] + power[i - 1] + power[i]) / 3);
    }
    return Math.sqrt(most);
  }
}

/** Samples in groups of whole frames; the last frame is filled with zeros. */
function* inFrames(samples, frame, framesAtOnce) {
  const wanted = frame * framesAtOnce;
  for (let start = 0; start < samples.length; start += wanted) {
    const part = samples.subarray(start, start + wanted);
    const padded = new Float32Array(Math.ceil(part.length / frame) * frame);
    padded.set(part);
    yield padded;
  }
}

/** Frames with speech in themselves or in one of `around` frames on either side. */
function dilated(speaks, around) {
  return speaks.map((_, i) => speaks.slice(Math.max(0, i - around), i + around + 1).some(Boolean));
}

function withoutSilentEnds(samples, limit) {
  let start = 0;
  let stop = samples.length;
  while (start < stop && Math.abs(samples[start]) <= limit) start++;
  while (stop > start && Math.abs(samples[stop - 1]) <= limit) stop--;
  return samples.subarray(start, stop);
}

/** The largest absolute value. */
export function largest(samples) {
  let most = 0;
  for (const sample of samples) most = Math.max(most, Math.abs(sample));
  return most;
}

/** The mean square around the mean. */
export function variance(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample;
  const mean = sum / samples.length;
  let power = 0;
  for (const sample of samples) power += (sample - mean) ** 2;
  return power / samples.length;
}

/** Several arrays as one. */
export function joined(parts) {
  const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let start = 0;
  for (const part of parts) {
    whole.set(part, start);
    start += part.length;
  }
  return whole;
}
