"""Tables say what the rows say, in the layouts of the papers; the page lets people sort, wipe, zoom and compare.

A real browser looks at it. Every picture of the benchmark is one flat colour, and every error map two halves, so that a
pixel on the screen proves which picture is shown, and where.
"""

import csv
import io
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest

from evaluation import page as page_module
from evaluation.pictures import ALL_IN_FOCUS, TRUTH, error_file, picture_file, write_error, write_picture
from evaluation.plots import error_versus_blur, error_versus_time, noise_floor
from evaluation.report import main
from evaluation.results import PICTURES_FOLDER, SCHEMA
from evaluation.tables import against, rankings, tables, weights_used

WIDTH, HEIGHT = 64, 48
RENDERERS = ("soft", "hard", "slow")
IMAGES = tuple(f"{scene:06d}/bokeh_{level:02d}_00" for scene in (0, 1) for level in (0, 1))
# WebP is lossy: flat colours come back within a few levels. Those of any two pictures differ by 40 or more.
COLOUR_TOLERANCE = 8
REGIONS = ("all", "in_focus", "border_cropped")


def rmse_of(renderer: str, image: str) -> float:
    """soft is best and slow worst; the second scene is the harder one, but for `hard`."""
    scene, level = int(image[:6]), int(image[13:15])
    factor = {"soft": 1.0, "hard": 2.0, "slow": 4.0}[renderer]
    harder = -0.002 * scene if renderer == "hard" else 0.003 * scene
    return factor * (0.01 + 0.004 * level + harder)


def scores(rmse: float) -> dict:
    return {
        "rmse": rmse,
        "rmse_s": 0.9 * rmse,
        "psnr": -20.0 * math.log10(rmse),
        "ssim": 1.0 - rmse,
        "zncc": 1.0 - rmse / 2,
    }


def make_row(renderer: str, image: str) -> dict:
    rmse = rmse_of(renderer, image)
    return {
        "renderer": renderer,
        "target": renderer,
        "data_sha256": "0",
        "image": image,
        "scene": image[:6],
        "level": int(image[13:15]) + 1,
        "focus_index": 0,
        "gamma": 2.2,
        "corruption": None,
        "focus_disparity": 0.4,
        "true_blur_parameter": 20.0,
        "blur_parameter": 20.0,
        "blur_radius_px": 10.0 + 10.0 * int(image[13:15]),
        "noise_rmse": 0.001,
        "width": WIDTH,
        "height": HEIGHT,
        **scores(rmse),
        "ssim_uniform7": 1.0 - 2 * rmse,
        "lpips": None,
        "regions": {region: {"share": 0.5, **scores(rmse * (1 + i))} for i, region in enumerate(REGIONS)},
        "seconds": {"soft": 0.1, "hard": 0.01, "slow": 3.0}[renderer],
    }


def make_document(rows: list[dict], **changes) -> dict:
    return {
        "schema": SCHEMA,
        "complete": True,
        "data": {"name": "flat <scenes>", "images": len(IMAGES), "sha256": "0"},
        "protocol": {"name": "blb", "source": "a paper", "region": "all", "table": "levels"},
        "metrics": {},
        "regions": dict.fromkeys(REGIONS, "a sentence"),
        "rules": {"space": "display values", "seconds": "", "memory": "", "repeats": 1},
        "software": {},
        "machine": {"processor": "a processor", "cores": 2, "system": "Linux"},
        "lpips": {"available": False, "reason": "not asked for"},
        "renderers": [
            {"name": name, "target": name, "rows": 4, "failed": 0, "seconds_median": 0.1, "peak_memory_bytes": 10**8}
            for name in RENDERERS
        ],
        "pictures": list(IMAGES),
        "rows": rows,
    } | changes


@pytest.fixture
def document() -> dict:
    return make_document([make_row(renderer, image) for renderer in RENDERERS for image in IMAGES])


# ---------- tables


def column(table, group: str, name: str) -> dict[str, float]:
    """Numbers of a column by renderer."""
    (index,) = [i for i, c in enumerate(table.columns) if (c.group, c.name) == (group, name)]
    return {line.name: line.cells[index].value for line in table.lines}


