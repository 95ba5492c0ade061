"""A page of ten thousand scenes opens at once, shows the scene that is asked for, and does not grow with its use."""

import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import test_view

from bokehdata import view
from bokehdata.folder import SceneFolder
from bokehdata.format import DatasetError
from bokehdata.kinds import open_scene
from bokehdata.pages import filled
from bokehdata.sheets import SHEET_SCENES, Card, Chunk, write_sheets
from bokehdata.view import write_page
from bokehforge.view import main

# Of the page alone, on two cores that others use too; at rest it takes a quarter of it.
OPENING_S = 6.0

MANY = 10_000


dataset, tab = test_view.dataset, test_view.tab


@pytest.fixture
def few(monkeypatch) -> None:
    """A page of more than one scene is a folder, and a sheet has two."""
    monkeypatch.setattr(view, "PAGE_SCENES", 1)
    monkeypatch.setattr("bokehdata.sheets.SHEET_SCENES", 2)


@pytest.fixture(scope="module")
def many(dataset, tmp_path_factory) -> Path:
    """Ten thousand scenes with the pictures of three; their names say which."""
    cards = [view._card(open_scene(dataset / f"00000{i}"), 48) for i in range(3)]

    def chunks() -> Iterator[Chunk]:
        for number in range(MANY):
            name = f"{number:06d}"
            card = cards[number % 3]
            named = Card(name, card.content, card.thumbnail, {**card.entry, "name": name})
            yield Chunk(None, partial(lambda card: card, named))

    folder = tmp_path_factory.mktemp("many") / "many.view"
    template = Path(view.__file__).with_name("view.html").read_text("utf-8")
    head, tail = template.split("<!-- scenes -->\n")
    palette = view.disparity_palette().tobytes().hex()
    write_sheets(folder, (head, filled(tail, palette=palette)), chunks())
    return folder / "index.html"


def names_shown(tab) -> list[str]:
    return tab.evaluate("[...document.querySelectorAll('.scenes a')].map((card) => card.dataset.scene)")


def wait_until(tab, condition: str) -> None:
    test_view.wait_until(tab, condition)


def test_many_scenes_open_at_once_and_memory_stays(tab, many):
    begin = time.monotonic()
    tab.goto(many.as_uri())
    wait_until(tab, "document.querySelectorAll('.scenes img').length > 0")
    assert time.monotonic() - begin < OPENING_S
    assert names_shown(tab) == [f"{i:06d}" for i in range(SHEET_SCENES)]

    client = tab.context.new_cdp_session(tab)

    def used() -> tuple[float, float]:
        """MB of the heap, and nodes of the document, of what is not garbage."""
        client.send("HeapProfiler.collectGarbage")
        return tab.evaluate("performance.memory.usedJSHeapSize") / 1e6, client.send("Memory.getDOMCounters")["nodes"]

    def look_at(numbers: range) -> None:
        for number in numbers:
            tab.evaluate(f"location.hash = '#scene={number:06d}'")
            wait_until(tab, f"document.getElementById('name').textContent === '{number:06d}'")

    look_at(range(0, 1000, 199))
    heap_mb, nodes = used()
    look_at(range(1000, MANY, 199))
    heap_later_mb, nodes_later = used()
    # What is looked at is let go: 45 scenes and sheets later there is no more of either.
    assert heap_later_mb < heap_mb + 2.0
    assert nodes_later < 1.5 * nodes


def test_an_address_leads_to_any_scene_and_its_neighbours_are_those_of_the_data(tab, many):
    tab.goto(many.as_uri() + "#scene=009999&k=1&f=0")
    wait_until(tab, "document.getElementById('name').textContent === '009999'")
    test_view.assert_shows(tab, test_view.colour_of(1, 0))
    assert not tab.locator("#next").is_visible()
    # From the first scene of a sheet to the last one of the sheet before, and back.
    tab.goto(many.as_uri() + "#scene=000400")
    wait_until(tab, "document.getElementById('name').textContent === '000400'")
    tab.keyboard.press("p")
    wait_until(tab, "document.getElementById('name').textContent === '000399'")
    tab.keyboard.press("n")
    wait_until(tab, "document.getElementById('name').textContent === '000400'")
    tab.keyboard.press("Escape")
    wait_until(tab, "!document.getElementById('overview').hidden")
    assert names_shown(tab)[0] == "000400"
    tab.goto(many.as_uri() + "#scene=77")
    wait_until(tab, "document.querySelectorAll('.scenes img').length > 0")
    assert tab.locator("#overview").is_visible()


