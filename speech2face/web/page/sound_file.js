// A sound file as channels of samples, decoded by the browser.

import { VoiceError } from "./recording.js";

const USUAL_RATE = 48_000; // Hz; the browser decodes every format but wav to this rate

/** `{channels, rate}` of a file's content. Raises VoiceError. */
export async function decoded(content) {
  if (content.byteLength === 0) throw new VoiceError("empty");
  const rate = usableRate(wavRate(content)) ?? USUAL_RATE;
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content);
  } catch {
    throw new VoiceError("not_sound");
  }
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  return { channels, rate: sound.sampleRate };
}

/** The rate that the header of a wav states, so that its samples arrive unchanged; else null. */
export function wavRate(content) {
  const bytes = new DataView(content);
  if (bytes.byteLength < 28 || text(bytes, 0) !== "RIFF" || text(bytes, 8) !== "WAVE") return null;
  for (let place = 12; place + 16 <= bytes.byteLength; ) {
    if (text(bytes, place) === "fmt ") return bytes.getUint32(place + 12, true);
    const size = bytes.getUint32(place + 4, true);
    place += 8 + size + (size % 2);
  }
  return null;
}

function usableRate(rate) {
  return rate !== null && rate >= 8_000 && rate <= 96_000 ? rate : null;
}

function text(bytes, place) {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => bytes.getUint8(place + i)));
}
