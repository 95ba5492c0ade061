// BokehMe (Peng et al. 2022) in the browser, as `renderers/neural/bokehme/inference.py` has it, for pictures that end at
// white: a scatter, two networks, and an error map that says where which of them is right.
//
// A stack is {channels, height, width, data}: planes one after the other, Float32Array. A lens is {blur, focus}: K, pixels
// per unit of disparity, and the disparity in focus. Display values; linear light is display ** gamma.

const DEFOCUS_UNIT_PX = 10;

// Of `renderers/splatting/kernels.py`: how densely radii have kernels, and what weights are multiples of.
const KERNELS_PER_ROOT = 512;
const WEIGHT_STEPS = 2 ** 13;

const stack = (channels, height, width) =>
  ({channels, height, width, data: new Float32Array(channels * height * width)});

const mapped = (x, f) => ({...x, data: x.data.map(f)});

// Yields the picture of the scatter alone, soon, and then BokehMe's: stacks of 3 channels in [0, 1].
// `run(name, inputs)` gives the outputs of a network, both by name, as the ONNX files have them; gamma is a number.
export async function* refocused(run, image, disparity, lens, gamma) {
  if (lens.blur === 0) {
    yield image;
    return;
  }
  const defocus = mapped(disparity, (d) => lens.blur * (d - lens.focus));
  const classical = mapped(scatter(mapped(image, (v) => v ** gamma), defocus), (v) => v ** (1 / gamma));
  yield classical;
  const {picture, error} = await rendered(run, image, defocus, Math.min(Math.max((gamma - 1) / 4, 0), 1));
  const size = error.data.length;
  yield mapped(picture, (v, i) =>
    Math.min(Math.max(classical.data[i] + error.data[i % size] * (v - classical.data[i]), 0), 1));
}

// Section 3.2: every pixel into a disk of its own radius, over the sum of the weights.
export function scatter(linear, defocus) {
  const {height, width} = linear, size = height * width;
  const kernels = new Map();
  const kernelOf = Array.from(defocus.data, (s) => {
    const label = Math.round((Math.sqrt(Math.abs(s) + 0.25) - 0.5) * KERNELS_PER_ROOT);
    if (!kernels.has(label)) kernels.set(label, softDisk((label / KERNELS_PER_ROOT + 0.5) ** 2 - 0.25));
    return kernels.get(label);
  });
  const reach = Math.max(...[...kernels.values()].map((kernel) => kernel.reach));
  // A disk adds only the changes of its weight to a row; their running sum is the picture.
  const row = 4 * (width + 2 * reach + 2);
  const changes = new Float64Array(height * row);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const {reach: own, firstTap, offset, step} = kernelOf[i];
      const weight = 1 / (defocus.data[i] ** 2 + 0.2);
      const red = weight * linear.data[i], green = weight * linear.data[i + size], blue = weight * linear.data[i + 2 * size];
      for (let dy = Math.max(-own, -y); dy <= Math.min(own, height - 1 - y); dy++) {
        for (let tap = firstTap[dy + own]; tap < firstTap[dy + own + 1]; tap++) {
          const at = (y + dy) * row + 4 * (x + reach + offset[tap]);
          changes[at] += step[tap] * red;
          changes[at + 1] += step[tap] * green;
          changes[at + 2] += step[tap] * blue;
          changes[at + 3] += step[tap] * weight;
        }
      }
    }
  }
  const out = stack(3, height, width);
  for (let y = 0; y < height; y++) {
    const sums = [0, 0, 0, 0];
    for (let x = -reach; x < width; x++) {
      for (let c = 0; c < 4; c++) sums[c] += changes[y * row + 4 * (x + reach) + c];
      if (x >= 0) for (let c = 0; c < 3; c++) out.data[c * size + y * width + x] = Math.max(sums[c], 0) / sums[3];
    }
  }
  return out;
}

// Weights 1/2 + 1/2 tanh(4 (r - rho)), as their changes along rows.
function softDisk(radius) {
  const reach = Math.floor(radius) + 1, firstTap = [0], offset = [], step = [];
  for (let dy = -reach; dy <= reach; dy++) {
    let before = 0;
    for (let dx = -reach; dx <= reach + 1; dx++) {
      const inside = 0.5 + 0.5 * Math.tanh(4 * (radius - Math.sqrt(dx * dx + dy * dy)));
      const weight = dx > reach ? 0 : Math.round(WEIGHT_STEPS * inside);
      if (weight !== before) {
        offset.push(dx);
        step.push((weight - before) / WEIGHT_STEPS);
      }
      before = weight;
    }
    firstTap.push(offset.length);
  }
  return {reach, firstTap, offset, step};
}

