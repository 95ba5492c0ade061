"use strict";

const $ = (id) => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const short = (x, digits = 3) => String(Number(x.toPrecision(digits)));
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

// An exact picture is asked for when nothing has moved for so long, milliseconds.
const REST_MS = 250;
// The preview is as fine as the machine draws it in about this time: every so manieth pixel, and lens points.
const FRAME_MS = 30;
const QUALITIES = [[8, 16], [4, 32], [2, 32], [1, 32], [1, 64], [1, 128], [1, 256], [1, 512]];
const TAB = Array.from(crypto.getRandomValues(new Uint32Array(2)), (x) => x.toString(36)).join("");
const SHAPES = [["disk", "round"], ...[5, 6, 7, 8, 9].map((n) => [`polygon:${n}`, `${n} blades`]), ["donut:0.5", "ring of a mirror lens"]];
// The wipe shows one of these, or a renderer.
const NOTHING = "", SHARP = "identity", TRUTH = "truth";

let studio = null;                // what the server tells of itself
let scene = null;                 // the open subject, with its map
let at = null;                    // the settings shown: blur, focus, gamma
let preview = Preview.make();
let quality = 1;                  // of the preview, one of QUALITIES
let lens = { words: null, count: 0, catEye: 0 };
let version = 0;                  // of the settings; pictures of older ones are not shown
let isDragging = false;
let restTimer = 0, frameRequest = 0;
let wipeAt = 0.5;
// The exact picture at the left and right of the wipe: { version, bitmap, text }; null where there is none.
const shownAt = { left: null, right: null };
const asking = { left: null, right: null };
let makingSweep = null;

/* ---------- asking the server ---------- */

async function answerOf(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; it may have been ended");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({ error: `the server answers ${response.status}` }));
  throw Object.assign(new Error(told.error), { isSuperseded: response.status === 409 });
}

const post = (path, document, signal) => answerOf(path, { method: "POST", body: JSON.stringify(document), signal });
const ofScene = (path, more = {}) => `${path}?${new URLSearchParams({ scene: scene?.name ?? $("scene").value, ...more })}`;

// A line of JSON and what follows.
async function binary(response) {
  const buffer = await response.arrayBuffer(), bytes = new Uint8Array(buffer), end = bytes.indexOf(10) + 1;
  return { head: JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))), buffer, end };
}

function complain(error) {
  if (error.name === "AbortError" || error.isSuperseded) return;
  say("");
  $("error").textContent = error.message;
  $("error").hidden = false;
}

/* ---------- the subject ---------- */

async function begin() {
  studio = await (await answerOf("studio.json")).json();
  $("title").textContent = studio.title;
  document.title = `${studio.title} · BokehForge studio`;
  $("no-webgl").hidden = preview !== null;
  const option = (value, text = value) => make("option", { value, textContent: text });
  $("scene").replaceChildren(...studio.scenes.map((name) => option(name)));
  $("scene-control").hidden = studio.scenes.length < 2;
  const methods = studio.renderers.map(({ name, given }) => option(name, given === "picture" ? `${name}, of the picture alone` : name));
  $("renderer").replaceChildren(...methods.filter(({ value }) => value !== SHARP));
  $("renderer").value = studio.renderer;
  const given = SHAPES.some(([words]) => words === studio.aperture) ? [] : [[studio.aperture, studio.aperture]];
  $("aperture").replaceChildren(...[...SHAPES, ...given].map(([words, text]) => option(words, text)));
  $("aperture").value = studio.aperture;
  $("against").replaceChildren(
    option(NOTHING, "nothing"), option(SHARP, "all in focus"), option(TRUTH, "the truth"),
    ...studio.renderers.filter(({ name }) => name !== SHARP).map(({ name }) => option(name)));
  await open(studio.scenes[0]);
}

