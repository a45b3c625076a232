// From the channels of a recording to speech that the model can hear, or the reason why there is
// none: the same steps, limits and refusals as speech2face/audio/recording.py.

import { powerSpectrum } from "./fourier.js";
import { resample } from "./resampler.js";
import { largest, variance } from "./speech.js";

const LEVEL_BLOCK = 8192; // samples over which the levels of channels are compared
const SPECTRUM_SIZE = 512; // samples

/** A voice that cannot be used. `code` names the sentence in languages/, `values` fill its gaps. */
export class VoiceError extends Error {
  constructor(code, values = {}) {
    super(code);
    this.code = code;
    this.values = values;
  }
}

/**
 * The speech of a recording.
 * @param {Float32Array[]} channels samples in -1..1
 * @param {number} rate of the samples, in Hz
 * @param finder a SpeechFinder
 * @param limits `recording` of contract.json
 * @returns {{waveform, seconds, secondsSearched, truncated, notes}} notes as [code, values]
 */
export async function speechOf(channels, rate, finder, limits) {
  if (channels.length > limits.max_channels) {
    throw new VoiceError("many_channels", { channels: channels.length });
  }
  if (!channels.every(areFinite)) throw new VoiceError("not_finite");
  const mean = mixed(channels);
  const cancels = channels.length > 1 && theyCancel(channels, mean, limits);
  if (!cancels) return heard(mean, rate, finder, limits);
  const loudest = loudestChannel(channels);
  const recording = await heard(channels[loudest], rate, finder, limits);
  const note = ["note_one_channel", { channel: loudest + 1, channels: channels.length }];
  return { ...recording, notes: [note, ...recording.notes] };
}

async function heard(samples, rate, finder, limits) {
  const searchable = samples.subarray(0, Math.round(limits.max_searched_seconds * rate));
  const searched = resample(searchable, rate, limits.sample_rate);
  const nWanted = Math.round(limits.max_seconds * limits.sample_rate);
  const found = await finder.find(searched, nWanted);
  const secondsSearched = searched.length / limits.sample_rate;
  refuseUnusable(secondsSearched, found.loudest, limits);
  const seconds = found.waveform.length / limits.sample_rate;
  refuseWithoutSpeech(seconds, secondsSearched, limits);
  return {
    waveform: withinFullScale(found.waveform),
    seconds,
    secondsSearched,
    truncated: found.truncated || searchable.length < samples.length,
    notes: notesOn(found.waveform, seconds, limits),
  };
}

function areFinite(samples) {
  return samples.every((sample) => Number.isFinite(sample));
}

function mixed(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    return sum / channels.length;
  });
}

/** Whether the mean keeps less than a hundredth of what independent channels would keep. */
function theyCancel(channels, mean, limits) {
  const independent = channels.reduce((sum, one) => sum + power(one), 0) / channels.length ** 2;
  return power(mean) < limits.cancelled * independent;
}

function loudestChannel(channels) {
  const powers = channels.map(power);
  return powers.indexOf(Math.max(...powers));
}

/** Sum of squares around the mean of each block. */
function power(samples) {
  let sum = 0;
  for (let start = 0; start < samples.length; start += LEVEL_BLOCK) {
    const block = samples.subarray(start, start + LEVEL_BLOCK);
    sum += variance(block) * block.length;
  }
  return sum;
}

function refuseUnusable(seconds, loudest, limits) {
  if (seconds < limits.min_seconds) {
    throw new VoiceError("too_short", { seconds: seconds.toFixed(2), least: limits.min_seconds });
  }
  if (20 * Math.log10(loudest + 1e-12) < limits.silence_dbfs) {
    throw new VoiceError("silent", { level: limits.silence_dbfs });
  }
}

function refuseWithoutSpeech(seconds, searched, limits) {
  const values = { searched: searched.toFixed(1), least: limits.min_seconds };
  if (seconds === 0) throw new VoiceError("no_speech", values);
  if (seconds < limits.min_seconds) {
    throw new VoiceError("little_speech", { ...values, seconds: seconds.toFixed(2) });
  }
}

/** Lossy codecs and resampling overshoot: scaled down, because clipping would distort. */
function withinFullScale(waveform) {
  const peak = Math.fround(largest(waveform));
  return peak > 1 ? waveform.map((sample) => sample / peak) : waveform;
}

/** What makes the face of this speech less certain. */
function notesOn(speech, seconds, limits) {
  const notes = [];
  if (seconds < limits.little_seconds) {
    notes.push(["note_little_speech", { seconds: seconds.toFixed(1) }]);
  }
  if (shareAbove(limits.telephone_hertz, speech, limits.sample_rate) < limits.nothing) {
    notes.push(["note_telephone", {}]);
  }
  return notes;
}

/** How much of the power lies above a frequency; without the mean. */
function shareAbove(hertz, speech, rate) {
  const window = Float64Array.from({ length: SPECTRUM_SIZE }, (_, i) => {
    return 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (SPECTRUM_SIZE - 1));
  });
  let above = 0;
  let all = 0;
  for (let start = 0; start + SPECTRUM_SIZE <= speech.length; start += SPECTRUM_SIZE) {
    const frame = window.map((weight, i) => weight * speech[start + i]);
    powerSpectrum(frame).forEach((power, k) => {
      if (k >= 2) all += power;
      if ((k * rate) / SPECTRUM_SIZE > hertz) above += power;
    });
  }
  return above / Math.max(all, Number.MIN_VALUE);
}