def named(document: dict, key: str):
    return next(table for table in tables(document) if table.key == key)


def test_what_a_real_lens_costs_is_paired_picture_by_picture_in_the_headline_region(document, tmp_path):
    """Every picture through the thin lens is 1 dB better where the border is cropped; the whole frame says else."""
    document["protocol"]["region"] = "border_cropped"
    for name, better_db in (("real", 0.0), ("thin", 1.0)):
        (tmp_path / name).mkdir()
        rows = json.loads(json.dumps(document["rows"]))
        for row in rows:
            row["psnr"] -= 3.0 * better_db
            row["regions"]["border_cropped"]["psnr"] += better_db
        rows.append({**rows[0], "image": "000000/failed", "error": "it cannot"})
        # A picture that only one side has measured does not count.
        rows.append({**rows[0], "image": f"000000/{name}"})
        rows[-1]["regions"] = {"border_cropped": {"psnr": 99.0}}
        (tmp_path / name / "results.json").write_text(json.dumps({**document, "rows": rows}))
    script = Path(__file__).parents[1] / "docs" / "aberration_cost.py"
    words = [sys.executable, str(script), str(tmp_path / "real"), str(tmp_path / "thin")]
    told = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert told[0] == "PSNR, border cropped" and len(told) == 4 + len(RENDERERS)
    assert all(line.endswith("| -1.00 [-1.00, -1.00] |") for line in told[4:])
    means = [[float(cell) for cell in line.split("|")[2:4]] for line in told[4:]]
    assert all(thin - real == pytest.approx(1.0, abs=0.011) for real, thin in means)


def test_the_levels_are_laid_out_as_bokehmes_table_1(document):
    table = tables(document)[0]
    assert [(c.group, c.name) for c in table.columns] == [
        (f"Level {level}", name) for level in (1, 2) for name in ("PSNR", "SSIM", "Time (s)")
    ]
    psnr = [row["psnr"] for row in document["rows"] if row["renderer"] == "hard" and row["level"] == 2]
    assert column(table, "Level 2", "PSNR")["hard"] == pytest.approx(statistics.fmean(psnr))
    assert column(table, "Level 1", "Time (s)") == {"soft": 0.1, "hard": 0.01, "slow": 3.0}


def test_mean_and_deviation_are_laid_out_as_dr_bokehs_table_1(document):
    table = named(document, "mean-std")
    assert [c.name for c in table.columns] == ["RMSE", "RMSE-s", "SSIM", "PSNR", "ZNCC"]
    name, cells = table.lines[0].name, table.lines[0].cells
    errors = [rmse_of("soft", image) for image in IMAGES]
    assert name == "soft"
    assert (cells[0].value, cells[0].std) == pytest.approx((np.mean(errors), np.std(errors)))
    assert f"**{np.mean(errors):.4f} ± {np.std(errors):.4f} [" in table.markdown()


def test_the_best_number_of_a_column_is_bold_and_no_other(document):
    for line in named(document, "mean-std").markdown().splitlines():
        if line.startswith(("| hard", "| slow")):
            assert "**" not in line
        if line.startswith("| soft"):
            assert line.count("**") == 2 * 5


def test_latex_is_a_table_with_one_heading_per_level(document):
    text = tables(document)[0].latex()
    assert text.count(r"\multicolumn{3}{c}") == 2
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-7}" in text
    assert text.count(r"\\") == 3 + len(RENDERERS)
    body = [line for line in text.splitlines() if line.startswith(RENDERERS)]
    assert all(line.count("&") == 6 for line in body)
    assert r"\textbf{" in text


def test_csv_holds_the_full_numbers(document):
    rows = list(csv.DictReader(io.StringIO(named(document, "mean-std").csv())))
    assert [row["renderer"] for row in rows] == [*RENDERERS, "noise of the truth"]
    assert float(rows[2]["RMSE"]) == statistics.fmean(rmse_of("slow", image) for image in IMAGES)
    assert float(rows[2]["RMSE std"]) == pytest.approx(np.std([rmse_of("slow", image) for image in IMAGES]))


