// Renders what the page asks for, away from it, so that sliders move meanwhile. Only the last wish counts.

import {refocused} from "./bokehme.js";
import {opened} from "./networks.js";

class Superseded extends Error {}

let wanted = null, changed = () => {};
self.onmessage = ({data}) => {
  wanted = data;
  changed();
};

try {
  const scene = await (await fetch("./scene.json")).json();
  const {height, width, gamma} = scene;
  const read = async (name, channels) =>
    ({channels, height, width, data: new Float32Array(await (await fetch(`./${name}.f32`)).arrayBuffer())});
  const [image, disparity] = [await read("picture", 3), await read("disparity", 1)];
  const run = await opened(["arnet", "iunet"]);
  postMessage({scene, disparity: disparity.data});
  for (;;) {
    while (wanted === null) await new Promise((resolve) => { changed = resolve; });
    const lens = wanted, begin = performance.now();
    // Messages arrive between tasks.
    const unlessSuperseded = async (name, inputs) => {
      await new Promise((resolve) => setTimeout(resolve));
      if (wanted !== lens) throw new Superseded();
      return run(name, inputs);
    };
    try {
      let shown = null;
      for await (const picture of refocused(unlessSuperseded, image, disparity, lens, gamma)) {
        shown = picture;
        postMessage({lens, pixels: bytes(picture), isFinal: false, seconds: (performance.now() - begin) / 1000});
      }
      postMessage({lens, pixels: bytes(shown), isFinal: true, seconds: (performance.now() - begin) / 1000});
      if (wanted === lens) wanted = null;
    } catch (error) {
      if (!(error instanceof Superseded)) throw error;
    }
  }
} catch (error) {
  postMessage({error: String(error)});
}

// Red, green, blue and opaque, a byte each.
function bytes({height, width, data}) {
  const size = height * width, pixels = new Uint8ClampedArray(4 * size).fill(255);
  for (let i = 0; i < 3 * size; i++) pixels[4 * (i % size) + Math.floor(i / size)] = 255 * data[i];
  return pixels;
}
