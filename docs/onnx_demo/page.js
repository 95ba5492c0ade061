// What is asked for, and what is shown. Pictures come from worker.js.

const element = (id) => document.getElementById(id);
const canvas = element("picture"), blur = element("blur"), focus = element("focus");
const worker = new Worker("./worker.js", {type: "module"});
let disparity = null;

worker.onmessage = ({data}) => {
  if (data.error) element("status").textContent = data.error;
  else if (data.scene) begin(data);
  else show(data);
};
worker.onerror = ({message}) => { element("status").textContent = message || "worker.js cannot be loaded"; };

function begin({scene, disparity: map}) {
  disparity = map;
  [canvas.width, canvas.height] = [scene.width, scene.height];
  element("about").textContent =
    `Scene ${scene.scene} of seed ${scene.seed} of the recipe ${scene.recipe}, ${scene.width} × ${scene.height} px, ` +
    `with its exact disparity. ${scene.networks.map(({name, sha256}) => `${name}: weights ${sha256.slice(0, 12)}`).join("; ")}.`;
  focusAt(scene.width / 2, scene.height / 2);
}

function ask() {
  const lens = {blur: Number(blur.value), focus: Number(focus.value)};
  element("blur-value").textContent = `K = ${lens.blur} px`;
  element("focus-value").textContent = `disparity ${lens.focus.toFixed(2)}`;
  delete canvas.dataset.shown;
  worker.postMessage(lens);
}

function focusAt(x, y) {
  focus.value = disparity[Math.floor(y) * canvas.width + Math.floor(x)];
  ask();
}

function show({lens, pixels, isFinal, seconds}) {
  canvas.getContext("2d").putImageData(new ImageData(pixels, canvas.width, canvas.height), 0, 0);
  const isCurrent = lens.blur === Number(blur.value) && lens.focus === Number(focus.value);
  if (isFinal && isCurrent) canvas.dataset.shown = JSON.stringify(lens);
  element("status").textContent = isFinal ? `BokehMe, ${seconds.toFixed(1)} s` : "The scatter; the networks are at work.";
}

canvas.addEventListener("click", ({offsetX, offsetY}) => {
  if (disparity === null) return;
  focusAt(Math.min(offsetX / canvas.clientWidth * canvas.width, canvas.width - 1),
          Math.min(offsetY / canvas.clientHeight * canvas.height, canvas.height - 1));
});
for (const slider of [blur, focus]) slider.addEventListener("input", () => { if (disparity !== null) ask(); });