def test_every_region_has_its_numbers(document):
    table = named(document, "regions")
    # The region after the whole frame has twice its error.
    means = {r: statistics.fmean(-20 * math.log10(2 * rmse_of(r, image)) for image in IMAGES) for r in RENDERERS}
    assert column(table, "in focus", "PSNR") == pytest.approx(means)


def test_failures_and_perfect_pictures_stay_out_of_the_means(document):
    rows = document["rows"]
    rows[0] = {key: value for key, value in rows[0].items() if key not in scores(0.1)} | {"error": "it failed"}
    rows[1]["psnr"] = None
    left = [row["psnr"] for row in rows[2:4]]
    assert column(named(document, "mean-std"), "", "PSNR")["soft"] == pytest.approx(statistics.fmean(left))


def test_the_report_says_which_weights_were_used(document):
    assert not list(weights_used(document))
    document["renderers"][0]["weights"] = {"net.safetensors": "0123456789abcdef"}
    (sentence,) = weights_used(document)
    assert "soft" in sentence and "net.safetensors (0123456789ab)" in sentence
    document["renderers"][0] |= {"seen_in_training": 3, "rows": 8}
    _, warning = weights_used(document)
    assert warning == "soft was trained or validated on what 3 of its 8 rows show."


def test_a_renderer_without_a_number_has_a_dash(document):
    for row in document["rows"][:4]:
        row["error"] = "it failed"
    assert "| soft | - | - | - | - | - |" in named(document, "mean-std").markdown()


def test_the_drbokeh_protocol_leads_with_its_region_and_also_gives_the_true_blur():
    rows = [make_row(renderer, image) for renderer in RENDERERS for image in IMAGES]
    for row in rows:
        row["searched"] = [[20.0, row["rmse"]]]
        row["at_true_blur_parameter"] = {**scores(3 * row["rmse"]), "regions": row["regions"]}
    protocol = {"name": "drbokeh", "source": "a paper", "region": "border_cropped", "table": "mean-std"}
    document = make_document(rows, protocol=protocol)
    keys = [table.key for table in tables(document)]
    assert keys[:4] == ["mean-std", "mean-std-true", "mean-std-all", "mean-std-true-all"]
    mean = statistics.fmean(rmse_of("soft", image) for image in IMAGES)
    assert column(tables(document)[0], "", "RMSE")["soft"] == pytest.approx(3 * mean)  # the third region
    assert column(tables(document)[2], "", "RMSE")["soft"] == pytest.approx(mean)
    assert column(tables(document)[3], "", "RMSE")["soft"] == pytest.approx(3 * mean)


def test_corrupted_disparities_have_a_column_each():
    rows = []
    for corruption in (None, "blur1", "dilate1"):
        rows += [
            make_row("soft", image) | {"corruption": corruption, "image": f"{image}{corruption}"} for image in IMAGES
        ]
    protocol = {"name": "blb-corrupted", "source": "a paper", "region": "all", "table": "corruptions"}
    document = make_document(rows, protocol=protocol)
    assert [c.group for c in tables(document)[0].columns] == ["as it is", "blur1", "dilate1"]
    # The other tables are of the disparity as it is.
    assert "4 images" in named(document, "mean-std").note


def of_classes(document: dict, **information: str) -> dict:
    """The document with what its renderers are given."""
    renderers = [{**entry, "information": information[entry["name"]]} for entry in document["renderers"]]
    return document | {"renderers": renderers}


def test_renderers_are_compared_with_those_that_are_given_the_same(document):
    """soft is best of all; hard and slow are given less, and the best of them is bold too."""
    table = named(of_classes(document, soft="layers", hard="disparity", slow="disparity"), "mean-std")
    assert [line.name for line in table.lines] == ["hard", "slow", "soft"]
    text = table.markdown()
    assert text.index("*given picture and disparity*") < text.index("| hard") < text.index("*given the true layers")
    best = {line.name: line.cells[0].is_best for line in table.lines}
    # One alone has nothing to be better than.
    assert best == {"hard": True, "slow": False, "soft": False}
    assert table.latex().count(r"\emph{given") == 2
    given = [row["given"] for row in csv.DictReader(io.StringIO(table.csv()))]
    assert given == ["disparity", "disparity", "layers", ""]