async function open(name) {
  $("scene").value = name;
  at = null;
  version += 1;
  $("error").hidden = true;
  say("Opening the scene and its layers …");
  const opened = await (await answerOf(`scene.json?${new URLSearchParams({ scene: name })}`)).json();
  const map = await binary(await answerOf(`disparity.bin?${new URLSearchParams({ scene: name })}`));
  if ($("scene").value !== name) return;
  scene = { ...opened, map: new Float32Array(map.buffer, map.end), mapSize: map.head.size };
  const hasTruth = scene.truths.length > 0, truth = [...$("against").options].find(({ value }) => value === TRUTH);
  truth.hidden = truth.disabled = !hasTruth;
  if (!hasTruth && $("against").value === TRUTH) $("against").value = NOTHING;
  const own = [...$("aperture").options].find(({ value }) => value === "truth");
  if (hasTruth && !own) $("aperture").prepend(make("option", { value: "truth", textContent: "that of the truth" }));
  if (hasTruth) $("aperture").value = "truth";
  $("size").textContent = `${scene.width} × ${scene.height} px`;
  $("layers").textContent = `${scene.layers} ${scene.is_true ? "true" : "found"}`;
  document.querySelector(".bench").style.setProperty("--aspect", scene.width / scene.height);
  $("picture").width = scene.width;
  $("picture").height = scene.height;
  shownAt.left = shownAt.right = null;
  $("ring").hidden = true;
  if (preview) {
    const { head, buffer, end } = await binary(await answerOf(ofScene("layers.bin")));
    if (scene.name !== name) return;
    const texels = head.count * head.size[0] * head.size[1];
    preview.load(head, new Uint16Array(buffer, end, 4 * texels), new Float32Array(buffer.slice(end + 8 * texels)), [scene.width, scene.height]);
    lens.words = null;
  }
  const strongest = hasTruth ? scene.blur_max : scene.blur_max / 2;
  show({ blur: strongest, focus: scene.focus, gamma: hasTruth ? scene.truths[0].gamma : REFERENCE_GAMMA });
}

/* ---------- settings ---------- */

// The aperture with its character, in the words of the command line.
function apertureWords() {
  const words = $("aperture").value, more = [];
  if (words === "truth") return words;
  if (Number($("spherical").value) !== 0) more.push(`spherical=${$("spherical").value}`);
  if (Number($("cat-eye").value) !== 0) more.push(`cat_eye=${$("cat-eye").value}`);
  return [words, ...more].join(",");
}

const settings = (renderer) => ({ tab: TAB, scene: scene.name, renderer, ...at, aperture: apertureWords() });
const isWiping = () => $("against").value !== NOTHING;

// S = K (d - d_f) in pixels, as in scenes/lens.py: positive is nearer than the focus plane.
const defocus = (d) => at.blur * (d - at.focus);

const distanceTo = (truth, { blur, focus, gamma }) => {
  const [low, high] = scene.disparities;
  return [Math.abs(truth.gamma - gamma), Math.abs(truth.blur - blur) / (scene.blur_max || 1),
          Math.abs(truth.focus - focus) / (high - low || 1)].reduce((sum, x) => sum + x, 0);
};
const nearestTruth = (wanted) => scene.truths.reduce((a, b) => distanceTo(b, wanted) < distanceTo(a, wanted) ? b : a);

// Everything goes through here: what is shown follows the settings.
function show({ blur, focus, gamma }) {
  // As many digits as a person can copy; seven are those of a map.
  const next = { blur: Number(blur.toPrecision(5)), focus: Number(focus.toPrecision(7)), gamma };
  at = next;
  if ($("against").value === TRUTH) {
    const { blur, focus, gamma } = nearestTruth(next);
    at = { blur, focus, gamma };
    $("aperture").value = "truth";
  }
  version += 1;
  $("error").hidden = true;
  describe();
  requestFrame();
  rest();
}

// Not while a scene is opened.
function change(more = {}) {
  if (at) show({ ...at, ...more });
}

function rest() {
  clearTimeout(restTimer);
  restTimer = setTimeout(() => { if (at && !isDragging) askExact(); }, REST_MS);
}

