// The model in a thread of its own, so that the page stays awake while it thinks. Everything comes from the page's own server.

import { Engine } from "./engine.js";
import { Student } from "./student.js";

const RUNTIME = "/vendor/ort.wasm.min.mjs";
const MOST_THREADS = 4;
let student = null;

async function fetched(name, tell, mayLack = false) {
  const response = await fetch(`/model/${name}`);
  if (mayLack && response.status === 404) return null;
  if (!response.ok) {
    const told = await response.json().catch(() => null);
    throw new Error(told?.error?.message ?? `${name}: the server answered ${response.status}`);
  }
  tell(name);
  return response;
}

async function load(tell) {
  const ort = await import(RUNTIME);
  ort.env.wasm.wasmPaths = { mjs: new URL("/vendor/ort-wasm-simd-threaded.mjs", location.origin).href, wasm: new URL("/vendor/ort-wasm-simd-threaded.wasm", location.origin).href };
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.max(1, Math.min(MOST_THREADS, Math.floor(navigator.hardwareConcurrency / 2))) : 1;
  ort.env.logLevel = "error";
  const json = async (name) => (await fetched(name, tell)).json();
  const bytes = async (name) => new Uint8Array(await (await fetched(name, tell)).arrayBuffer());
  const [config, manifest, tokenizer] = [await json("config.json"), await json("needle.json"), await json("tokenizer.json")];
  const optional = async (name) => await (await fetched(name, tell, true))?.json() ?? null;
  const [calibration, prior] = [await optional("calibration.json"), await optional("prior.json")];
  const [encoder, decoder, weights] = [await bytes("encoder.onnx"), await bytes("decoder.onnx"), await bytes("model.safetensors")];
  tell("starting");
  const engine = await Engine.load(ort, { config, manifest, encoder, decoder, weights });
  student = new Student(engine, tokenizer, calibration, prior);
  return { bytes: encoder.length + decoder.length + weights.length, threads: ort.env.wasm.numThreads };
}

self.addEventListener("message", async ({ data: { id, kind, request } }) => {
  try {
    const result = kind === "load" ? await load((step) => self.postMessage({ id, step })) : await student.call(request);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
});