def test_sheets_are_turned_by_links_and_by_name(tab, many):
    tab.goto(many.as_uri())
    wait_until(tab, "document.querySelectorAll('.scenes img').length > 0")
    assert not tab.locator("#sheet-before").is_visible()
    tab.locator("#sheet-after").click()
    wait_until(tab, "document.querySelector('.scenes a').dataset.scene === '000200'")
    assert tab.locator("#sheet-select").input_value() == "1"
    tab.locator("#sheet-select").select_option(label="009800 to 009999")
    wait_until(tab, "document.querySelector('.scenes a').dataset.scene === '009800'")
    assert not tab.locator("#sheet-after").is_visible()
    tab.go_back()
    wait_until(tab, "document.querySelector('.scenes a').dataset.scene === '000200'")


def test_the_page_of_a_folder_is_the_page_of_a_file(tab, dataset, tmp_path, few):
    page = write_page(dataset, tmp_path / "thirds.html")
    assert page.path == tmp_path / "thirds.view" / "index.html"
    assert page.bytes == sum(path.stat().st_size for path in (tmp_path / "thirds.view").rglob("*") if path.is_file())
    tab.goto(page.path.as_uri())
    wait_until(tab, "document.querySelectorAll('.scenes img').length === 2")
    assert tab.locator(".scenes .faint").first.inner_text() == "3 layers"
    tab.locator(".scenes a").nth(1).click()
    wait_until(tab, "document.getElementById('name').textContent === '000001'")
    test_view.assert_shows(tab, test_view.colour_of(1, 1))
    wait_until(tab, "scene.levels !== null")
    test_view.click_at(tab, "#picture", 1 / 6, 0.5)
    test_view.assert_shows(tab, test_view.colour_of(1, 2))
    # The entry of a scene is that of the page in one file.
    card = view._card(open_scene(dataset / "000001"), 512)
    text = (tmp_path / "thirds.view" / "scenes" / "0" / "1.js").read_text().split("\n", 1)[1]
    assert json.loads(text.partition(", ")[2].removesuffix(");\n")) == json.loads(json.dumps(card.entry))


def test_a_file_that_is_gone_is_named(browser, dataset, tmp_path, few):
    page = write_page(dataset, tmp_path / "thirds.html")
    (tmp_path / "thirds.view" / "scenes" / "0" / "1.js").unlink()
    tab = browser.new_page()
    tab.goto(page.path.as_uri() + "#scene=000001")
    wait_until(tab, "!document.getElementById('problem').hidden")
    assert tab.locator("#problem").inner_text() == "scenes/0/1.js is missing; write the page again"
    assert tab.locator("#overview").is_visible()
    tab.close()


def test_a_folder_goes_on_where_it_was_stopped(dataset, tmp_path, few, monkeypatch, capsys):
    words = [str(dataset), "--out", str(tmp_path / "a.html")]
    assert main([str(dataset), "--out", str(tmp_path / "whole.html")]) == 0
    whole = {p.relative_to(tmp_path / "whole.view"): p.read_bytes() for p in (tmp_path / "whole.view").rglob("*.*")}
    made = []
    card = view._card

    def interrupted(folder: SceneFolder, side_px: int) -> Card:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(folder.name)
        return card(folder, side_px)

    monkeypatch.setattr(view, "_card", interrupted)
    assert main(words) == 130
    assert not (tmp_path / "a.view" / "index.html").exists()
    made.clear()
    assert main(words) == 0
    assert made == ["000002"], "the others are kept"
    assert {p.relative_to(tmp_path / "a.view"): p.read_bytes() for p in (tmp_path / "a.view").rglob("*.*")} == whole
    # Pictures of another size are made anew.
    monkeypatch.setattr(view, "_card", card)
    assert main([*words, "--side", "20"]) == 0
    assert (tmp_path / "a.view" / "scenes" / "0" / "0.js").read_bytes() != whole[Path("scenes/0/0.js")]


def test_a_scene_that_changed_is_made_anew(dataset, tmp_path, few):
    root = shutil.copytree(dataset, tmp_path / "data")
    write_page(root, tmp_path / "a.html")
    before = (tmp_path / "a.view" / "scenes" / "0" / "1.js").read_bytes()
    index = (root / "index.jsonl").read_text().splitlines(keepends=True)
    shutil.copy(root / "000001" / "bokeh_00_00.exr", root / "000001" / "image.exr")
    entry = json.loads(index[1])
    entry["files"]["image.exr"] = entry["files"]["bokeh_00_00.exr"]
    (root / "index.jsonl").write_text(index[0] + json.dumps(entry) + "\n" + index[2])
    write_page(root, tmp_path / "a.html")
    assert (tmp_path / "a.view" / "scenes" / "0" / "1.js").read_bytes() != before


def test_a_folder_of_something_else_is_left_alone(dataset, tmp_path, few):
    (tmp_path / "mine.view").mkdir()
    (tmp_path / "mine.view" / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match=r"mine\.view: holds thesis\.txt, which is no part of a page"):
        write_page(dataset, tmp_path / "mine.html")
    assert [path.name for path in (tmp_path / "mine.view").iterdir()] == ["thesis.txt"]
