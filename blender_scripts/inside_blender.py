"""Start the worker in an installed Blender: `blender -b --factory-startup -P blender_scripts/inside_blender.py`.

Blender's Python does not find this package, and Blender's module path should not change. The package is therefore
imported from the folder of this file.
"""

import importlib.util
import sys
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location(
        _FOLDER.name, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_FOLDER.name] = package
    spec.loader.exec_module(package)

    from blender_scripts.worker import main

    main()