def test_a_last_line_says_what_the_noise_of_the_truths_leaves_to_a_perfect_method(document):
    """Of the pictures of a column, where it is of whole pictures or of the headline region, and in RMSE and PSNR."""
    for row in document["rows"]:
        row["noise_rmse"] = 0.001 * row["level"]
    levels, mean_std, regions = (named(document, key) for key in ("levels", "mean-std", "regions"))
    assert [cell.value for cell in levels.floor.cells] == [60.0, None, None, pytest.approx(53.98, abs=0.01), None, None]
    assert mean_std.floor.cells[0].value == pytest.approx(0.0015)
    assert "| *noise of the truth* | 0.0015 ± 0.0005 [0.0015, 0.0015] | - |" in mean_std.markdown()
    assert r"\emph{noise of the truth} & 0.0015" in mean_std.latex()
    known = {c.group for c, cell in zip(regions.columns, regions.floor.cells, strict=True) if cell.value is not None}
    assert known == {"all"}
    for row in document["rows"]:
        row["noise_rmse"] = None
    assert named(document, "levels").floor is None
    assert "noise" not in named(document, "levels").markdown()


def test_what_is_not_significantly_worse_than_the_best_is_bold_too():
    """hard is worse than soft on one scene and better on the other."""
    rows = [make_row(renderer, image) for renderer in RENDERERS for image in IMAGES]
    for row in rows:
        if row["renderer"] == "hard":
            row["psnr"] = 40.0 if row["scene"] == "000000" else 10.0
        if row["renderer"] != "hard":
            row["psnr"] = {"soft": 26.0, "slow": 20.0}[row["renderer"]]
    table = named(make_document(rows), "mean-std")
    index = [column.name for column in table.columns].index("PSNR")
    best = {line.name: line.cells[index].is_best for line in table.lines}
    assert best["soft"] and best["hard"] and not best["slow"]


def test_every_mean_has_an_interval_and_counts_its_scenes(document):
    table = named(document, "mean-std")
    assert "4 images of 2 scenes" in table.note
    for line in table.lines:
        for cell in line.cells:
            assert cell.low is not None and cell.high is not None
            assert cell.low <= cell.value <= cell.high
    header = next(csv.reader(io.StringIO(table.csv())))
    assert header[2:6] == ["RMSE", "RMSE std", "RMSE low", "RMSE high"]


def test_every_pair_has_its_difference_and_interval(document):
    table = named(document, "differences")
    values = {line.name: [cell.value for cell in line.cells] for line in table.lines}
    psnr = column(named(document, "mean-std"), "", "PSNR")
    assert values["soft"][0] is None
    assert values["soft"][1] == pytest.approx(psnr["soft"] - psnr["hard"])
    assert values["hard"][0] == pytest.approx(-values["soft"][1])
    assert "| soft | - | **+" in table.markdown()


def test_differences_from_one_renderer_are_shown_by_level(document):
    """Between renderers of its class, with their sign: soft is better than hard at either level."""
    table = against(of_classes(document, soft="disparity", hard="disparity", slow="layers"), "hard")
    assert [line.name for line in table.lines] == ["soft"]
    for level in (1, 2):
        gains = [
            20.0 * math.log10(rmse_of("hard", image) / rmse_of("soft", image))
            for image in IMAGES
            if level - 1 == int(image[13:15])
        ]
        assert column(table, f"Level {level}", "PSNR")["soft"] == pytest.approx(statistics.fmean(gains))
    (line,) = table.lines
    assert all(cell.is_best == (cell.low > 0.0 or cell.high < 0.0) for cell in line.cells)


def test_a_report_against_a_renderer_that_is_not_there_is_refused(results_folder, tmp_path, capsys):
    folder = shutil.copytree(results_folder, tmp_path / "flat")
    assert main([str(folder), "--against", "hard"]) == 0
    assert (folder / "tables/against-hard.csv").is_file()
    assert main([str(folder), "--against", "magic"]) == 2
    assert "--against is 'magic'" in capsys.readouterr().err


def test_a_ranking_is_a_sentence_for_every_class(document):
    (sentence,) = rankings(document)
    assert "whole frame: soft > hard > slow" in sentence
    split = of_classes(document, soft="layers", hard="disparity", slow="disparity")
    (sentence,) = rankings(split)
    assert "given picture and disparity: hard > slow" in sentence


