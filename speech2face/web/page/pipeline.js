// From a voice to a face: the counterpart of `Pipeline` in speech2face/inference/pipeline.py.
// Names and sizes of what goes in and out of the two graphs are those of its first docstring.

import { speechOf } from "./recording.js";
import { SpeechFinder } from "./speech.js";

export class Pipeline {
  /**
   * @param ort      onnxruntime-web
   * @param contract contract.json of the site
   * @param sessions `{speech, hearing, drawing}`
   * @param {Float32Array} draws normal numbers, `[n, draw_size]`: the same as the command line's
   */
  constructor(ort, contract, sessions, draws) {
    this.ort = ort;
    this.contract = contract;
    this.sessions = sessions;
    this.draws = draws;
    this.finder = new SpeechFinder(sessions.speech, ort.Tensor, contract.speech);
  }

  /** v_s of a recording, and what was found in it. Raises VoiceError. */
  async hear(channels, rate) {
    const { waveform, ...found } = await speechOf(
      channels, rate, this.finder, this.contract.recording,
    );
    const feature = await this.feature(waveform);
    return { feature, ...found };
  }

  /** v_s `[D]` of speech at 16 kHz, which is repeated if it is shorter than six seconds. */
  async feature(waveform) {
    const speech = tiledTo(waveform, this.contract.n_samples);
    const tensor = new this.ort.Tensor("float32", speech, [1, speech.length]);
    const { feature } = await this.sessions.hearing.run({ waveform: tensor }, ["feature"]);
    return Float32Array.from(feature.data);
  }

  /** The face of a feature; `likely` is the number of one of the equally likely faces, or null. */
  async draw(feature, exaggeration, likely = null) {
    if (likely !== null) return (await this.likely(feature, exaggeration, likely + 1)).at(-1);
    const [face] = await this.#faces(feature, exaggeration, [null]);
    return face;
  }

  /** Faces that the voice fits as well. In groups of one size, as sums round otherwise in others. */
  async likely(feature, exaggeration, count) {
    const { faces_at_once } = this.contract;
    const faces = [];
    for (let start = 0; start < count; start += faces_at_once) {
      const group = Array.from({ length: faces_at_once }, (_, i) =>
        start + i < count ? start + i : null,
      );
      const drawn = await this.#faces(feature, exaggeration, group);
      faces.push(...drawn.slice(0, count - start));
    }
    return faces;
  }

  async #faces(feature, exaggeration, numbers) {
    const { Tensor } = this.ort;
    const { feature_size, draw_size } = this.contract.model;
    const n = numbers.length;
    const features = new Float32Array(n * feature_size);
    const draws = new Float32Array(n * draw_size);
    numbers.forEach((number, i) => {
      features.set(feature, i * feature_size);
      if (number !== null) draws.set(this.#draw(number), i * draw_size);
    });
    const found = await this.sessions.drawing.run(
      {
        feature: new Tensor("float32", features, [n, feature_size]),
        exaggeration: new Tensor("float32", new Float32Array(n).fill(exaggeration), [n]),
        draw: new Tensor("float32", draws, [n, draw_size]),
      },
      ["image", "landmarks"],
    );
    return numbers.map((_, i) => ({
      pixels: asPixels(partOf(found.image.data, i, n)),
      landmarks: Float32Array.from(partOf(found.landmarks.data, i, n)),
    }));
  }

  #draw(number) {
    const { draw_size } = this.contract.model;
    return this.draws.subarray(number * draw_size, (number + 1) * draw_size);
  }
}

/** At least `nSamples`: shorter is repeated from its beginning, longer is kept whole. */
export function tiledTo(waveform, nSamples) {
  if (waveform.length >= nSamples) return waveform;
  return Float32Array.from({ length: nSamples }, (_, i) => waveform[i % waveform.length]);
}

function partOf(values, i, n) {
  const size = values.length / n;
  return values.subarray(i * size, (i + 1) * size);
}

/** `[3, H, W]` in 0..1 as the bytes of RGBA pixels. */
function asPixels(image) {
  const nPixels = image.length / 3;
  const pixels = new Uint8ClampedArray(4 * nPixels); // rounds to even and clips, as NumPy does
  for (let i = 0; i < nPixels; i++) {
    for (let colour = 0; colour < 3; colour++) {
      pixels[4 * i + colour] = Math.fround(image[colour * nPixels + i] * 255);
    }
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}
