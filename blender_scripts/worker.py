"""Blender's side of the pipe: load one scene, then render it as often as asked.

Requests come as one JSON object a line on stdin, `{"do": "check" | "load" | "render", ...}`; every answer is one JSON
object a line on what was stdout when the process started. Blender prints from C, so stdout itself is closed to it.

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
    """Serve requests until stdin closes. A `Refusal` answers with its message, any other exception with its own."""
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
    # Blender's own shutdown frees memory only, and has been seen to crash after the work is done.
    sys.stderr.flush()
    os._exit(0)


def _take_stdout():
    """The pipe to the parent; from now on whatever writes to descriptor 1, C code included, writes to nowhere."""
    sys.stdout.flush()
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return pipe


def _require_new_blender() -> None:
    # Blender is imported after stdout is taken: it talks while it loads. Nothing else of ours is, before it is known to
    # be new enough: what comes with older ones differs.
    try:
        import bpy
    except ImportError as error:  # Blender links to X even where it shows nothing
        raise Refusal(
            f"the bpy module cannot be loaded ({error}); on Debian or Ubuntu: {_INSTALL_LIBRARIES}"
        ) from error

    if bpy.app.version < _OLDEST_BLENDER:
        wanted = ".".join(map(str, _OLDEST_BLENDER[:2]))
        raise Refusal(f"Blender {bpy.app.version_string} is too old; install {wanted} or newer, or bokehforge[blender]")


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    _require_new_blender()
    from blender_scripts import rendering, sources

    serve = {"check": sources.check, "load": sources.load, "render": rendering.render}
    return serve[request["do"]](request)


if __name__ == "__main__":
    main()