function describe() {
  const [low, high] = scene.disparities, span = high - low || 1;
  $("focus").value = 500 * (at.focus - low) / span;
  $("blur").value = 200 * at.blur / (scene.blur_max || 1);
  $("gamma").value = at.gamma;
  const focus = at.focus - scene.shift, metres = scene.is_metric ? (focus > 0 ? `, ${short(1 / focus)} m` : ", infinity") : "";
  value("focus", ["d", "f"], `${short(focus)}${metres}`);
  value("blur", ["K"], `${short(at.blur, 4)} px`);
  value("gamma", ["γ"], short(at.gamma, 2));
  $("spherical-value").textContent = $("spherical").value;
  $("cat-eye-value").textContent = $("cat-eye").value;
  const isTruths = $("aperture").value === "truth";
  for (const id of ["spherical", "cat-eye"]) $(id).disabled = isTruths;
  $("aperture").disabled = $("against").value === TRUTH;
  $("radius").textContent = `${short(Math.max(...scene.disparities.map((d) => Math.abs(defocus(d)))))} px`;
  describeCommand();
}

function value(id, [symbol, index], text) {
  const quantity = make("span", { className: "symbol", textContent: symbol });
  if (index) quantity.append(make("sub", { textContent: index }));
  $(`${id}-value`).replaceChildren(quantity, ` = ${text}`);
  $(id).setAttribute("aria-valuetext", text);
}