def test_the_noise_of_the_truth_is_a_line_in_every_plot(document):
    assert noise_floor(document) == pytest.approx(0.001)
    for plot in (error_versus_blur(document), error_versus_time(document)):
        svg = xml.etree.ElementTree.fromstring(plot)
        (floor,) = [line for line in svg.iter() if line.get("class") == "floor"]
        assert floor.attrib["y1"] == floor.attrib["y2"]
        # Below every point: all errors are larger.
        circles = [float(circle.attrib["cy"]) for circle in svg.iter() if circle.tag.endswith("circle")]
        assert float(floor.attrib["y1"]) > max(circles)
    for row in document["rows"]:
        row["noise_rmse"] = None
    assert 'class="floor"' not in error_versus_blur(document)


def test_plots_are_pictures_of_every_renderer(document):
    plots = error_versus_blur(document), error_versus_time(document)
    blur, of_time = (xml.etree.ElementTree.fromstring(plot) for plot in plots)
    for plot in (blur, of_time):
        assert set(RENDERERS) <= {element.text for element in plot.iter() if element.tag.endswith("text")}
    circles = [element for element in blur.iter() if element.tag.endswith("circle")]
    # Two levels for each renderer; the first and best one lies lowest.
    assert len(circles) == 6
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert min(heights[:2]) > max(heights[4:])


def test_a_plot_without_numbers_says_so(document):
    for row in document["rows"]:
        row["blur_radius_px"] = None
    assert "<circle" not in error_versus_blur(document)
    assert "no numbers" in error_versus_blur(document)


# ---------- the command


def display_of(image: str, name: str) -> np.ndarray:
    """A colour that tells image and name."""
    number = IMAGES.index(image)
    red = {TRUTH: 0.1, ALL_IN_FOCUS: 0.9, "soft": 0.3, "hard": 0.5, "slow": 0.7}[name]
    picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
    picture[:] = (red, 0.15 + 0.2 * number, 0.2)
    return picture


def colour_of(image: str, name: str) -> tuple[int, ...]:
    return tuple(np.round(display_of(image, name)[0, 0] * 255).astype(int))


