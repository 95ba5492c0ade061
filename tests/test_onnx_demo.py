"""The page of docs/onnx_demo in a real browser: the picture and the numbers of BokehMe, and nothing from elsewhere."""

import base64
import io
import json
import runpy
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from renderers import RENDERERS
from renderers.classical.scatter import scatter
from renderers.neural.bokehme.inference import refocus
from scenes.color import display_from_linear, linear_from_display
from scenes.lens import ThinLens

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "onnx_demo"

# WebAssembly sums in another order than the processor's own instructions.
NETWORK_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder as its command makes it."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on the path, which brings onnxruntime-web")
    out = tmp_path_factory.mktemp("page") / "demo"
    done = subprocess.run([sys.executable, FOLDER / "build.py", "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def address(built) -> str:
    """Where a plain server on loopback serves the folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=built))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tab(browser, address):
    """The page, which fails the test where it asks for anything outside its folder, or raises an error."""
    page = browser.new_page(viewport={"width": 1000, "height": 1000})
    page.set_default_timeout(120_000)
    outside, errors = [], []

    def only_the_folder(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    page.route("**/*", only_the_folder)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address)
    yield page
    page.close()
    assert outside == []
    assert errors == []


@pytest.fixture(scope="module")
def picture(built) -> np.ndarray:
    return stack(built, "picture", 3).transpose(1, 2, 0).copy()


@pytest.fixture(scope="module")
def disparity(built) -> np.ndarray:
    return stack(built, "disparity", 1)[0]


def stack(built: Path, name: str, channels: int) -> np.ndarray:
    about = json.loads((built / "scene.json").read_text())
    return np.fromfile(built / f"{name}.f32", "<f4").reshape(channels, about["height"], about["width"])


def shown(tab, seconds: float = 120.0) -> tuple[ThinLens, np.ndarray]:
    """The lens that is asked for, and BokehMe's picture of it as the canvas has it: (H, W, 3) in [0, 1]."""
    deadline = time.monotonic() + seconds
    while (lens := tab.evaluate("() => document.getElementById('picture').dataset.shown ?? null")) is None:
        status = tab.locator("#status").inner_text()
        assert time.monotonic() < deadline and "Error" not in status, status
        tab.wait_for_timeout(50)
    png = tab.evaluate("() => document.getElementById('picture').toDataURL('image/png')")
    lens = json.loads(lens)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(png.partition(",")[2]))).convert("RGB"))
    return ThinLens(lens["blur"], lens["focus"]), pixels / 255.0


def click_at(tab, x: int, y: int, width: int) -> None:
    box = tab.locator("#picture").bounding_box()
    scale = box["width"] / width
    tab.mouse.click(box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale)


# ---------- the page


@pytest.mark.slow
def test_a_click_focuses_there_and_shows_the_picture_of_bokehme(tab, picture, disparity):
    shown(tab)
    for level in (disparity.min(), disparity.max()):
        y, x = np.argwhere(disparity == level)[200]
        click_at(tab, x, y, disparity.shape[1])
        lens, found = shown(tab)
        assert lens.focus_disparity == pytest.approx(level, abs=1e-6) and lens.blur_parameter == 24.0
        expected = np.clip(RENDERERS["bokehme"](picture, disparity, lens), 0.0, 1.0)
        # Half a level of 8 bits, and what two ways to sum leave.
        assert np.abs(found - expected).max() < 0.6 / 255
        # The picture is blurred elsewhere; the scatter alone is another one.
        assert np.abs(found - picture).max() > 0.2
        alone = display_from_linear(scatter(linear_from_display(picture), disparity, lens))
        assert np.abs(found - alone).max() > 0.1


@pytest.mark.slow
def test_the_slider_of_blur_leads_back_to_the_picture(tab, picture):
    shown(tab)
    tab.locator("#blur").focus()
    tab.keyboard.press("Home")
    lens, found = shown(tab)
    assert lens.is_pinhole
    np.testing.assert_allclose(found, picture, atol=0.51 / 255)
    assert tab.locator("#blur-value").inner_text() == "K = 0 px"


# ---------- the networks


NETWORKS = {"arnet": {"image": 3, "defocus": 1}, "iunet": {"image": 3, "defocus": 1, "coarse": 3}}


