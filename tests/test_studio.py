"""The studio: what is clicked becomes sharp, the preview is the picture that follows, and nobody else is answered.

A server runs as a user starts it, and a real browser looks at its page.
"""

import http.client
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from bokehdata import images
from bokehdata.format import bokeh_settings
from bokehdata.kinds.billboards import write_billboards
from bokehdata.writer import DatasetWriter, SceneWriter
from bokehforge.cli import main
from bokehforge.studio.layers import preview_layers
from bokehforge.studio.pictures import require_aperture
from bokehforge.studio.subjects import Scenes
from runtime.command import OptionError
from scenes.billboard import Billboard, Scene
from scenes.color import REFERENCE_GAMMA, linear_from_display
from scenes.stack import Stack

HEIGHT, WIDTH = 64, 96
NEAR, FAR = 0.9, 0.2
# Pixels of the near disk and of the wall, away from its rim: rows and columns.
IN_NEAR, IN_FAR = (slice(24, 40), slice(24, 40)), (slice(8, 56), slice(72, 92))


@contextmanager
def running(*words: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it prints."""
    command = [sys.executable, "-m", "bokehforge", "studio", *words]
    # A command that is started with Ctrl-C ignored, as in the background of a shell, goes on ignoring it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as studio:
        try:
            assert studio.stdout is not None and studio.stderr is not None
            line = studio.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), studio.stderr.read()
            yield studio, line.split()[0]
        finally:
            studio.kill()


def write_photo(folder: Path) -> None:
    """A disk of fine texture before a curved wall of fine texture, and its map."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    near = (x - 32) ** 2 + (y - 32) ** 2 < 20**2
    texture = 0.5 * rng.random((HEIGHT, WIDTH, 1))
    image = np.where(near[..., None], [0.5, 0.2, 0.1], [0.1, 0.2, 0.4]) + texture
    images.write_png(folder / "photo.png", image)
    wall = FAR + 0.06 * np.square((x - WIDTH / 2) / WIDTH)
    np.save(folder / "map.npy", np.where(near, NEAR, wall).astype(np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("studio")
    write_photo(folder)
    return folder


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    """The studio of the photograph."""
    with running("photo.png", "--disparity", "map.npy", folder=folder) as (_, address):
        yield address


@pytest.fixture
def tab(browser):
    """An empty tab that fails the test if the page asks anybody else, or raises an error."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    outside, errors = [], []
    page.on("request", lambda request: outside.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert [
        url for url in outside if not re.match(r"http://127\.0\.0\.1:\d+/|blob:http://127\.0\.0\.1|data:", url)
    ] == []
    assert [error for error in errors if "422" not in error and "409" not in error] == []


def wait_until(tab, condition: str) -> None:
    deadline = time.monotonic() + 90.0
    while not tab.evaluate(condition):
        told = tab.locator("#error").inner_text() if tab.locator("#error").is_visible() else ""
        assert time.monotonic() < deadline, f"never came true: {condition}; the page says {told!r}"
        tab.wait_for_timeout(30)


AT_REST = "at !== null && shownAt.left?.version === version && (!isWiping() || shownAt.right?.version === version)"


def open_page(tab, address: str) -> None:
    tab.goto(address)
    wait_until(tab, AT_REST)


def picture(tab) -> np.ndarray:
    """What the canvas shows: (H, W, 3), 0 to 1."""
    return of_canvas(tab, "$('picture')")


def of_canvas(tab, expression: str) -> np.ndarray:
    levels, width = tab.evaluate(
        f"(() => {{ const source = {expression}, c = document.createElement('canvas');"
        "Object.assign(c, { width: source.width, height: source.height });"
        "const context = c.getContext('2d'); context.drawImage(source, 0, 0);"
        "return [[...context.getImageData(0, 0, c.width, c.height).data], c.width]; })()"
    )
    return np.array(levels, np.float64).reshape(-1, width, 4)[..., :3] / 255.0


def click_at(tab, x: float, y: float) -> None:
    """Click on a pixel of the picture."""
    box = tab.locator("#picture").bounding_box()
    tab.mouse.click(box["x"] + (x + 0.5) / WIDTH * box["width"], box["y"] + (y + 0.5) / HEIGHT * box["height"])


def rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(difference))))


def photo(folder: Path) -> np.ndarray:
    return np.asarray(Image.open(folder / "photo.png").convert("RGB"), np.float64) / 255.0


# ---------- the page in a browser


def test_what_is_clicked_becomes_sharp_and_the_rest_blurred(tab, address, folder):
    """Sharp is the photograph itself, to the rounding of 8 bits and of half floats; the texture of the rest is gone,
    which has a standard deviation of 0.5 / sqrt(12) = 0.14."""
    open_page(tab, address)
    tab.evaluate("show({ ...at, blur: scene.blur_max })")
    sharp = photo(folder)
    for (x, y), clicked, other in (((32, 32), IN_NEAR, IN_FAR), ((82, 30), IN_FAR, IN_NEAR)):
        click_at(tab, x, y)
        wait_until(tab, AT_REST)
        shown = picture(tab)
        assert rms(shown[clicked] - sharp[clicked]) < 0.01
        assert rms(shown[other] - sharp[other]) > 0.08 and shown[other].std(axis=(0, 1)).max() < 0.05
    assert tab.locator("#error").is_hidden()


def test_the_focus_is_the_disparity_under_the_click(tab, address):
    open_page(tab, address)
    click_at(tab, 32, 32)
    assert tab.evaluate("at.focus") == pytest.approx(NEAR, abs=1e-6)
    assert tab.locator("#focus-value").inner_text().replace("\n", "").endswith("= 0.9")


def test_while_the_mouse_is_down_the_picture_is_a_preview(tab, address, folder):
    """Dragging from the wall to the disk refocuses at once; the exact picture follows when the button is let go."""
    open_page(tab, address)
    box = tab.locator("#picture").bounding_box()

    def move(x: float, y: float) -> None:
        tab.mouse.move(box["x"] + x / WIDTH * box["width"], box["y"] + y / HEIGHT * box["height"])

    move(82, 30)
    tab.mouse.down()
    move(60, 30)
    move(32, 32)
    tab.wait_for_timeout(600)  # longer than a rest
    assert tab.locator("#left-chip").inner_text() == "preview"
    tab.mouse.up()
    wait_until(tab, AT_REST)
    assert tab.locator("#left-chip").inner_text() == "layers-over"


def preview_and_exact(tab, aperture: str, focus: float, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """The preview with all of its lens points, and the exact picture of the same settings, at the strongest blur."""
    shape, _, cat_eye = aperture.partition(",cat_eye=")
    tab.locator("#aperture").select_option(shape)
    tab.evaluate(f"$('cat-eye').value = {cat_eye or 0}")
    tab.evaluate(f"show({{ blur: scene.blur_max, focus: {focus}, gamma: {gamma} }})")
    wait_until(tab, AT_REST)
    tab.evaluate("fetchLens(apertureWords(), 512)")
    wait_until(tab, "lens.count === 512 && lens.words === apertureWords()")
    tab.evaluate("preview.setStep(1), preview.draw({ ...at, catEye: lens.catEye })")
    return of_canvas(tab, "preview.canvas"), of_canvas(tab, "shownAt.left.bitmap")


@pytest.mark.parametrize(
    ("aperture", "gamma"), [("disk", 2.2), ("polygon:5", 2.2), ("donut:0.5", 4.0), ("disk,cat_eye=0.8", 2.2)]
)
def test_the_preview_agrees_with_the_exact_picture(tab, address, folder, aperture, gamma):
    """To 0.005 in display RMSE, for disks of up to 6 px. The sharp picture is ten times as far."""
    open_page(tab, address)
    for focus in (NEAR, FAR, 0.6):
        seen, exact = preview_and_exact(tab, aperture, focus, gamma)
        assert seen.shape == exact.shape and rms(photo(folder) - exact) > 0.05
        assert rms(seen - exact) < 0.005, focus


def test_the_preview_shows_no_gap_where_a_surface_is_cut(tab, tmp_path):
    """A board that stands on a floor: where they touch, the layers of both have one disparity."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    floor = 0.2 + 0.6 * y / HEIGHT
    is_board = (np.abs(x - 48) < 20) & (y > 10) & (floor < 0.7)
    image = np.where(is_board[..., None], [0.8, 0.5, 0.2], [0.3, 0.5, 0.3]) + 0.2 * rng.random((HEIGHT, WIDTH, 1))
    images.write_png(tmp_path / "board.png", image)
    np.save(tmp_path / "board.npy", np.where(is_board, 0.7, floor).astype(np.float32))
    with running("board.png", "--disparity", "board.npy", folder=tmp_path) as (_, address):
        open_page(tab, address)
        assert tab.evaluate("preview.layers.some(({ repeats }) => repeats)")
        for focus in (0.2, 0.45, 0.79):
            seen, exact = preview_and_exact(tab, "disk", focus, 2.2)
            assert rms(seen - exact) < 0.01, focus


def test_the_wipe_has_each_method_on_its_side(tab, address, folder):
    open_page(tab, address)
    click_at(tab, 32, 32)
    tab.locator("#against").select_option("identity")
    wait_until(tab, AT_REST)
    shown, sharp = picture(tab), photo(folder)
    assert rms(shown[:, 48:] - sharp[:, 48:]) < 0.01 and rms(shown[:, :48] - sharp[:, :48]) > 0.03
    assert tab.locator("#left-chip").inner_text() == "layers-over"
    assert tab.locator("#right-chip").inner_text() == "all in focus"
    # The keyboard moves it: a fiftieth of the width each time.
    tab.locator("#wipe").focus()
    for _ in range(15):
        tab.keyboard.press("ArrowRight")
    assert tab.locator("#wipe").get_attribute("aria-valuenow") == "80"
    moved = picture(tab)
    assert rms(moved[:, 77:] - sharp[:, 77:]) < 0.01 and rms(moved[:, 50:76] - sharp[:, 50:76]) > 0.03
    # The mouse too.
    box, frame = tab.locator("#wipe").bounding_box(), tab.locator("#picture").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    tab.mouse.down()
    tab.mouse.move(frame["x"] + 1, box["y"] + 10)
    tab.mouse.up()
    assert rms(picture(tab)[:, 2:] - sharp[:, 2:]) < 0.01
    # Another renderer in its place.
    tab.locator("#against").select_option("scatter")
    wait_until(tab, AT_REST)
    assert tab.locator("#right-chip").inner_text() == "scatter"


@pytest.mark.parametrize(("renderer", "ending"), [("layers-over", "png"), ("scatter", "png"), ("layers-over", "exr")])
def test_a_saved_picture_is_the_file_that_the_shell_makes(
    tab, address, folder, tmp_path, monkeypatch, renderer, ending
):
    """To the byte: the commands that the page shows, run."""
    open_page(tab, address)
    tab.locator("#renderer").select_option(renderer)
    tab.locator("#aperture").select_option("polygon:7")
    tab.locator("#format").select_option(ending)
    click_at(tab, 32, 32)
    wait_until(tab, AT_REST)
    with tab.expect_download() as download:
        tab.locator("#save").click()
    assert download.value.suggested_filename == f"photo-{renderer}.{ending}"
    download.value.save_as(tmp_path / "saved")
    for name in ("photo.png", "map.npy"):
        (tmp_path / name).symlink_to(folder / name)
    monkeypatch.chdir(tmp_path)
    commands = tab.locator("#command").inner_text().splitlines()
    assert len(commands) == (2 if renderer == "layers-over" else 1)
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0
    assert (tmp_path / "saved").read_bytes() == (tmp_path / f"refocused.{ending}").read_bytes()


def test_a_sweep_goes_from_the_far_wall_to_the_near_disk_and_back(tab, address, folder, tmp_path):
    open_page(tab, address)
    tab.evaluate("show({ ...at, blur: scene.blur_max })")
    tab.locator("#sweep-pictures").fill("3")
    with tab.expect_download() as download:
        tab.locator("#sweep").click()
    assert download.value.suggested_filename == "photo-layers-over.gif"
    download.value.save_as(tmp_path / "sweep.gif")
    with Image.open(tmp_path / "sweep.gif") as film:
        assert film.n_frames == 4
        frames = [film.seek(i) or np.asarray(film.convert("RGB"), np.float64) / 255.0 for i in range(4)]
    near = [frame[IN_NEAR].std(axis=(0, 1)).max() for frame in frames]
    far = [frame[IN_FAR].std(axis=(0, 1)).max() for frame in frames]
    assert near[2] > 2 * near[0] and far[0] > 2 * far[2]


def test_a_method_that_refuses_says_why_in_the_page(tab, address):
    open_page(tab, address)
    # The wall is 0.06 / 4 / 2 of a disparity away from a plane, which is 0.75 px of blur.
    tab.evaluate("show({ ...at, blur: 100 })")
    tab.locator("#renderer").select_option("oracle-layers")
    tab.locator("#error").wait_for(state="visible")
    assert "is no plane" in tab.locator("#error").inner_text()
    tab.locator("#renderer").select_option("scatter")
    wait_until(tab, AT_REST)
    assert tab.locator("#error").is_hidden()


def test_without_webgl_the_pictures_are_exact_ones(browser, address, folder):
    page = browser.new_page()
    page.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "return kind === 'webgl2' ? null : get.call(this, kind, ...more); };"
    )
    try:
        open_page(page, address)
        assert page.locator("#no-webgl").is_visible()
        click_at(page, 82, 30)
        wait_until(page, AT_REST)
        assert rms(picture(page)[IN_FAR] - photo(folder)[IN_FAR]) < 0.01
    finally:
        page.close()


# ---------- a dataset

STACK = Stack((6.0, 12.0), (0.2, 0.8), (REFERENCE_GAMMA,))


def truth_colour(k: int, f: int) -> tuple[int, int, int]:
    return 40 + 60 * k, 30 + 120 * f, 200


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two scenes of two textured layers, the left half near. Their truths are flat colours that tell their setting."""
    root = tmp_path_factory.mktemp("data") / "halves"
    overscan = 12
    with DatasetWriter(root, {"recipe": "halves"}) as writer:
        for i in range(2):
            rng = np.random.default_rng(i)
            near, far = (np.ones((HEIGHT + 2 * overscan, WIDTH + 2 * overscan, 4), np.float16) for _ in range(2))
            for rgba in (near, far):
                rgba[..., :3] = 0.6 * rng.random(rgba.shape[:2])[..., None]
            near[:, overscan + WIDTH // 2 :, 3] = 0.0
            scene = Scene((Billboard(near, 0.8), Billboard(far, 0.2)), WIDTH, HEIGHT, overscan)
            with SceneWriter(root, i) as folder:
                write_billboards(folder, scene, STACK, seed=0, noise=0.002)
                folder.write_image(scene.composite())
                for setting in bokeh_settings(STACK):
                    colour = np.array(truth_colour(setting.blur_index, setting.focus_index)) / 255.0
                    flat = np.broadcast_to(linear_from_display(colour), (HEIGHT, WIDTH, 3))
                    folder.write_bokeh(setting, flat, noise_rmse=0.001, samples=64)
            writer.add(folder.entry)
    return root


def test_the_truth_of_a_dataset_is_on_the_other_side_of_the_wipe(tab, dataset):
    with running(str(dataset), folder=dataset) as (_, address):
        open_page(tab, address)
        assert tab.locator("#layers").inner_text() == "2 true" and tab.locator("#command-section").is_hidden()
        tab.locator("#against").select_option("truth")
        for x, focus_index in ((20, 1), (80, 0)):
            click_at(tab, x, 32)
            wait_until(tab, AT_REST)
            # The settings are those of the nearest truth.
            assert tab.evaluate("[at.blur, at.focus]") == [12.0, pytest.approx(STACK.focus_disparities[focus_index])]
            level = np.round(255.0 * picture(tab)[:, 52:].mean(axis=(0, 1)))
            assert np.abs(level - truth_colour(1, focus_index)).max() <= 2
        assert tab.locator("#aperture").is_disabled()
        tab.locator("#next").click()
        wait_until(tab, "scene.name === '000001'")
        wait_until(tab, AT_REST)
        tab.locator("#against").select_option("")
        tab.locator("#renderer").select_option("scatter")
        click_at(tab, 80, 32)
        wait_until(tab, AT_REST)
        with Image.open(io.BytesIO(tab.locator("#picture").screenshot())) as screen:
            assert screen.size[0] > WIDTH
        sharp = np.clip(images.read_linear(dataset / "000001" / "image.exr"), 0.0, 1.0) ** (1.0 / REFERENCE_GAMMA)
        assert rms(picture(tab)[8:56, 72:90] - sharp[8:56, 72:90]) < 0.01


def test_the_preview_of_a_scene_has_its_overscan(dataset):
    """So that what a lens sees beyond the frame is the scene."""
    from bokehdata.opening import open_cases

    subject = Scenes.of(open_cases(dataset), "reveal0").subject("000000")
    layers = preview_layers(subject, side_px=WIDTH // 2)
    assert subject.is_true and layers.overscan == 12 and layers.extended == (WIDTH + 24, HEIGHT + 24)
    assert layers.rgba.shape == (2, (HEIGHT + 24) // 2, (WIDTH + 24) // 2, 4)
    assert layers.is_flat == (True, True) and layers.repeats == (False, False)
    # The mean of four texels, weighted by their alpha.
    texels = subject.layers.layers[1].rgba[:2, :2, 0].astype(np.float64)
    assert layers.rgba[1, 0, 0, 0] == pytest.approx(texels.mean(), rel=1e-3)


# ---------- who is answered, and what


def ask(address: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    host = address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True)
        content = json.dumps(body).encode() if not isinstance(body, bytes) else body
        for name, value in {"host": host, "content-length": str(len(content)), **headers}.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(content)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/page.js", "/studio.json", "/disparity.bin"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:80"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost@evil.example"},
        {"host": "192.168.1.2:8000"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"host": "localhost:8000", "origin": "http://localhost:8001"},
        {"host": "localhost:8000", "origin": "https://localhost:8000"},
    ],
)
def test_another_host_or_origin_is_refused(address, path, headers):
    """A page of a name that leads to this machine (DNS rebinding) sends that name; one of another site, its origin."""
    status, content = ask(address, "GET", path, **headers)
    assert status == 403 and json.loads(content)["error"].startswith("requests must come from a page of this server")


def test_a_request_without_a_host_is_refused(address):
    status, _ = ask(address, "GET", "/", host="")
    assert status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "[::1]:9000"])
def test_tunnels_and_loopback_names_are_answered(address, host):
    """The port may be that of the near end of a tunnel."""
    assert ask(address, "GET", "/", host=host)[0] == 200
    assert ask(address, "GET", "/studio.json", host=host, origin=f"http://{host}")[0] == 200


def test_nobody_may_frame_the_page_or_use_its_answers(address):
    connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"))
    connection.request("GET", "/")
    headers = connection.getresponse().headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    connection.close()


SETTINGS = {"scene": "photo.png", "renderer": "scatter", "blur": 5.0, "focus": 0.5, "gamma": 2.2, "aperture": "disk"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "the request is no JSON"),
        ([1], "it must be an object"),
        (b"[" * 70000, "longer than 65536 bytes"),
        ({}, "scene is None; it must be text"),
        ({**SETTINGS, "blur": "5"}, "blur is '5'; it must be a number"),
        ({**SETTINGS, "blur": -1}, "blur is -1.0; it must lie between 0.0"),
        ({**SETTINGS, "focus": float("nan")}, "focus is nan; it must be a number"),
        ({**SETTINGS, "gamma": 0}, "gamma is 0.0; it must lie between 0.1 and 10.0"),
        ({**SETTINGS, "scene": "another"}, "there is no scene 'another'"),
        ({**SETTINGS, "renderer": "cocnet-b3"}, "there is no renderer 'cocnet-b3' here, or its weights are missing"),
        ({**SETTINGS, "blur": 1000.0}, "the largest blur radius is 400 px; at most 96 px"),
        ({**SETTINGS, "aperture": "polygon:2"}, "blades is 2; it must be a whole number of at least 3"),
        ({**SETTINGS, "aperture": "truth"}, "photo.png has no truth"),
        ({**SETTINGS, "aperture": "map.npy"}, "the aperture is 'map.npy'; it must be one of disk, polygon, donut"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_what_is_wrong(address, body, told):
    status, content = ask(address, "POST", "/picture", body)
    assert status == 422 and told in json.loads(content)["error"]


def test_the_only_picture_of_an_aperture_is_that_of_the_command():
    """A page must not have other files read."""
    require_aperture("star.png,cat_eye=0.5", "star.png")
    with pytest.raises(OptionError, match="the aperture is 'other.png'"):
        require_aperture("other.png", "star.png")


@pytest.mark.parametrize(
    ("path", "more", "told"),
    [
        ("/save", {"format": "tiff"}, "the format is 'tiff'; it must be one of png, exr, jpg"),
        ("/sweep", {"format": "png", "pictures": 5}, "the format is 'png'; it must be gif or mp4"),
        ("/sweep", {"format": "gif", "pictures": 1}, "pictures is 1; it must lie between 2 and 1000"),
        ("/sweep", {"format": "gif", "pictures": "5"}, "pictures is '5'; it must be a whole number"),
    ],
)
def test_a_file_that_cannot_be_made_is_told(address, path, more, told):
    status, content = ask(address, "POST", path, {**SETTINGS, **more})
    assert status == 422 and told in json.loads(content)["error"]


def test_a_page_has_no_other_files(address):
    for path in ("/command.py", "/..%2Fcommand.py", "/photo.png"):
        assert ask(address, "GET", path)[0] == 404


# ---------- the command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.png", "--disparity", "map.npy"], "nowhere.png: "),
        (["photo.png"], "bokehforge studio needs --disparity or --depth: photo.png has no depth map of its own"),
        (["photo.png", "--disparity", "map.npy", "--analysis", "guess"], "--analysis is 'guess'; it must be one of"),
        (["photo.png", "--disparity", "map.npy", "--aperture", "star"], "--aperture is star"),
        (["photo.png", "--disparity", "map.npy", "--renderer", "magic"], "no renderer 'magic'; there are identity,"),
        (
            ["photo.png", "--disparity", "map.npy", "--renderer", "cocnet-b3"],
            "--renderer is cocnet-b3, whose weights are missing",
        ),
        (["photo.png", "--disparity", "map.npy", "--port", "-1"], "--port is -1; it must be at least 0"),
        (["photo.png", "--disparity", "map.npy", "--port", "{taken}"], "which cannot be used (Address already in use)"),
        (["empty"], "empty: "),
        (["empty", "--disparity", "map.npy"], "empty has its disparity; --disparity, --depth"),
        (["empty", "--expand-highlights", "1"], "empty has its highlights"),
    ],
)
def test_input_that_cannot_be_used_is_one_line(words, told, folder, address, monkeypatch, capfd):
    (folder / "empty").mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    taken = address.rstrip("/").rpartition(":")[2]
    assert main(["studio", *(word.format(taken=taken) for word in words)]) == 2
    output, errors = capfd.readouterr()
    (line,) = errors.splitlines()
    assert line.startswith("bokehforge studio: error: ") and told in line and output == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_studio_in_one_line_and_its_process_too(number, folder):
    with running("photo.png", "--disparity", "map.npy", folder=folder) as (studio, address):
        assert ask(address, "POST", "/picture", SETTINGS)[0] == 200
        children = Path(f"/proc/{studio.pid}/task/{studio.pid}/children")
        workers = [int(child) for child in children.read_text().split()] if children.exists() else []
        # All of a terminal's processes get Ctrl-C.
        for process in [studio.pid, *(workers if number == signal.SIGINT else [])]:
            os.kill(process, number)
        _, errors = studio.communicate(timeout=60)
    assert studio.returncode == 128 + number
    assert errors == "\nbokehforge studio: stopped\n"
    time.sleep(0.5)
    assert [worker for worker in workers if runs(worker)] == []


def runs(process: int) -> bool:
    """Whether a process is there, and not one that only waits to be forgotten."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_layers_are_opened_as_they_were_found(folder, tmp_path):
    layers = tmp_path / "photo.layers"
    assert (
        main(["layers", str(folder / "photo.png"), "--disparity", str(folder / "map.npy"), "--out", str(layers)]) == 0
    )
    with running(str(layers), folder=tmp_path) as (_, address):
        told = json.loads(ask(address, "GET", "/studio.json")[1])
        assert told["scenes"] == ["photo.layers"] and told["commands"]["layers"][:2] == ["bokehforge", "render"]
        status, content = ask(
            address, "POST", "/picture", {**SETTINGS, "scene": "photo.layers", "renderer": "layers-over"}
        )
        assert status == 200
    words = ["--blur", "5", "--focus", "0.5", "--out", str(tmp_path / "made.png")]
    assert main(["render", str(layers), *words]) == 0
    shown = np.asarray(Image.open(io.BytesIO(content)), np.float64)
    made = cv2.imread(str(tmp_path / "made.png"), cv2.IMREAD_UNCHANGED)[..., ::-1] / 257.0
    assert np.abs(shown - made).max() <= 0.6


def test_without_its_packages_the_command_says_what_to_install(tmp_path):
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('no module', name='starlette')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "bokehforge", "studio", "photo.png"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2
    assert ran.stderr.endswith("starlette is not installed; pip install -c constraints.txt -e '.[studio]'\n")