@pytest.fixture(scope="module")
def results_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "flat"
    folder.mkdir()
    document = make_document([make_row(renderer, image) for renderer in RENDERERS for image in IMAGES])
    (folder / "results.json").write_text(json.dumps(document))
    pictures = folder / PICTURES_FOLDER
    for image in IMAGES:
        for name in (TRUTH, ALL_IN_FOCUS, *RENDERERS):
            write_picture(picture_file(pictures, image, name), display_of(image, name), 64)
        for name in RENDERERS:
            truth = np.zeros((HEIGHT, WIDTH, 3), np.float32)
            wrong = truth.copy()
            wrong[:, WIDTH // 2 :] = 0.25 if name == "slow" else 0.0625
            write_error(error_file(pictures, image, name), wrong, truth, 64)
    assert main([str(folder)]) == 0
    return folder


def test_the_report_leaves_tables_plots_and_a_page(results_folder):
    names = {str(path.relative_to(results_folder)) for path in results_folder.rglob("*") if path.is_file()}
    assert {"report.md", "report.html", "plots/error-versus-blur.svg", "plots/error-versus-time.svg"} <= names
    assert {f"tables/{key}.{kind}" for key in ("levels", "mean-std", "regions") for kind in ("tex", "csv")} <= names
    assert "### Blur levels" in (results_folder / "report.md").read_text()


def test_the_same_results_give_the_same_bytes(results_folder, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(results_folder, again)
    assert main([str(again)]) == 0
    for name in ("report.md", "report.html", "tables/levels.tex", "plots/error-versus-time.svg"):
        assert (again / name).read_bytes() == (results_folder / name).read_bytes()


def test_without_pictures_there_are_tables_still(document, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(document))
    assert main([str(tmp_path)]) == 0
    assert "No pictures were kept" in (tmp_path / "report.html").read_text()


def test_the_page_shows_the_worst_of_every_renderer_first(results_folder):
    document = json.loads((results_folder / "results.json").read_text())
    text = page_module.page(document, results_folder, cases=2)
    shown = [image for image in IMAGES if f'data-case="{image}"' in text]
    # The worst of soft and slow is in scene 1, that of hard in scene 0, both at the second level.
    assert shown == [IMAGES[1], IMAGES[3]]
    assert "The worst 2 of 4 images" in text


def test_what_is_no_benchmark_is_named(tmp_path, capsys, document):
    assert main([str(tmp_path / "absent")]) == 2
    assert "results.json: no such file" in capsys.readouterr().err
    (tmp_path / "results.json").write_text("{")
    assert main([str(tmp_path)]) == 2
    assert "is not JSON" in capsys.readouterr().err
    (tmp_path / "results.json").write_text(json.dumps(document | {"schema": 99}))
    assert main([str(tmp_path)]) == 2
    assert "schema" in capsys.readouterr().err
    (tmp_path / "results.json").write_text(json.dumps(document | {"rows": []}))
    assert main([str(tmp_path)]) == 2
    assert "no renderer has rendered anything" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


# ---------- the page in a browser


@pytest.fixture
def tab(browser, results_folder):
    """The page, in a tab that fails the test if it asks for anything outside itself or raises an error."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
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
    page.goto((results_folder / "report.html").as_uri())
    yield page
    page.close()
    assert outside == []
    assert errors == []


def pixel(tab, x: float, y: float = 0.5, selector: str = "#canvas") -> tuple[int, ...]:
    """Colour of the stage, or of another canvas, as drawn, at fractions of its sides."""
    return tuple(
        tab.evaluate(
            "([selector, x, y]) => { const c = document.querySelector(selector);"
            "const at = [Math.floor(x * c.width), Math.floor(y * c.height)];"
            "return [...c.getContext('2d').getImageData(...at, 1, 1).data].slice(0, 3); }",
            [selector, x, y],
        )
    )


def assert_colour(tab, wanted, x: float, y: float = 0.5, selector: str = "#canvas") -> None:
    """A pixel becomes a colour; pictures are decoded in the background, so it may take a moment."""
    deadline = time.monotonic() + 5.0
    while np.abs(np.subtract(pixel(tab, x, y, selector), wanted)).max() > COLOUR_TOLERANCE:
        assert time.monotonic() < deadline, f"shows {pixel(tab, x, y, selector)}, not {tuple(wanted)}"
        tab.wait_for_timeout(20)


def first_column(tab) -> list[str]:
    return [text.strip() for text in tab.locator("#table tbody td:first-child").all_inner_texts()]


def first_case(tab) -> str:
    return tab.locator(".cases button").first.get_attribute("data-case")


def test_a_click_on_a_heading_sorts_and_another_one_reverses(tab):
    assert first_column(tab) == ["soft", "hard", "slow"]
    tab.locator("[data-key=seconds]").click()
    assert first_column(tab) == ["hard", "soft", "slow"]
    tab.locator("[data-key=seconds]").click()
    assert first_column(tab) == ["slow", "soft", "hard"]
    # Of PSNR more is better, so the largest comes first.
    tab.locator("[data-key=psnr]").click()
    assert first_column(tab) == ["soft", "hard", "slow"]
    assert tab.locator("th[aria-sort=descending]").inner_text().strip().startswith("PSNR")
    tab.locator("[data-key=psnr]").click()
    assert first_column(tab) == ["slow", "hard", "soft"]
    assert tab.locator("th[aria-sort=ascending]").inner_text().strip().startswith("PSNR")
    tab.locator("[data-key=name]").focus()
    tab.keyboard.press("Enter")
    assert first_column(tab) == ["hard", "slow", "soft"]


def cell(tab, renderer: str, key: str) -> str:
    index = tab.evaluate(
        "(key) => [...document.querySelectorAll('thead button')].findIndex((b) => b.dataset.key === key)", key
    )
    return tab.locator(f"tr[data-renderer={renderer}] td").nth(index).inner_text()


def test_the_table_has_the_means_of_the_rows(tab):
    errors = [rmse_of("soft", image) for image in IMAGES]
    assert cell(tab, "soft", "rmse") == f"{np.mean(errors):.4f} ± {np.std(errors):.4f}"
    assert cell(tab, "slow", "seconds") == "3.000"
    assert "mean ± standard deviation of 4 images" in tab.locator("#counted").inner_text()
    assert "best" in tab.locator("tr[data-renderer=soft] td").nth(1).get_attribute("class")


def test_region_and_level_choose_the_rows(tab):
    tab.select_option("#region", "in_focus")
    errors = [2 * rmse_of("hard", image) for image in IMAGES]
    assert cell(tab, "hard", "rmse").startswith(f"{np.mean(errors):.4f}")
    tab.select_option("#region", "all")
    tab.select_option("#level", "2")
    errors = [rmse_of("hard", image) for image in (IMAGES[1], IMAGES[3])]
    assert cell(tab, "hard", "rmse") == f"{np.mean(errors):.4f} ± {np.std(errors):.4f}"
    assert not tab.locator("#blur-label").is_visible()


def test_plots_follow_the_region(tab):
    """The error of a region is two or three times that of the whole frame, and so are the ticks of its plots."""

    def shown() -> tuple[list[str], list[float]]:
        plots = tab.locator(".plots:visible")
        axes = [text for text in plots.locator("text").all_text_contents() if text.startswith("RMSE")]
        ticks = plots.locator("svg").first.locator("text[text-anchor=end]").all_text_contents()
        return axes, [float(tick) for tick in ticks]

    axes, whole = shown()
    assert axes == ["RMSE, whole frame"] * 2
    tab.select_option("#region", "border_cropped")
    axes, cropped = shown()
    assert axes == ["RMSE, border cropped"] * 2
    assert max(cropped) >= 2.0 * max(whole)
    tab.select_option("#region", "all")
    assert shown()[1] == whole


def test_every_key_of_the_page_works_while_a_slider_has_the_focus(tab):
    tab.locator("#zoom").focus()
    before, wiped = crop_side(tab), tab.input_value("#wipe")
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    assert crop_side(tab) < before and tab.input_value("#wipe") == wiped
    tab.keyboard.press("e")
    assert tab.locator("#scale").is_visible()
    tab.locator("#wipe").focus()
    tab.keyboard.press("e")
    assert not tab.locator("#scale").is_visible()
    tab.keyboard.press("n")
    second = tab.locator(".cases button").nth(1).get_attribute("data-case")
    assert tab.locator("[aria-current]").get_attribute("data-case") == second


def test_the_worst_case_of_the_chosen_renderer_comes_first_and_is_open(tab):
    assert first_case(tab) == IMAGES[3]
    assert_colour(tab, colour_of(IMAGES[3], "soft"), 0.25)
    tab.select_option("#worst", "hard")
    assert first_case(tab) == IMAGES[1]
    assert tab.locator(".cases .worst").first.inner_text() == f"{rmse_of('hard', IMAGES[1]):.4f}"
    # The two pictures that are compared stay chosen.
    assert_colour(tab, colour_of(IMAGES[1], "soft"), 0.25)


def test_dragging_the_handle_wipes_between_two_renderers(tab):
    tab.select_option("#left", "hard")
    tab.select_option("#right", "slow")
    assert_colour(tab, colour_of(IMAGES[3], "hard"), 0.4)
    assert_colour(tab, colour_of(IMAGES[3], "slow"), 0.6)
    stage = tab.locator("#stage").bounding_box()
    middle = stage["y"] + stage["height"] / 2
    tab.mouse.move(stage["x"] + stage["width"] / 2, middle)
    tab.mouse.down()
    tab.mouse.move(stage["x"] + stage["width"] * 0.25, middle, steps=5)
    tab.mouse.up()
    assert_colour(tab, colour_of(IMAGES[3], "hard"), 0.2)
    assert_colour(tab, colour_of(IMAGES[3], "slow"), 0.3)
    assert float(tab.input_value("#wipe")) == pytest.approx(25, abs=1)
    tab.locator("body").press("ArrowRight")
    assert float(tab.input_value("#wipe")) == pytest.approx(27, abs=1)


def test_the_slider_wipes_too(tab):
    tab.locator("#wipe").focus()
    tab.keyboard.press("End")
    assert_colour(tab, colour_of(IMAGES[3], "soft"), 0.95)
    tab.keyboard.press("Home")
    assert_colour(tab, colour_of(IMAGES[3], TRUTH), 0.05)


def test_the_error_map_shows_where_the_error_is(tab):
    tab.select_option("#left", "slow")
    tab.select_option("#right", "slow")
    tab.locator("#show-error").click()
    # Magma: black for none, and its lightest colour for 0.25 and more.
    assert_colour(tab, (0, 0, 4), 0.2)
    assert_colour(tab, (252, 253, 191), 0.8)
    assert tab.locator("#scale").is_visible()
    tab.locator("body").press("e")
    assert_colour(tab, colour_of(IMAGES[3], "slow"), 0.2)


def crop_side(tab) -> int:
    return int(tab.locator("#crop-size").inner_text().split(" ")[0])


def crop_corner(tab) -> str:
    return tab.locator("#crop-size").inner_text().partition(" at ")[2]


def test_every_crop_follows_the_pointer_until_it_is_pinned(tab):
    tab.locator("#show-error").click()
    stage = tab.locator("#stage").bounding_box()

    def move(x: float) -> None:
        tab.mouse.move(stage["x"] + x * stage["width"], stage["y"] + 0.3 * stage["height"])

    move(0.9)
    slow, hard = "#crops [data-name=slow] canvas", "#crops [data-name=hard] canvas"
    assert_colour(tab, (252, 253, 191), 0.5, 0.5, slow)
    # A quarter of the largest error is half way up the square-root scale.
    assert_colour(tab, (183, 55, 121), 0.5, 0.5, hard)
    move(0.1)
    for canvas in (slow, hard):
        assert_colour(tab, (0, 0, 4), 0.5, 0.5, canvas)
    corner = crop_corner(tab)
    tab.mouse.down()
    tab.mouse.up()
    move(0.8)
    assert crop_corner(tab) == corner
    assert_colour(tab, (0, 0, 4), 0.5, 0.5, slow)


def test_the_slider_of_the_crops_zooms_all_of_them(tab):
    tab.locator("#zoom").focus()
    tab.keyboard.press("Home")
    assert crop_side(tab) == HEIGHT
    tab.keyboard.press("End")
    assert crop_side(tab) == 16


def test_the_wheel_zooms_about_the_pointer(tab):
    tab.select_option("#left", "slow")
    tab.locator("#show-error").click()
    tab.locator("#wipe").focus()
    tab.keyboard.press("End")
    assert_colour(tab, (0, 0, 4), 0.2)
    stage = tab.locator("#stage").bounding_box()
    tab.mouse.move(stage["x"] + 0.95 * stage["width"], stage["y"] + 0.5 * stage["height"])
    tab.mouse.wheel(0, -1500)
    # The right half of the picture now fills the stage.
    assert_colour(tab, (252, 253, 191), 0.05)
    tab.mouse.wheel(0, 4000)
    assert_colour(tab, (0, 0, 4), 0.2)


def test_a_click_on_a_crop_compares_that_renderer(tab):
    tab.locator("#crops [data-name=slow]").click()
    assert tab.input_value("#left") == "slow"
    tab.locator("#crops [data-name=hard]").click(modifiers=["Shift"])
    assert tab.input_value("#right") == "hard"
    assert_colour(tab, colour_of(IMAGES[3], "slow"), 0.2)
    assert_colour(tab, colour_of(IMAGES[3], "hard"), 0.8)
    assert tab.locator("#left-chip").inner_text() == f"slow · {rmse_of('slow', IMAGES[3]):.4f}"


def test_keys_walk_through_the_cases(tab):
    assert_colour(tab, colour_of(IMAGES[3], "soft"), 0.2)
    tab.locator("body").press("n")
    second = tab.locator(".cases button").nth(1).get_attribute("data-case")
    assert_colour(tab, colour_of(second, "soft"), 0.2)
    assert tab.locator("[aria-current]").get_attribute("data-case") == second
    tab.locator("body").press("p")
    assert_colour(tab, colour_of(IMAGES[3], "soft"), 0.2)


def test_names_are_text_and_never_markup(tab):
    assert "flat <scenes>" in tab.locator("h1").inner_text()
