"""The shape of the house: imports point one way, packages stay light, and nothing happens on import."""

import ast
import importlib.util
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bokehforge.cli import COMMANDS

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "runtime": ROOT / "runtime",
    "scenes": ROOT / "scenes",
    "bokehdata": ROOT / "datasets" / "bokehdata",
    "raytrace": ROOT / "raytrace",
    "blender_scripts": ROOT / "blender_scripts",
    "renderers": ROOT / "renderers",
    "evaluation": ROOT / "evaluation",
    "inverse": ROOT / "inverse",
    "training": ROOT / "training",
    "bokehforge": ROOT / "bokehforge",
}
PACKAGES = {name: folder for name, folder in FOLDERS.items() if (folder / "__init__.py").exists()}

# What each package may import of the others, as names or prefixes of names.
ALLOWED = {
    "runtime": set(),
    "scenes": {"runtime"},
    "bokehdata": {"runtime", "scenes"},
    "raytrace": {"runtime", "scenes", "bokehdata"},
    "blender_scripts": {"runtime", "scenes", "bokehdata"},
    "renderers": {"runtime", "scenes", "bokehdata"},
    "evaluation": {"runtime", "scenes", "bokehdata", "renderers"},
    "inverse": {"runtime", "scenes", "bokehdata", "renderers", "evaluation.metrics", "evaluation.lpips"},
    "training": {
        *("runtime", "scenes", "bokehdata", "raytrace", "renderers", "inverse"),
        *("evaluation.metrics", "evaluation.lpips"),
    },
    "bokehforge": set(FOLDERS),
}
# Single files that may import more: the ground truth as a renderer, and batches for training.
EXCEPTIONS = {("renderers/classical/oracle.py", "raytrace"), ("datasets/bokehdata/torch_data.py", "torch")}

# Which packages may import what is heavy or belongs to one stage; none but these.
HEAVY = {
    "torch": {"renderers", "evaluation", "inverse", "training"},
    "lightning": {"training"},
    "taichi": {"runtime", "raytrace", "renderers"},
    "bpy": {"blender_scripts"},
    "jax": set(),
    "torchvision": set(),
}

# Scripts outside the packages may import everything.
SCRIPTS = [folder for folder in (ROOT / "benchmarks", ROOT / "docs", ROOT / "examples") if folder.exists()]
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for folder in (*PACKAGES.values(), *SCRIPTS)
    for path in sorted(folder.rglob("*.py"))
}


def package_of(file: str) -> str | None:
    return next((name for name, folder in PACKAGES.items() if (ROOT / file).is_relative_to(folder)), None)


def imports(tree: ast.AST) -> Iterator[str]:
    """Names of all modules that a file imports from outside its own package, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from evaluation import metrics` imports a module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_imports_point_down():
    astray = []
    for file, tree in TREES.items():
        if package := package_of(file):
            allowed = ALLOWED[package] | {package} | {name for exempt, name in EXCEPTIONS if exempt == file}
            ours = [module for module in imports(tree) if within(module, set(FOLDERS))]
            astray += [f"{file} imports {module}" for module in ours if not within(module, allowed)]
    assert astray == []


# Command modules only parse, call and print.
COMMAND_MODULES = {name for name, _ in COMMANDS.values()}


def module_name(file: str) -> str:
    """ "datasets/bokehdata/cases.py" as it is imported: "bokehdata.cases"; a package by its name."""
    path = Path(file).with_suffix("")
    parts = path.parts[1:] if path.parts[0] == "datasets" else path.parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(file: str) -> set[str]:
    """The modules of ours that a file imports anywhere, lazily too, or for types alone."""
    return {
        found
        for module in imports(TREES[file])
        # The longest part of the name that is a module: the rest is something in it.
        for found in [next((m for m in prefixes(module) if m in MODULES), None)]
        if found is not None and found != module_name(file)
    }


def prefixes(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:n]) for n in range(len(parts), 0, -1))


MODULES = {module_name(file): file for file in TREES if package_of(file)}


def test_no_module_is_in_an_import_circle():
    """Lazy imports count: a circle that is cut by one is a circle still."""
    graph = {module: imported_files(file) for module, file in MODULES.items()}
    # Take away modules that import nothing that is left, until there is none.
    while free := {module for module, imported in graph.items() if not imported & graph.keys()}:
        graph = {module: imported for module, imported in graph.items() if module not in free}
    # What is left are circles, and what leads to one.
    while leading := {module for module in graph if not any(module in imported for imported in graph.values())}:
        graph = {module: imported for module, imported in graph.items() if module not in leading}
    assert graph == {}


def test_commands_are_imported_by_nobody():
    importers = [
        f"{file} imports {module}"
        for file in TREES
        if package_of(file)
        for module in imported_files(file)
        if module in COMMAND_MODULES
    ]
    assert importers == []


def test_the_renderers_are_known_by_their_protocol():
    """No class of a renderer is asked for by name, no attribute of one is looked up by its text."""
    astray = []
    for file, tree in TREES.items():
        if package_of(file) is None:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                on = ast.unparse(node.args[0])
                kinds = ast.unparse(node.args[1]) if len(node.args) > 1 else ""
                if (node.func.id == "isinstance" and re.search(r"\w+Renderer\b", kinds)) or (
                    node.func.id in ("getattr", "hasattr") and "renderer" in on.lower()
                ):
                    astray.append(f"{file}:{node.lineno}: {ast.unparse(node)}")
    assert astray == []


def test_heavy_libraries_stay_in_their_packages():
    astray = []
    for file, tree in TREES.items():
        if package := package_of(file):
            kept_out = {library for library, packages in HEAVY.items() if package not in packages}
            kept_out -= {name for exempt, name in EXCEPTIONS if exempt == file}
            astray += [f"{file} imports {module}" for module in imports(tree) if within(module, kept_out)]
    assert astray == []


def test_only_one_function_of_the_scenes_needs_pymatting():
    in_scenes = {file: tree for file, tree in TREES.items() if package_of(file) == "scenes"}
    everywhere = [file for file, tree in in_scenes.items() for m in imports(tree) if within(m, {"pymatting"})]
    functions = [node for tree in in_scenes.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    users = [f.name for f in functions if any(within(module, {"pymatting"}) for module in imports(f))]
    assert len(set(everywhere)) == len(users) == 1
    # None at the top of the file: all of them are in that function.
    (user,) = (f for f in functions if f.name == users[0])
    assert len(everywhere) == sum(within(module, {"pymatting"}) for module in imports(user))


def modules_of(package: str) -> list[str]:
    """Every module of a package but the files that may import more than the others."""
    exempt = {f"{package}.{Path(file).stem}" for file, _ in EXCEPTIONS if package_of(file) == package}
    found = pkgutil.walk_packages([str(PACKAGES[package])], f"{package}.")
    return [package, *(module.name for module in found if module.name not in exempt)]


def in_a_new_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", ["scenes", "bokehdata"])
def test_the_light_packages_load_nothing_heavy(package):
    """Blender's Python can import them, and a data loader that only reads."""
    names = modules_of(package)
    loaded = in_a_new_interpreter(
        f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules)"
    ).split()
    heavy = {"torch", "taichi", "bpy", "numba", "pymatting", "scipy"}
    assert heavy & set(loaded) == set()
    assert set(names) <= set(loaded)


