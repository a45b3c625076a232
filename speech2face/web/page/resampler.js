// Band-limited change of a sample rate to another one.
//
// A sinc under a Kaiser window (beta 9), 128 samples of the lower rate long and cut off at .98 of
// its half: the filter that speech2face/audio/resampler.py asks of FFmpeg. One set of weights is
// kept for every place that an output sample can have between two input samples.
// Source: Oppenheim and Schafer, Discrete-Time Signal Processing, sections 4.6 and 7.5.

const FILTER_SIZE = 128;
const CUTOFF = 0.98;
const BETA = 9;

/** @returns {Float32Array} the samples at rate `to`, without a delay */
export function resample(samples, from, to) {
  if (from === to) return samples;
  const divisor = greatestCommonDivisor(from, to);
  const [step, nPhases] = [from / divisor, to / divisor];
  const phases = weights(nPhases, Math.min(1, (to / from) * CUTOFF));
  const nTaps = phases[0].length;
  const padded = mirrored(samples, nTaps / 2);
  const output = new Float32Array(Math.ceil((samples.length * to) / from));
  for (let n = 0; n < output.length; n++) {
    const place = n * step;
    const phase = phases[place % nPhases];
    const first = Math.floor(place / nPhases) + 1;
    let sum = 0;
    for (let tap = 0; tap < nTaps; tap++) sum += phase[tap] * padded[first + tap];
    output[n] = sum;
  }
  return output;
}

/** The samples with `n` more at either end, mirrored as FFmpeg does it. */
function mirrored(samples, n) {
  const padded = new Float32Array(samples.length + 2 * n);
  padded.set(samples, n);
  for (let i = 0; i < n; i++) {
    padded[n - 1 - i] = samples[i + 1] ?? 0;
    padded[n + samples.length + i] = samples[samples.length - 1 - i] ?? 0;
  }
  return padded;
}

/** Weights of the taps for every phase; each set adds up to one. */
function weights(nPhases, factor) {
  const half = Math.ceil(Math.ceil(FILTER_SIZE / factor) / 2);
  return Array.from({ length: nPhases }, (_, phase) => {
    const taps = Float64Array.from({ length: 2 * half }, (_, tap) => {
      const distance = tap - half + 1 - phase / nPhases; // from the output sample, in input samples
      return sinc(distance * factor) * kaiser(distance / half);
    });
    const sum = taps.reduce((a, b) => a + b, 0);
    return taps.map((tap) => tap / sum);
  });
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The Kaiser window at x, -1 to 1, up to a factor that does not matter here. */
function kaiser(x) {
  return Math.abs(x) >= 1 ? 0 : besselI0(BETA * Math.sqrt(1 - x * x));
}

/** The modified Bessel function of the first kind and order zero, by its power series. */
function besselI0(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
