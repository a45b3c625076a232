// The model at work, away from the thread that draws the page. Questions arrive as
// `{id, action, given}`; each answer carries the id of its question.

import * as ort from "./vendor/onnxruntime.js";
import { Pipeline } from "./pipeline.js";
import { VoiceError } from "./recording.js";

// One thread: several need headers that a plain host of files does not send.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/onnxruntime.wasm", import.meta.url).href };
ort.env.logLevel = "fatal";

let pipeline = null;

const ACTIONS = {
  async load() {
    const [about, speech, hearing, drawing, draws] = await Promise.all([
      bytesOf("contract.json"),
      sessionOf("model/speech.onnx"),
      sessionOf("model/hears.onnx"),
      sessionOf("model/draws.onnx"),
      bytesOf("model/likely.f32"),
    ]);
    const contract = JSON.parse(new TextDecoder().decode(about));
    const sessions = { speech, hearing, drawing };
    pipeline = new Pipeline(ort, contract, sessions, new Float32Array(draws));
    return contract;
  },
  hear: ({ channels, rate }) => pipeline.hear(channels, rate),
  feature: ({ waveform }) => pipeline.feature(waveform),
  draw: ({ feature, exaggeration, likely }) => pipeline.draw(feature, exaggeration, likely),
  likely: ({ feature, exaggeration, count }) => pipeline.likely(feature, exaggeration, count),
};

async function sessionOf(path) {
  const content = new Uint8Array(await bytesOf(path));
  try {
    return await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  } catch (error) {
    console.error(error);
    const isRuntime = error.message.includes("no available backend"); // or else the graph is damaged
    throw new VoiceError("not_loaded", { file: isRuntime ? "vendor/onnxruntime.wasm" : path });
  }
}

async function bytesOf(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) throw new VoiceError("not_loaded", { file: path });
  return answer.arrayBuffer();
}

let last = Promise.resolve();
self.onmessage = ({ data: { id, action, given } }) => {
  last = last.then(async () => {
    try {
      self.postMessage({ id, result: await ACTIONS[action](given ?? {}) });
    } catch (error) {
      const known = error instanceof VoiceError;
      if (!known) console.error(error);
      const code = known ? error.code : "failed";
      self.postMessage({ id, error: { code, values: known ? error.values : {} } });
    }
  });
};