function describeCommand() {
  const quoted = (word) => /^[\w./:=,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  const { name, given } = studio.renderers.find((method) => method.name === $("renderer").value);
  const isOfLayers = given === "layers" || given === "truth";
  const words = studio.commands[isOfLayers ? "layers" : "picture"];
  $("command-section").hidden = !words;
  if (!words) return;
  const lensWords = ["--blur", String(at.blur), "--focus", String(at.focus - scene.shift), "--gamma", String(at.gamma),
    "--aperture", apertureWords()];
  const lines = isOfLayers && studio.commands.find ? [studio.commands.find] : [];
  const ofPicture = given === "picture" ? ["--gamma", String(at.gamma)] : lensWords;
  const file = `refocused.${$("format").value}`;
  lines.push([...words, ...ofPicture, "--renderer", name, "--out", file]);
  // Lines break between words, and not at the hyphens of options.
  const word = (text) => [make("span", { textContent: quoted(text) }), " "];
  $("command").replaceChildren(...lines.flatMap((line, i) => [i ? "\n" : "", ...line.flatMap(word).slice(0, -1)]));
}

/* ---------- pictures ---------- */

function requestFrame() {
  if (!frameRequest) frameRequest = requestAnimationFrame(frame);
}

const hasPreview = () => preview && !preview.isLost && preview.layers.length > 0;

async function frame() {
  frameRequest = 0;
  if (!scene || !at) return;
  const isExact = shownAt.left?.version === version;
  if (!isExact && hasPreview()) {
    const words = apertureWords(), [, points] = QUALITIES[quality];
    // A frame that comes later has them; meanwhile those that are there must do.
    if (lens.words !== words || lens.count !== points) fetchLens(words, points).catch(complain);
    if (lens.words !== null) drawPreview();
  }
  compose();
}

let lensWanted = null;            // what is on its way

async function fetchLens(words, count) {
  const wanted = `${words} ${count}`;
  if (wanted === lensWanted) return;
  lensWanted = wanted;
  try {
    const { head, buffer, end } = await binary(await answerOf(ofScene("aperture.bin", { words, count })));
    if (wanted !== lensWanted) return;
    preview.setPoints(new Float32Array(buffer, end));
    lens = { words, count, catEye: head.cat_eye };
    requestFrame();
  } finally {
    if (wanted === lensWanted) lensWanted = null;
  }
}

function drawPreview() {
  preview.setStep(QUALITIES[quality][0]);
  const took = preview.draw({ ...at, catEye: lens.catEye });
  if (took > 2 * FRAME_MS) quality = Math.max(quality - 1, 0);
  else if (took < FRAME_MS / 3) quality = Math.min(quality + 1, QUALITIES.length - 1);
}

// Draws the picture from what there is: exact pictures of these settings, else the preview, else older exact ones.
function compose() {
  const canvas = $("picture"), context = canvas.getContext("2d"), { width, height } = canvas;
  const sourceOf = (side) => shownAt[side]?.version === version ? shownAt[side].bitmap
    : hasPreview() && lens.words !== null ? preview.canvas : shownAt[side]?.bitmap;
  const nameOf = (side) => shownAt[side]?.version === version ? shownAt[side].text : hasPreview() ? "preview" : "…";
  const left = sourceOf("left"), right = isWiping() ? sourceOf("right") : null;
  if (left) context.drawImage(left, 0, 0, width, height);
  const split = Math.round(wipeAt * width);
  if (right && split < width) {
    context.save();
    context.beginPath();
    context.rect(split, 0, width - split, height);
    context.clip();
    context.drawImage(right, 0, 0, width, height);
    context.restore();
  }
  $("left-chip").textContent = nameOf("left");
  $("left-chip").hidden = !left;
  $("right-chip").textContent = right ? nameOf("right") : "";
  $("right-chip").hidden = !right;
  $("wipe").hidden = !isWiping();
  $("wipe").style.left = `${100 * wipeAt}%`;
  $("wipe").setAttribute("aria-valuenow", Math.round(100 * wipeAt));
}

function askExact() {
  askFor("left", $("renderer").value);
  if (isWiping()) askFor("right", $("against").value);
}

async function askFor(side, name) {
  const wanted = version, begin = performance.now();
  if (shownAt[side]?.version === wanted && shownAt[side].name === name) return;
  asking[side]?.abort();
  const control = asking[side] = new AbortController();
  const timer = setInterval(() => say(`${name}: ${Math.round((performance.now() - begin) / 1000)} s`), 1000);
  try {
    say(`${name} …`);
    const response = name === TRUTH
      ? await answerOf(ofScene("truth.png", { name: nearestTruth(at).name }), { signal: control.signal })
      : await post("picture", { ...settings(name), place: side }, control.signal);
    const bitmap = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
    if (wanted !== version) return;
    const text = name === SHARP ? "all in focus" : name === TRUTH ? "the truth" : name;
    shownAt[side] = { version, bitmap, name, text };
    compose();
  } catch (error) {
    if (wanted === version) complain(error);
  } finally {
    clearInterval(timer);
    if (asking[side] === control) asking[side] = null;
    if (!asking.left && !asking.right && !makingSweep) say("");
  }
}

function say(text) {
  $("status").textContent = text;
}

/* ---------- files to keep ---------- */

function keep(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const nameIn = (response) => {
  const header = response.headers.get("content-disposition") ?? "";
  const encoded = header.match(/filename\*=utf-8''([^;]+)/i), plain = header.match(/filename="([^"]+)"/);
  return encoded ? decodeURIComponent(encoded[1]) : plain ? plain[1] : "picture";
};

async function save() {
  if (!at) return;
  $("save").disabled = true;
  $("error").hidden = true;
  say("Saving …");
  try {
    const response = await post("save", { ...settings($("renderer").value), format: $("format").value });
    keep(await response.blob(), nameIn(response));
  } catch (error) {
    complain(error);
  } finally {
    $("save").disabled = false;
    say("");
  }
}

async function sweep() {
  if (makingSweep) return makingSweep.abort();
  if (!at) return;
  const pictures = Number($("sweep-pictures").value);
  makingSweep = new AbortController();
  $("sweep").textContent = "Stop";
  $("error").hidden = true;
  try {
    const asked = { ...settings($("renderer").value), format: $("sweep-format").value, pictures };
    const response = await post("sweep", asked, makingSweep.signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      const lines = text.split("\n");
      text = lines.pop();
      for (const told of lines.map(JSON.parse)) {
        if (told.error) throw new Error(told.error);
        if (told.done) say(`Sweep: ${told.done} of ${pictures} pictures`);
        if (told.film) keep(await (await answerOf(`film?film=${told.film}`)).blob(), told.name);
      }
    }
  } catch (error) {
    complain(error);
  } finally {
    makingSweep = null;
    $("sweep").textContent = "Make";
    say("");
  }
}

/* ---------- input ---------- */

function disparityAt(event) {
  const box = $("picture").getBoundingClientRect(), [width, height] = scene.mapSize;
  const x = clamp((event.clientX - box.left) / box.width, 0, 1 - 1e-9);
  const y = clamp((event.clientY - box.top) / box.height, 0, 1 - 1e-9);
  return { x, y, d: scene.map[Math.floor(y * height) * width + Math.floor(x * width)] };
}

function point(event) {
  if (!scene || !at) return;
  const { x, y, d } = disparityAt(event);
  if (event.type === "pointerdown" && event.button === 0) {
    $("picture").setPointerCapture(event.pointerId);
    isDragging = true;
  }
  if (isDragging) {
    if (d !== at.focus) change({ focus: d });
    Object.assign($("ring").style, { left: `${100 * x}%`, top: `${100 * y}%` });
    $("ring").hidden = false;
  }
  $("probe").textContent = `d ${short(d - scene.shift)}, ${Math.abs(defocus(d)).toFixed(1)} px`;
}

function letGo() {
  if (!isDragging) return;
  isDragging = false;
  rest();
}

$("picture").addEventListener("pointerdown", point);
$("picture").addEventListener("pointermove", point);
$("picture").addEventListener("pointerleave", () => { $("probe").textContent = "–"; });
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, letGo);