def test_the_command_line_loads_no_command_before_it_is_called():
    loaded = set(in_a_new_interpreter("import sys, bokehforge.cli\nprint(*sys.modules)").split())
    assert {"torch", "taichi", "bpy", "numba", "cv2"} & loaded == set()


def test_importing_the_tracer_starts_no_backend_and_prints_nothing():
    names = modules_of("raytrace")
    code = f"import importlib\nfor name in {names}: importlib.import_module(name)\n"
    code += "from taichi.lang import impl\nassert impl.get_runtime().prog is None"
    assert in_a_new_interpreter(code) == ""


def test_starting_a_backend_prints_nothing():
    assert in_a_new_interpreter("from runtime import backend\nassert backend.start('cpu') == 'cpu'") == ""


def test_hugging_face_keeps_the_name_datasets():
    assert not (ROOT / "datasets" / "__init__.py").exists()
    spec = importlib.util.find_spec("datasets")
    assert spec is None or spec.origin is None or not Path(spec.origin).is_relative_to(ROOT)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package):
    assert (PACKAGES[package] / "py.typed").exists()


def test_every_folder_of_python_has_its_place():
    """A new top-level package must enter the tables above."""
    known = {folder.relative_to(ROOT).parts[0] for folder in (*FOLDERS.values(), *SCRIPTS)} | {"tests"}
    with_python = {folder.name for folder in ROOT.iterdir() if folder.name[0] != "." and any(folder.glob("**/*.py"))}
    assert with_python <= known | {"build", "dist", "venv"}


def test_no_file_hides_a_package_or_a_standard_module():
    """Run as a script, a file puts its own folder first on the path."""
    taken = sys.stdlib_module_names | set(FOLDERS)
    folders = {*PACKAGES.values(), *SCRIPTS}
    assert [file for file in TREES if (ROOT / file).parent in folders and Path(file).stem in taken] == []


def test_no_file_edits_the_path():
    """But the one that imports a plug-in: its user's modules lie beside it."""
    edits = [
        f"{file}:{node.lineno}"
        for file, tree in TREES.items()
        if file != "evaluation/external.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
    ]
    assert edits == []


def test_no_file_names_a_place_on_one_machine():
    place = re.compile(r"/(home|Users|root|work|tmp|mnt|data|srv)/|[A-Za-z]:[\\/]")
    places = [
        f"{file}:{node.lineno}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and place.match(node.value)
    ]
    assert places == []


def test_kernels_have_annotations_that_taichi_can_read():
    """Taichi takes annotations for values; the future import would make strings of them."""
    functions = [
        (file, ast.unparse(decorator))
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
    ]
    with_kernels = {file for file, decorator in functions if decorator in {"ti.kernel", "ti.func"}}
    assert "raytrace/kernels.py" in with_kernels
    assert [file for file in with_kernels if "__future__.annotations" in imports(TREES[file])] == []
