"""Rows of a benchmark are taken over as long as nothing that a renderer is made of has changed."""

from pathlib import Path

import pytest

from evaluation import closure
from evaluation.closure import module_files, plugin_files
from evaluation.external import RendererSpec, python_spec
from renderers import RENDERERS

ROOT = Path(closure.__file__).parents[1]


def names(files: list[Path]) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_a_renderer_is_made_of_what_its_modules_import_also_lazily():
    vdslr = names(module_files(RENDERERS["vdslr"].modules))
    assert {"renderers/classical/vdslr.py", "renderers/classical/vdslr_taichi.py", "scenes/lens.py"} <= vdslr
    assert {"renderers/base.py", "runtime/backend.py"} <= vdslr


def test_a_renderer_is_not_made_of_the_others():
    scatter = names(module_files(RENDERERS["scatter"].modules))
    others = ("vdslr", "sterefo", "drbokeh", "neural", "raytrace", "renderers/__init__.py", "evaluation", "training")
    assert [file for file in scatter if any(other in file for other in others)] == []


def test_a_network_is_made_of_its_classical_half_too():
    bokehme = names(module_files(RENDERERS["bokehme"].modules))
    expected = ("bokehme/network.py", "bokehme/dilated_defocus.py", "layers.py", "checkpoints.py", "renderer.py")
    assert {f"renderers/neural/{file}" for file in expected} <= bokehme
    assert {"renderers/classical/scatter.py", "renderers/splatting/splat.py"} <= bokehme
    assert not any("deepfocus" in file or "error_map" in file for file in bokehme)


def test_entries_of_one_operator_differ_by_their_options():
    digests = {RendererSpec("same-name", "own", name).digest() for name in ("bokehme", "bokehme-b1", "bokehme-b2")}
    assert len(digests) == 3


@pytest.fixture
def plugin(tmp_path) -> Path:
    (tmp_path / "helper.py").write_text("def half(x):\n    return x / 2\n")
    (tmp_path / "unused.py").write_text("")
    (tmp_path / "lenses").mkdir()
    (tmp_path / "lenses" / "__init__.py").write_text("")
    (tmp_path / "lenses" / "thick.py").write_text("")
    path = tmp_path / "mine.py"
    path.write_text(
        "import helper\n\ndef blur(image, disparity, lens):\n    from lenses import thick\n"
        "    from renderers.classical.scatter import scatter\n    return helper.half(image)\n"
    )
    return path


def test_a_file_of_ones_own_is_made_of_its_neighbours_and_of_what_it_uses_of_the_project(plugin):
    files = {path.name for path in plugin_files(str(plugin))}
    assert {"mine.py", "helper.py", "thick.py", "scatter.py", "splat.py"} <= files
    assert "unused.py" not in files


def test_a_change_of_a_neighbour_changes_the_digest(plugin):
    spec = python_spec(f"{plugin}:blur")
    before = spec.digest()
    (plugin.parent / "unused.py").write_text("# another file\n")
    assert spec.digest() == before
    (plugin.parent / "helper.py").write_text("def half(x):\n    return x / 3\n")
    assert spec.digest() != before


def test_what_is_installed_is_known_by_its_own_package_alone():
    files = plugin_files("yaml")
    assert files and all("yaml" in path.parts for path in files)
    assert plugin_files("no_such_module_anywhere") == []
