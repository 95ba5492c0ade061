"""What a renderer is made of: the files of its modules and of all that they import of the project, or of a user's."""

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

# The packages whose files a renderer can be made of.
OURS = ("renderers", "raytrace", "bokehdata", "scenes", "runtime")

# Folders of installed packages: what lies there is known by its version.
_INSTALLED = ("site-packages", "dist-packages")


def module_files(modules: Iterable[str]) -> list[Path]:
    """The files of some modules of the project and of what they import of it, wherever in the file, sorted.

    The `__init__.py` of a package above a module is not among them: those of the project hold no computation but the
    registries, and a new renderer changes none of the others.
    """
    folders = {package: _folder_of(package) for package in OURS}
    start = [path for module in modules if (path := _file(module, folders))]
    return _closure(start, folders)


def plugin_files(target: str) -> list[Path]:
    """The same of a user's "module" or "file.py": with what it imports beside itself and of the project."""
    folders = {package: _folder_of(package) for package in OURS}
    if target.endswith(".py"):
        path = Path(target).resolve()
        folders |= _neighbours(path.parent)
        return _closure([path], folders)
    package = target.partition(".")[0]
    if (folder := _folder_of(package)) is None:
        return []
    folders |= {package: folder} if folder.name in _INSTALLED else {package: folder, **_neighbours(folder)}
    start = _file(target, folders)
    return _closure([start] if start else [], folders)


def command_files(words: Iterable[str]) -> list[Path]:
    """The files that the words of a command name, and what its Python files import beside themselves, sorted.

    A word may be an option with a file, `--model=net.pt`. A folder is not looked into.
    """
    found: set[Path] = set()
    for word in words:
        for name in (word, word.partition("=")[2]):
            if (path := Path(name)).is_file():
                found.update(plugin_files(name) if path.suffix == ".py" else [path.resolve()])
    return sorted(found)


def _closure(start: Iterable[Path], folders: dict[str, Path | None]) -> list[Path]:
    found: set[Path] = set()
    waiting = [path for path in start if path.is_file()]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += _imports(path, folders)
    return sorted(found)


def _imports(path: Path, folders: dict[str, Path | None]) -> Iterator[Path]:
    """The files that a file imports, of the packages in some folders or from beside itself."""
    try:
        nodes = ast.walk(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError):
        return  # it is reported when it is imported
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            yield from _relative(node, path)
            continue
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from runtime import backend` imports a module too.
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (file for module in modules if (file := _file(module, folders)))


def _relative(node: ast.ImportFrom, path: Path) -> Iterator[Path]:
    """The files of `from .module import name`, and of `from . import module`."""
    if len(path.parents) < node.level:
        return
    base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    for place in (base, *(base / alias.name for alias in node.names)):
        yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def _file(module: str, folders: dict[str, Path | None]) -> Path | None:
    """The file of a module below one of the folders, each that of a top-level package; None for any other."""
    folder = folders.get(module.partition(".")[0])
    if folder is None:
        return None
    path = folder.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _folder_of(package: str) -> Path | None:
    """The folder that holds a top-level package or module; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    path = Path(spec.origin)
    return path.parent.parent if path.name == "__init__.py" else path.parent


def _neighbours(folder: Path) -> dict[str, Path | None]:
    """The modules and packages in a folder, as imports name them."""
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return dict.fromkeys(names, folder)
