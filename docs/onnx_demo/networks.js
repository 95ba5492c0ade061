// The ONNX files beside this page, run by onnxruntime-web in WebAssembly. Nothing is asked of any other place.

import * as ort from "./ort/ort.js";

ort.env.wasm.wasmPaths = {wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href};
// Threads share memory, which browsers allow only to servers that send the headers of an isolated page.
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;

// `run(name, inputs)` of the named networks: outputs by name. Inputs are stacks of planes, as in bokehme.js; a number is
// a tensor of one value.
export async function opened(names) {
  const sessions = {};
  for (const name of names) {
    const file = await fetch(new URL(`./${name}.onnx`, import.meta.url));
    if (!file.ok) throw new Error(`${name}.onnx: ${file.status} ${file.statusText}`);
    sessions[name] = await ort.InferenceSession.create(new Uint8Array(await file.arrayBuffer()));
  }
  return async (name, inputs) => {
    const feeds = Object.fromEntries(Object.entries(inputs).map(([key, x]) => [key, tensorOf(x)]));
    const outputs = await sessions[name].run(feeds);
    return Object.fromEntries(Object.entries(outputs).map(([key, {dims, data}]) =>
      [key, {channels: dims[1], height: dims[2], width: dims[3], data}]));
  };
}

function tensorOf(x) {
  return typeof x === "number"
    ? new ort.Tensor("float32", [x], [1])
    : new ort.Tensor("float32", x.data, [1, x.channels, x.height, x.width]);
}
