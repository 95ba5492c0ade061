"""The page of docs/onnx_demo in a real browser: the picture and the numbers of BokehMe, and nothing from elsewhere."""

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

from renderers import RENDERERS
from renderers.classical.scatter import scatter
from scenes.color import linear_from_display
from scenes.lens import ThinLens

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

pytestmark = pytest.mark.slow

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
    pixels = tab.evaluate(
        "() => { const c = document.getElementById('picture');"
        "return [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }"
    )
    height, width, levels = pixels
    lens = json.loads(lens)
    return ThinLens(lens["blur"], lens["focus"]), np.reshape(levels, (height, width, 4))[..., :3] / 255.0


def click_at(tab, x: int, y: int, width: int) -> None:
    box = tab.locator("#picture").bounding_box()
    scale = box["width"] / width
    tab.mouse.click(box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale)


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
        alone = scatter(linear_from_display(picture), disparity, lens) ** (1 / 2.2)
        assert np.abs(found - alone).max() > 0.1


def test_the_slider_of_blur_leads_back_to_the_picture(tab, picture):
    shown(tab)
    tab.locator("#blur").focus()
    tab.keyboard.press("Home")
    lens, found = shown(tab)
    assert lens.is_pinhole
    np.testing.assert_allclose(found, picture, atol=0.51 / 255)
    assert tab.locator("#blur-value").inner_text() == "K = 0 px"


NETWORKS = {"arnet": {"image": 3, "defocus": 1}, "iunet": {"image": 3, "defocus": 1, "coarse": 3}}


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
        key: {"channels": x.shape[1], "height": x.shape[2], "width": x.shape[3], "data": x.ravel().tolist()}
        for key, x in inputs.items()
    }
    found = tab.evaluate(
        "async ([name, inputs]) => {"
        "const run = await (await import('./networks.js')).opened([name]);"
        "for (const x of Object.values(inputs)) x.data = Float32Array.from(x.data);"
        "const outputs = await run(name, {...inputs, gamma: 0.3});"
        "return Object.fromEntries(Object.entries(outputs).map(([key, x]) => [key, [...x.data]])); }",
        [name, given],
    )
    for port, wanted in zip(session.get_outputs(), expected, strict=True):
        np.testing.assert_allclose(found[port.name], wanted.ravel(), rtol=0.0, atol=NETWORK_TOLERANCE)


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