const sliders = {
  focus: (position) => { const [low, high] = scene.disparities; return low + position / 500 * (high - low); },
  blur: (position) => position / 200 * scene.blur_max,
  gamma: (position) => position,
};
for (const [key, toValue] of Object.entries(sliders)) {
  $(key).addEventListener("pointerdown", () => { isDragging = true; });
  $(key).addEventListener("input", () => change({ [key]: toValue(Number($(key).value)) }));
}
for (const id of ["spherical", "cat-eye"]) {
  $(id).addEventListener("pointerdown", () => { isDragging = true; });
  $(id).addEventListener("input", () => change());
}
for (const id of ["aperture", "renderer", "against"]) $(id).addEventListener("change", () => change());
$("format").addEventListener("change", describeCommand);
$("scene").addEventListener("change", () => open($("scene").value).catch(complain));
const turn = (by) => {
  const select = $("scene"), index = clamp(select.selectedIndex + by, 0, select.length - 1);
  if (index !== select.selectedIndex) open(select.options[index].value).catch(complain);
};
$("previous").addEventListener("click", () => turn(-1));
$("next").addEventListener("click", () => turn(1));
$("save").addEventListener("click", save);
$("sweep").addEventListener("click", sweep);

function wipeTo(x) {
  wipeAt = clamp(x, 0, 1);
  compose();
}

$("wipe").addEventListener("pointerdown", (event) => {
  $("wipe").setPointerCapture(event.pointerId);
  event.preventDefault();
  $("wipe").focus();
});
$("wipe").addEventListener("pointermove", (event) => {
  if (!$("wipe").hasPointerCapture(event.pointerId)) return;
  const box = $("picture").getBoundingClientRect();
  wipeTo((event.clientX - box.left) / box.width);
});

addEventListener("keydown", (event) => {
  if (!at || event.ctrlKey || event.metaKey || event.altKey || !event.key.startsWith("Arrow")) return;
  const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
  const by = event.key === "ArrowRight" || event.key === "ArrowUp" ? 1 : -1;
  if (event.target === $("wipe")) {
    if (!sideways) return;
    wipeTo(wipeAt + by / 50);
  } else if (event.target.matches("select, input[type=number]") || (sideways && event.target.matches("input"))) return;
  else {
    const key = sideways ? "focus" : "blur";
    const position = clamp(Number($(key).value) + 5 * by, 0, Number($(key).max));
    change({ [key]: sliders[key](position) });
  }
  event.preventDefault();
});

begin().catch(complain);
