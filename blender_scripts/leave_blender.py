"""Run `render_blb.py` when it is started inside Blender: `blender -b -P blender_scripts/render_blb.py -- ...`.

bokehforge is not installed in Blender's Python. The command therefore runs in the Python that has bokehforge, which
starts the same Blender again for each scene. Output and exit code are those of the command. This file needs only bpy
and the standard library, of any version.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bpy

_VARIABLE = "BOKEHFORGE_PYTHON"
_FOLDER = Path(__file__).resolve().parent


def _candidates() -> list[str]:
    """Pythons that may have bokehforge: the one in BOKEHFORGE_PYTHON, else those on the path and beside the clone."""
    if named := os.environ.get(_VARIABLE):
        return [named]
    on_path = [shutil.which(name) for name in ("python", "python3")]
    beside = [
        _FOLDER.parent / environment / python
        for environment in (".venv", "venv")
        for python in ("bin/python", "Scripts/python.exe")
    ]
    return [*filter(None, on_path), *(str(path) for path in beside if path.is_file())]


def _has_bokehforge(python: str) -> bool:
    try:
        return subprocess.run([python, "-P", "-c", "import bokehdata, tyro"], capture_output=True).returncode == 0
    except OSError:
        return False


def main() -> int:
    """Returns the exit code of the command, or 2 if no Python can run it."""
    candidates = _candidates()
    python = next(filter(_has_bokehforge, candidates), None)
    if python is None:
        tried = ", ".join(candidates) or "no Python on the path"
        print(
            f"render_blb.py: error: bokehforge is not installed in {tried}; activate the environment that has it, or "
            f"set {_VARIABLE} to its python",
            file=sys.stderr,
        )
        return 2
    # The script's own arguments come after the first --.
    options = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    command = [python, str(_FOLDER / "render_blb.py"), "--blender", bpy.app.binary_path, *options]
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
