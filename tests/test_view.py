"""The page shows the traced image that its sliders say, without any network. A real browser looks at it.

Every image of the dataset is one flat colour that tells its setting, so a pixel on the screen proves which file is
shown.
"""

import base64
import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bokehdata import view
from bokehdata.format import DatasetError, bokeh_settings
from bokehdata.kinds.billboards import write_billboards
from bokehdata.kinds.camera import CameraScene, DepthLayer, write_camera_scene
from bokehdata.kinds.light_field import View, ViewGrid, grid_positions, write_light_field_scene
from bokehdata.view import write_page
from bokehdata.writer import DatasetWriter, SceneWriter
from scenes.billboard import Billboard, Scene
from scenes.color import HALF_MAX, REFERENCE_GAMMA, linear_from_display
from scenes.lens import signed_defocus_px
from scenes.stack import Stack

WIDTH, HEIGHT = 48, 32
STACK = Stack((12.0, 24.0), (0.2, 0.5, 0.8), (REFERENCE_GAMMA, 4.0))
# Each third of the frame stands at one traced focus: near at the left, far at the right.
DISPARITIES = (0.8, 0.5, 0.2)
ALL_IN_FOCUS = (250, 250, 20)
# WebP is lossy: flat colours come back within a few levels. The colours of any two images differ by 40 or more.
COLOUR_TOLERANCE = 8


def colour_of(k: int, f: int, g: int = 0) -> tuple[int, int, int]:
    return 40 + 60 * k, 30 + 70 * f, 60 + 100 * g


def flat(colour: tuple[int, int, int], gamma: float = REFERENCE_GAMMA) -> np.ndarray:
    return np.broadcast_to(linear_from_display(np.array(colour) / 255.0, gamma), (HEIGHT, WIDTH, 3))