// The networks' picture, not below 0, and the error map in [0, 1], both at full size.
async function rendered(run, image, defocusPx, gamma) {
  const {height, width} = image;
  const defocus = mapped(defocusPx, (s) => s / DEFOCUS_UNIT_PX);
  const dilated = mapped(dilatedDefocus(defocusPx), (s) => s / DEFOCUS_UNIT_PX);
  const factor = Math.max(defocus.data.reduce((most, s) => Math.max(most, Math.abs(s)), 0), 1);
  const small = [Math.max(Math.floor(height / factor), 2), Math.max(Math.floor(width / factor), 2)];
  const first = await run("arnet", {
    image: resized(image, ...small), defocus: mapped(resized(defocus, ...small), (s) => s / factor), gamma,
  });
  const error = resized(mapped(first.error_logit, (v) => 1 / (1 + Math.exp(-v))), height, width);
  let picture = mapped(first.picture, (v) => Math.max(v, 0));
  for (let ratio = 2 / factor; ratio <= 1; ratio *= 2) {
    const size = [Math.floor(ratio * height), Math.floor(ratio * width)];
    const [s, d] = [defocus, dilated].map((plane) => mapped(resized(plane, ...size), (v) => ratio * v));
    picture = await upsampled(run, resized(image, ...size), s, d, picture, gamma);
  }
  return {picture: await upsampled(run, image, defocus, dilated, picture, gamma), error};
}

// Eq. 8: the coarse picture at the size of the image, sharp near focus.
async function upsampled(run, image, defocus, dilated, coarse, gamma) {
  const seen = mapped(defocus, (s) => Math.min(Math.max(s, -1), 1));
  const fine = (await run("iunet", {image, defocus: seen, coarse, gamma})).picture;
  const mask = nearFocus(dilated).data, plain = resized(coarse, image.height, image.width);
  return mapped(plain, (v, i) => v + mask[i % mask.length] * (Math.max(fine.data[i], 0) - v));
}

// 1 where |defocus| < 1, with soft rims.
function nearFocus(defocus) {
  const {height, width} = defocus;
  const mask = mapped(defocus, (s) => Number(Math.abs(s) < 1));
  const radius = halfToEven(0.005 * (height + width));
  if (radius === 0) return mask;
  const sigma = 0.3 * (radius - 1) + 0.8;
  const weights = Array.from({length: 2 * radius + 1}, (_, i) => Math.exp(-0.5 * ((i - radius) / sigma) ** 2));
  const total = weights.reduce((sum, w) => sum + w);
  const along = (x, stride, length, at) => mapped(x, (_, i) => {
    const place = at(i);
    return weights.reduce((sum, w, k) => {
      const other = Math.min(Math.max(place + k - radius, 0), length - 1);
      return sum + w / total * x.data[i + (other - place) * stride];
    }, 0);
  });
  const columns = along(mask, width, height, (i) => Math.floor(i / width));
  return along(columns, 1, width, (i) => i % width);
}

// As Python rounds.
function halfToEven(x) {
  return x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

// Section 3.3: the largest whole defocus whose disk reaches a pixel. Sources go from large to small, and the first fills.
export function dilatedDefocus(defocus) {
  const {height, width} = defocus;
  const whole = Int32Array.from(defocus.data, Math.trunc);
  const order = Int32Array.from(whole, (_, i) => i).sort((a, b) => whole[b] - whole[a]);
  const out = stack(1, height, width);
  // next[x] of a row is x where the pixel is empty, else one to the right of it.
  const next = Int32Array.from({length: height * (width + 1)}, (_, i) => i % (width + 1));
  const empty = (row, x) => {
    while (next[row + x] !== x) x = next[row + x] = next[row + next[row + x]];
    return x;
  };
  for (const i of order) {
    const y = Math.floor(i / width), x = i % width, radius = Math.abs(defocus.data[i]), reach = Math.floor(radius);
    for (let ty = Math.max(y - reach, 0); ty <= Math.min(y + reach, height - 1); ty++) {
      const half = Math.floor(Math.sqrt(radius * radius - (ty - y) ** 2));
      const row = ty * (width + 1), last = Math.min(x + half, width - 1);
      for (let tx = empty(row, Math.max(x - half, 0)); tx <= last; tx = empty(row, tx + 1)) {
        out.data[ty * width + tx] = whole[i];
        next[row + tx] = tx + 1;
      }
    }
  }
  return out;
}

// Bilinearly, corner pixels on corner pixels.
export function resized(x, height, width) {
  if (x.height === height && x.width === width) return x;
  const out = stack(x.channels, height, width);
  const places = (from, to) => Array.from({length: to}, (_, i) => {
    const at = to > 1 ? i * (from - 1) / (to - 1) : 0, low = Math.min(Math.floor(at), Math.max(from - 2, 0));
    return [low, Math.min(low + 1, from - 1), at - low];
  });
  const rows = places(x.height, height), columns = places(x.width, width);
  for (let c = 0, i = 0; c < x.channels; c++) {
    const plane = x.data.subarray(c * x.height * x.width);
    for (const [top, bottom, v] of rows) {
      for (const [left, right, u] of columns) {
        const upper = plane[top * x.width + left] * (1 - u) + plane[top * x.width + right] * u;
        const lower = plane[bottom * x.width + left] * (1 - u) + plane[bottom * x.width + right] * u;
        out.data[i++] = upper * (1 - v) + lower * v;
      }
    }
  }
  return out;
}