@pytest.mark.slow
@pytest.mark.parametrize("height, width", [(48, 64), (37, 53)])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_browser_computes_what_onnxruntime_does(tab, built, name, height, width):
    shapes = {key: (1, channels, height, width) for key, channels in NETWORKS[name].items()}
    shapes |= {"coarse": (1, 3, height // 2, width // 2)} if "coarse" in shapes else {}
    rng = np.random.default_rng(height)
    inputs = {key: rng.random(shape, np.float32) for key, shape in shapes.items()}
    session = onnxruntime.InferenceSession(str(built / f"{name}.onnx"))
    expected = session.run(None, {**inputs, "gamma": np.float32([0.3])})
    given = {
        key: {"channels": x.shape[1], "height": x.shape[2], "width": x.shape[3], "data": base64_of(x)}
        for key, x in inputs.items()
    }
    found = tab.evaluate(
        "async ([name, inputs]) => {"
        "const run = await (await import('./networks.js')).opened([name]);"
        "const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));"
        "for (const x of Object.values(inputs)) x.data = new Float32Array(bytes(x.data).buffer);"
        "const outputs = await run(name, {...inputs, gamma: 0.3});"
        "const text = (data) => btoa(Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength),"
        "  (byte) => String.fromCharCode(byte)).join(''));"
        "return Object.fromEntries(Object.entries(outputs).map(([key, x]) => [key, text(x.data)])); }",
        [name, given],
    )
    for port, wanted in zip(session.get_outputs(), expected, strict=True):
        values = np.frombuffer(base64.b64decode(found[port.name]), "<f4")
        np.testing.assert_allclose(values, wanted.ravel(), rtol=0.0, atol=NETWORK_TOLERANCE)


def base64_of(x: np.ndarray) -> str:
    """As text: playwright takes minutes for long lists of numbers."""
    return base64.b64encode(x.astype("<f4").tobytes()).decode()


# ---------- BokehMe without its networks, in node


_STUBS = """
import {refocused} from "./bokehme.js";
import {readFileSync} from "node:fs";

const {height, width, image, disparity, lens, gamma} = JSON.parse(readFileSync(0, "utf8"));
const stack = (channels, text) =>
  ({channels, height, width, data: new Float32Array(new Uint8Array(Buffer.from(text, "base64")).buffer)});
const mapped = (x, f) => ({...x, data: x.data.map(f)});
const mean = (x) => x.data.reduce((sum, v) => sum + v, 0) / x.data.length;

async function run(name, {image, defocus, coarse, gamma}) {
  const size = defocus.data.length, more = coarse ? mean(coarse) : gamma;
  const picture = mapped(image, (v, i) => 0.4 * v + 0.1 * defocus.data[i % size] + 0.3 * more);
  return {picture, error_logit: mapped(defocus, (s) => 5 * s)};
}

const pictures = [];
for await (const picture of refocused(run, stack(3, image), stack(1, disparity), lens, gamma))
  pictures.push(Buffer.from(picture.data.buffer).toString("base64"));
console.log(JSON.stringify(pictures));
"""


def refocused_in_node(image: np.ndarray, disparity: np.ndarray, lens: ThinLens, gamma: float) -> list[np.ndarray]:
    """What the page is given, with stubs for the networks: (H, W, 3) each."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the path")
    given = {
        "height": image.shape[0],
        "width": image.shape[1],
        "image": base64_of(image.transpose(2, 0, 1)),
        "disparity": base64_of(disparity),
        "lens": {"blur": lens.blur_parameter, "focus": lens.focus_disparity},
        "gamma": gamma,
    }
    done = subprocess.run(
        [node, "--input-type=module", "-e", _STUBS], input=json.dumps(given), cwd=FOLDER, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    stacks = (np.frombuffer(base64.b64decode(text), "<f4") for text in json.loads(done.stdout))
    return [stack.reshape(3, *disparity.shape).transpose(1, 2, 0) for stack in stacks]


def stub(image, defocus, *more):
    """The same as a network of torch: ARNet is given gamma, IUNet the coarse picture before it."""
    picture = 0.4 * image + 0.1 * defocus + 0.3 * (more[0].mean() if len(more) == 2 else more[0])
    return picture if len(more) == 2 else (picture, 5.0 * defocus)


# One step of IUNet or three; odd sizes; sides whose sum Python rounds to an even radius.
@pytest.mark.parametrize("blur, height, width", [(8.0, 61, 47), (33.0, 40, 60), (110.0, 120, 180)])
@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_what_surrounds_the_networks_is_that_of_python(blur, height, width, gamma):
    rng = np.random.default_rng(14)
    image = rng.uniform(0.1, 1.0, (height, width, 3)).astype(np.float32)
    disparity = np.zeros((height, width), np.float32)
    disparity[height // 4 :, : width // 2] = np.linspace(0.35, 0.55, width // 2)
    disparity[height // 2 : height // 2 + 9, 5:-5] = 0.513
    # The stripe's defocus is no whole number: BokehMe takes its whole part, and 11 px may be just less.
    lens = ThinLens(blur, 0.4)
    alone, found = refocused_in_node(image, disparity, lens, gamma)
    expected = refocus({"arnet": stub, "iunet": stub}, image, disparity, lens, gamma=gamma, arch="cpu")
    linear = scatter(linear_from_display(image, gamma), disparity, lens)
    np.testing.assert_allclose(alone, display_from_linear(linear, gamma), atol=2e-5)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(found - alone).max() > 0.1


def test_without_blur_the_page_shows_the_picture():
    image = np.random.default_rng(1).random((12, 16, 3), np.float32)
    (found,) = refocused_in_node(image, image[..., 0], ThinLens(0.0, 0.5), 2.2)
    np.testing.assert_array_equal(found, image)


# ---------- the command


def test_the_packages_are_named_by_digest_and_no_registry():
    lock = (FOLDER / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert packages["node_modules/onnxruntime-web"]["version"] == "1.30.0"
    assert all("integrity" in package for place, package in packages.items() if place)
    assert "://" not in lock and "resolved" not in lock


def test_a_folder_that_is_there_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").write_text("something")
    main = runpy.run_path(str(FOLDER / "build.py"))["main"]
    assert main(["--out", str(tmp_path)]) == 2
    assert f"--out is {tmp_path}, which is there already" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "something"


def test_without_npm_nothing_is_written(tmp_path, monkeypatch, capsys):
    main = runpy.run_path(str(FOLDER / "build.py"))["main"]
    monkeypatch.setenv("PATH", "")
    assert main(["--out", str(tmp_path / "page")]) == 2
    assert "npm is not on the path" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