def layered_scene() -> Scene:
    layers = []
    for i, disparity in enumerate(DISPARITIES):
        rgba = np.zeros((HEIGHT, WIDTH, 4), np.float16)
        rgba[..., 3] = 1.0
        if i < 2:
            rgba[:, WIDTH // 3 * (i + 1) :, 3] = 0.0
        layers.append(Billboard(rgba, disparity))
    return Scene(tuple(layers), WIDTH, HEIGHT, overscan=0)


def write_scene(root: Path, scene_index: int):
    with SceneWriter(root, scene_index) as writer:
        write_billboards(writer, layered_scene(), STACK, seed=0, noise=0.002)
        writer.write_image(flat(ALL_IN_FOCUS))
        for setting in bokeh_settings(STACK):
            k, f, gamma, _ = setting
            colour = colour_of(k, f, STACK.gammas.index(gamma))
            writer.write_bokeh(setting, flat(colour, gamma), noise_rmse=0.001 * (1 + k + 2 * f), samples=64)
    return writer.entry


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "thirds"
    with DatasetWriter(root, {"recipe": "thirds"}) as writer:
        for i in range(3):
            writer.add(write_scene(root, i))
    return root


@pytest.fixture(scope="module")
def blb(dataset, tmp_path_factory) -> Path:
    """The same pictures as BLB would hold them: no layers, no scene.yaml, only its own keys in info.json."""
    root = tmp_path_factory.mktemp("blb")
    scene = root / "277"
    shutil.copytree(dataset / "000000", scene, ignore=shutil.ignore_patterns("layers", "*.yaml", "disparity*", "*_g*"))
    info = json.loads((scene / "info.json").read_text())
    for key in ("disparity_unit", "gammas", "noise_rmse", "samples"):
        del info[key]
    (scene / "info.json").write_text(json.dumps(info))
    return root


@pytest.fixture(scope="module")
def camera_scene(tmp_path_factory) -> Path:
    """The near third and the rest as layers of a camera scene; rays hit the near one in half of its texels only."""
    near, far = (np.zeros((HEIGHT, WIDTH, 4), np.float16) for _ in range(2))
    near[:, : WIDTH // 3] = (1.0, 0.0, 0.0, 1.0)
    far[:] = (0.0, 0.0, 1.0, 1.0)
    hit = np.zeros((HEIGHT, WIDTH), np.float32)
    hit[::2, : WIDTH // 3] = 0.8
    behind = np.repeat(np.linspace(0.2, 0.5, WIDTH, dtype=np.float32)[None], HEIGHT, axis=0)
    depth = np.float32(1.0) / np.where(near[..., 3] > 0.0, np.float32(0.8), behind)
    layers = DepthLayer(near, hit, 0.6, 1.6), DepthLayer(far, behind, 1.6, HALF_MAX)
    root = tmp_path_factory.mktemp("data") / "camera"
    with DatasetWriter(root, {"recipe": "camera"}) as writer:
        with SceneWriter(root, 0) as scene:
            write_camera_scene(scene, CameraScene(depth, 0.05, 0.036, {"name": "thirds"}, layers), STACK, seed=0)
            scene.write_image(flat(ALL_IN_FOCUS))
            for setting in bokeh_settings(STACK):
                colour = colour_of(setting.blur_index, setting.focus_index, STACK.gammas.index(setting.gamma))
                scene.write_bokeh(setting, flat(colour, setting.gamma), noise_rmse=0.001, samples=64)
        writer.add(scene.entry)
    return root


def colour_of_view(row: int, column: int) -> tuple[int, int, int]:
    return 20 + 15 * row, 240 - 15 * column, 230


@pytest.fixture(scope="module")
def light_field(tmp_path_factory) -> Path:
    """Views of 11 x 11 lens points, each of a colour of its own; their overscan is white."""
    side, overscan = 11, 3
    grid = ViewGrid(grid_positions(side), 24.0, 0.004, 0.5, overscan, 16)
    depth = np.full((HEIGHT + 2 * overscan, WIDTH + 2 * overscan), 2.0, np.float32)

    def view(row: int, column: int) -> View:
        linear = np.ones((*depth.shape, 3))
        linear[overscan:-overscan, overscan:-overscan] = flat(colour_of_view(row, column))
        return View(linear, depth, 0.001 * (1 + row + side * column))

    root = tmp_path_factory.mktemp("data") / "light-field"
    views = (view(row, column) for row in range(side) for column in range(side))
    with DatasetWriter(root, {"recipe": "views"}) as writer:
        with SceneWriter(root, 0) as scene:
            space = CameraScene(depth[overscan:-overscan, overscan:-overscan], 0.05, 0.036, {"name": "flat"})
            write_light_field_scene(scene, space, grid, views, STACK, seed=0)
            scene.write_image(flat(ALL_IN_FOCUS))
            for setting in bokeh_settings(STACK):
                colour = colour_of(setting.blur_index, setting.focus_index, STACK.gammas.index(setting.gamma))
                scene.write_bokeh(setting, flat(colour, setting.gamma), noise_rmse=0.001, samples=64)
        writer.add(scene.entry)
    return root


@pytest.fixture
def tab(browser):
    """An empty tab that fails the test if the page asks for anything outside itself or raises an error."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(10_000)
    outside, errors = [], []

    def only_the_file(route):
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    page.route("**/*", only_the_file)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert outside == []
    assert errors == []


@pytest.fixture(scope="module")
def page_file(dataset, tmp_path_factory) -> Path:
    return write_page(dataset, tmp_path_factory.mktemp("page") / "view.html").path


def open_page(tab, path: Path, fragment: str = "") -> None:
    tab.goto(path.as_uri() + fragment)


def canvas_colour(tab) -> tuple[int, ...]:
    """Colour in the middle of the picture as drawn."""
    return tuple(
        tab.evaluate(
            "() => { const c = document.getElementById('picture');"
            "return [...c.getContext('2d').getImageData(c.width >> 1, c.height >> 1, 1, 1).data].slice(0, 3); }"
        )
    )


def assert_shows(tab, colour: tuple[int, int, int]) -> None:
    """The picture becomes `colour`; pictures are decoded in the background, so it may take a moment."""
    deadline = time.monotonic() + 5.0
    while np.abs(np.subtract(canvas_colour(tab), colour)).max() > COLOUR_TOLERANCE:
        assert time.monotonic() < deadline, f"shows {canvas_colour(tab)}, not {colour}"
        tab.wait_for_timeout(20)


def wait_until(tab, condition: str) -> None:
    """Until a JavaScript expression is true; the page's content policy forbids `wait_for_function`."""
    deadline = time.monotonic() + 5.0
    while not tab.evaluate(condition):
        assert time.monotonic() < deadline, f"never came true: {condition}"
        tab.wait_for_timeout(20)


def click_at(tab, selector: str, x: float, y: float) -> None:
    """Click at a fraction of an element's width and height."""
    box = tab.locator(selector).bounding_box()
    tab.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def output(tab, control: str) -> str:
    return " ".join(tab.locator(f"#{control}-control output").inner_text().split())


# ---------- the page in a browser


def test_a_click_opens_a_scene_focused_on_its_middle(tab, page_file):
    open_page(tab, page_file)
    assert tab.locator(".scenes a").count() == 3
    assert tab.locator(".scenes .faint").first.inner_text() == "3 layers"
    tab.locator(".scenes a").nth(1).click()
    assert tab.locator("#name").inner_text() == "000001"
    # The middle third stands at disparity 0.5, focus index 1; the strongest blur is index 1.
    assert_shows(tab, colour_of(1, 1))


def test_what_the_canvas_holds_is_what_the_screen_shows(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=0&f=2")
    assert_shows(tab, colour_of(0, 2))
    screen = np.asarray(Image.open(io.BytesIO(tab.locator("#picture").screenshot())).convert("RGB"))
    middle = screen[screen.shape[0] // 2, screen.shape[1] // 2]
    assert np.abs(np.subtract(middle, colour_of(0, 2), dtype=int)).max() <= COLOUR_TOLERANCE


def test_arrow_keys_on_the_sliders_switch_the_traced_image(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=0&f=0")
    assert_shows(tab, colour_of(0, 0))
    tab.locator("#focus").focus()
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of(0, 1))
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of(0, 2))
    tab.locator("#blur").focus()
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of(1, 2))
    tab.locator("#gamma").focus()
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of(1, 2, 1))


def test_every_key_of_the_page_works_while_a_slider_has_the_focus(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=0&f=0")
    tab.locator("#focus").focus()
    tab.keyboard.press("ArrowUp")
    assert_shows(tab, colour_of(1, 0))
    tab.keyboard.press("ArrowDown")
    assert_shows(tab, colour_of(0, 0))
    # The slider that has the focus moves sideways, and no other one.
    tab.locator("#gamma").focus()
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of(0, 0, 1))
    tab.keyboard.press("n")
    wait_until(tab, "document.getElementById('name').textContent === '000001'")
    tab.locator("#blur").focus()
    tab.keyboard.press("p")
    wait_until(tab, "document.getElementById('name').textContent === '000000'")
    tab.locator("#blur").focus()
    tab.keyboard.press("Escape")
    wait_until(tab, "!document.getElementById('overview').hidden")


def test_what_was_not_traced_is_not_said_to_be(tab, camera_scene, blb, page_file, tmp_path):
    for data in (camera_scene, blb):
        open_page(tab, write_page(data, tmp_path / f"{data.name}.html").path)
        assert tab.locator(".masthead p").inner_text().startswith("1 scene of rendered lens blur.")
        tab.locator(".scenes a").first.click()
        assert "rendered with blur parameter" in tab.locator("#picture").get_attribute("aria-label")
        assert "traced" not in tab.content().lower()
    open_page(tab, page_file)
    assert tab.locator(".masthead p").inner_text().startswith("3 scenes of traced lens blur.")


def test_the_mouse_drags_a_slider(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=0&f=0")
    box = tab.locator("#focus").bounding_box()
    y = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + 8, y)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2, y, steps=5)
    assert_shows(tab, colour_of(0, 1))
    tab.mouse.move(box["x"] + box["width"] - 4, y, steps=5)
    tab.mouse.up()
    assert_shows(tab, colour_of(0, 2))


def test_labels_give_the_values_of_the_image_shown(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=1&f=2")
    assert_shows(tab, colour_of(1, 2))
    assert output(tab, "blur") == "K = 24 px per unit disparity"
    assert output(tab, "focus").replace(" ", "") == "df=0.8"
    assert tab.locator("#focus").get_attribute("aria-valuetext") == "0.8"
    radius_px = max(abs(signed_defocus_px(d, 24.0, 0.8)) for d in DISPARITIES)
    assert tab.locator("#radius").inner_text() == f"{radius_px:.1f} px" == "14.4 px"
    assert tab.locator("#noise").inner_text() == "0.0060"
    assert tab.locator("#file").inner_text() == "bokeh_01_02.exr"
    tab.locator("#gamma").focus()
    tab.keyboard.press("End")
    assert tab.locator("#file").inner_text() == "bokeh_01_02_g4.exr"


@pytest.mark.parametrize("surface", ["#picture", "#disparity", "#sharp"])
def test_a_click_focuses_at_the_depth_under_it(tab, page_file, surface):
    open_page(tab, page_file, "#scene=000000&k=1&f=1")
    assert_shows(tab, colour_of(1, 1))
    wait_until(tab, "scene.levels !== null")
    click_at(tab, surface, 1 / 6, 0.5)
    assert_shows(tab, colour_of(1, 2))
    assert tab.locator("#focus").input_value() == "2"
    click_at(tab, surface, 5 / 6, 0.2)
    assert_shows(tab, colour_of(1, 0))


def test_dragging_over_the_picture_racks_the_focus(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=1&f=1")
    wait_until(tab, "scene.levels !== null")
    box = tab.locator("#picture").bounding_box()
    y = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] / 6, y)
    assert_shows(tab, colour_of(1, 1))
    tab.mouse.down()
    assert_shows(tab, colour_of(1, 2))
    tab.mouse.move(box["x"] + box["width"] * 5 / 6, y, steps=12)
    assert_shows(tab, colour_of(1, 0))
    tab.mouse.up()


def test_a_layer_can_be_clicked_into_focus(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=1&f=1")
    assert tab.locator(".layers button").count() == 3
    assert tab.locator(".layers .is-sharp").inner_text() == "d = 0.5"
    tab.locator(".layers button").first.click()
    assert_shows(tab, colour_of(1, 2))
    assert tab.locator(".layers .is-sharp").inner_text() == "d = 0.8"


def test_layers_of_a_camera_scene_are_shown_and_can_be_clicked_into_focus(tab, camera_scene, tmp_path):
    open_page(tab, write_page(camera_scene, tmp_path / "camera.html").path)
    assert tab.locator(".scenes .faint").first.inner_text() == "2 layers"
    tab.locator(".scenes a").first.click()
    near, far = tab.locator(".layers button").all()
    assert tab.locator("#layer-heading").inner_text().lower() == "2 layers, near to far"
    # Where a ray has missed it, the near layer still has the disparity of what it shows.
    assert [near.inner_text(), far.inner_text()] == ["d = 0.8", "d = 0.2 to 0.5"]
    near.click()
    assert_shows(tab, colour_of(1, 2))
    assert tab.locator(".layers .is-sharp").inner_text() == "d = 0.8"
    pixels = np.asarray(Image.open(io.BytesIO(near.locator("img").screenshot())).convert("RGB")).astype(int)
    left, right = pixels[:, : pixels.shape[1] // 4].mean((0, 1)), pixels[:, pixels.shape[1] // 2 :].mean((0, 1))
    # Red where it covers; the grey board of the page, equal in all channels, where it does not.
    assert left[0] > 200 and left[1:].max() < 60
    assert np.ptp(right) < COLOUR_TOLERANCE and right.min() > 150


def test_sliders_move_the_viewpoint_of_a_light_field(tab, light_field, tmp_path):
    page = write_page(light_field, tmp_path / "views.html").path
    open_page(tab, page, "#scene=000000&k=1&f=1&g=0")
    assert_shows(tab, colour_of(1, 1))
    assert output(tab, "across") == "u = 0 radius, 0 mm"
    # The first step to the right begins at the middle, view 5 of 11, of which the page has rows and columns
    # 0 1 2 4 5 6 8 9 10.
    tab.locator("#across").focus()
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of_view(5, 6))
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of_view(5, 8))
    assert tab.locator("#viewing").is_visible()
    tab.locator("#down").focus()
    tab.keyboard.press("Home")
    assert_shows(tab, colour_of_view(0, 8))
    assert tab.locator("#file").inner_text() == "views/00_08.exr" and tab.locator("#noise").inner_text() == "0.089"
    assert output(tab, "across") == "u = 0.55 radius, 2.2 mm" and output(tab, "down") == "v = -0.91 radius, -3.6 mm"
    wait_until(tab, "location.hash === '#scene=000000&k=1&f=1&g=0&u=6&v=0'")
    # Blur and focus lead back to the stack.
    tab.locator("#focus").focus()
    tab.keyboard.press("ArrowRight")
    assert_shows(tab, colour_of(1, 2))
    assert output(tab, "across") == "u = 0 radius, 0 mm" and not tab.locator("#viewing").is_visible()
    open_page(tab, page, "#scene=000000&k=0&f=0&g=0&u=99&v=8")
    tab.reload()
    assert_shows(tab, colour_of_view(10, 10))


def test_scenes_without_views_have_no_viewpoint(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=0&f=0&u=1&v=1")
    assert_shows(tab, colour_of(0, 0))
    assert not tab.locator("#across").is_visible() and not tab.locator("#down").is_visible()


def test_the_disparity_map_marks_what_is_in_focus(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=1&f=2")
    wait_until(tab, "scene.levels !== null")
    marked = tab.evaluate(
        "() => { const c = document.getElementById('disparity');"
        "const rgb = (x) => [...c.getContext('2d').getImageData(x, 5, 1, 1).data].slice(0, 3);"
        "return [rgb(2), rgb(c.width >> 1), rgb(c.width - 3)]; }"
    )
    near, middle, far = marked
    # The near third is marked in green; the farthest level of magma is almost black, the middle one purple-red.
    assert near[1] > near[0] + 100
    assert max(far) < 10
    assert middle[0] > middle[2] > middle[1]


def test_space_shows_all_in_focus_while_it_is_held(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=1&f=0")
    assert_shows(tab, colour_of(1, 0))
    tab.locator("#focus").focus()
    tab.keyboard.down("Space")
    assert_shows(tab, ALL_IN_FOCUS)
    assert tab.locator("#comparing").is_visible()
    tab.keyboard.up("Space")
    assert_shows(tab, colour_of(1, 0))
    assert not tab.locator("#comparing").is_visible()


def test_the_address_links_to_the_view_and_follows_it(tab, page_file):
    open_page(tab, page_file, "#scene=000002&k=0&f=1&g=1")
    assert tab.locator("#name").inner_text() == "000002"
    assert_shows(tab, colour_of(0, 1, 1))
    tab.locator("#blur").focus()
    tab.keyboard.press("ArrowRight")
    wait_until(tab, "location.hash === '#scene=000002&k=1&f=1&g=1'")


def test_an_address_out_of_range_shows_the_nearest_image(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=7&f=-2&g=x")
    assert_shows(tab, colour_of(1, 0, 0))


def test_the_keyboard_alone_opens_walks_and_closes_scenes(tab, page_file):
    open_page(tab, page_file)
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    assert_shows(tab, colour_of(1, 1))
    assert tab.locator("#name").inner_text() == "000001"
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowDown")
    assert_shows(tab, colour_of(0, 0))
    tab.keyboard.press("n")
    wait_until(tab, "document.getElementById('name').textContent === '000002'")
    assert not tab.locator("#next").is_visible()
    tab.keyboard.press("Escape")
    wait_until(tab, "!document.getElementById('overview').hidden")
    assert tab.evaluate("document.activeElement.dataset.scene") == "000002"


def test_every_control_has_a_name_for_screen_readers(tab, page_file):
    open_page(tab, page_file, "#scene=000000&k=1&f=0")
    for name in ("Blur", "Focus", "Gamma"):
        assert tab.get_by_role("slider", name=name).count() == 1
    assert "blur parameter 24 px" in tab.locator("#picture").get_attribute("aria-label")


def test_a_blb_folder_has_no_layers_and_speaks_in_metres(tab, blb, tmp_path):
    page = write_page(blb, tmp_path / "blb.html")
    open_page(tab, page.path, "#scene=277&k=0&f=1")
    assert_shows(tab, colour_of(0, 1))
    assert not tab.locator("#layer-section").is_visible()
    assert not tab.locator("#gamma-control").is_visible()
    assert output(tab, "focus").replace(" ", "") == "df=0.51/m,2m"
    assert tab.locator("#noise").inner_text() == "not recorded"


# ---------- the file


def test_scenes_beyond_the_limit_are_left_out_and_counted(dataset, tmp_path):
    page = write_page(dataset, tmp_path / "view.html", scenes=2)
    text = page.path.read_text()
    assert (page.scenes_shown, page.scenes_left_out) == (2, 1)
    assert page.bytes == page.path.stat().st_size
    assert text.count('data-scene="') == 2
    assert "The first 2 of 3 scenes; 1 was left out" in text


def test_a_page_stops_growing_before_browsers_give_up(dataset, tmp_path, monkeypatch):
    two = write_page(dataset, tmp_path / "two.html", scenes=2)
    monkeypatch.setattr(view, "PAGE_BYTES_MAX", two.bytes)
    assert write_page(dataset, tmp_path / "part.html").scenes_left_out == 1
    monkeypatch.setattr(view, "PAGE_BYTES_MAX", 1)
    # A single scene is shown whatever its size.
    assert write_page(dataset, tmp_path / "least.html").scenes_shown == 1


def test_pictures_are_reduced_to_the_side_asked_for_and_never_enlarged(dataset, tmp_path):
    def picture_sizes(side_px: int) -> set[tuple[int, int]]:
        text = write_page(dataset, tmp_path / "view.html", scenes=1, side_px=side_px).path.read_text()
        entry = json.loads(text.split('<script type="application/json">')[1].split("</script>")[0])
        return {_size(bokeh["picture"]) for bokeh in entry["bokeh"]}

    assert picture_sizes(24) == {(24, 16)}
    assert picture_sizes(4096) == {(WIDTH, HEIGHT)}


def _size(data_uri: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(data_uri.partition(",")[2]))).size


def test_the_same_dataset_gives_the_same_page(dataset, page_file, tmp_path):
    assert write_page(dataset, tmp_path / "again.html").path.read_bytes() == page_file.read_bytes()


def test_a_broken_scene_is_named_and_leaves_the_old_page(dataset, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(dataset, broken)
    (broken / "000001" / "bokeh_01_02.exr").unlink()
    out = tmp_path / "view.html"
    out.write_text("the page of yesterday")
    with pytest.raises(DatasetError, match=r"000001.bokeh_01_02\.exr"):
        write_page(broken, out)
    assert out.read_text() == "the page of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "view.html"]


def test_a_dataset_without_a_finished_scene_says_so(tmp_path):
    with DatasetWriter(tmp_path / "empty", {"recipe": "thirds"}):
        pass
    with pytest.raises(DatasetError, match="holds no finished scene"):
        write_page(tmp_path / "empty", tmp_path / "view.html")


def test_what_cannot_be_asked_for_is_named(dataset, tmp_path):
    with pytest.raises(DatasetError, match="0 scenes"):
        write_page(dataset, tmp_path / "view.html", scenes=0)
    with pytest.raises(DatasetError, match="-5 px"):
        write_page(dataset, tmp_path / "view.html", side_px=-5)
    with pytest.raises(DatasetError, match=r"nowhere.view\.html: cannot be written"):
        write_page(dataset, tmp_path / "nowhere" / "view.html")
    with pytest.raises(DatasetError, match="no such folder"):
        write_page(tmp_path / "absent", tmp_path / "view.html")
