"""Blender's side of the pipe: load one scene, then render it on request.

Every request is one line of JSON on stdin, `{"do": "check" | "contents" | "load" | "render", ...}`. Every answer is
one line of JSON on the process's original stdout. Blender prints from C, so its own stdout is redirected to nowhere.

    python -m blender_scripts.worker                             with the bpy module
    blender -b --factory-startup -P blender_scripts/inside_blender.py      with an installed Blender
"""

import json
import os
import sys
import traceback
from typing import Any

from blender_scripts.refusal import Refusal

# The first version with the node names, sky models and output settings that the scenes use.
_OLDEST_BLENDER = (5, 0, 0)

_INSTALL_LIBRARIES = "apt-get install libxrender1 libxxf86vm1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1 libegl1"


def main() -> None:
    """Serve requests until stdin closes. A `Refusal` and any other exception are answered with their messages."""
    answers = _take_stdout()
    for line in sys.stdin:
        try:
            answer = {"ok": True, **_serve(json.loads(line))}
        except Refusal as refusal:
            answer = {"ok": False, "refused": True, "error": str(refusal)}
        except Exception as error:
            traceback.print_exc()
            answer = {"ok": False, "refused": False, "error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    # Blender's own shutdown only frees memory, and sometimes crashes.
    sys.stderr.flush()
    os._exit(0)


def _take_stdout():
    """The pipe to the parent. Later writes to descriptor 1, also those of C code, go nowhere."""
    sys.stdout.flush()
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return pipe


def _require_new_blender() -> None:
    # bpy prints while it loads, so it is imported after stdout is taken. Our other modules are imported only after the
    # version is checked, because older versions come with other Python packages.
    try:
        import bpy
    except ImportError as error:  # Blender needs the libraries of X even without a window
        raise Refusal(
            f"the bpy module cannot be loaded ({error}); on Debian or Ubuntu: {_INSTALL_LIBRARIES}"
        ) from error

    if bpy.app.version < _OLDEST_BLENDER:
        wanted = ".".join(map(str, _OLDEST_BLENDER[:2]))
        raise Refusal(f"Blender {bpy.app.version_string} is too old; install {wanted} or newer, or bokehforge[blender]")


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    _require_new_blender()
    from blender_scripts import rendering, sources

    serve = {
        "check": sources.check,
        "contents": sources.contents,
        "load": sources.load,
        "render": rendering.render,
    }
    return serve[request["do"]](request)


if __name__ == "__main__":
    main()
