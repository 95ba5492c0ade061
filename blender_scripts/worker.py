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


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    # Blender is imported after stdout is taken: it talks while it loads.
    from blender_scripts import rendering, sources

    serve = {"check": sources.check, "load": sources.load, "render": rendering.render}
    return serve[request["do"]](request)


if __name__ == "__main__":
    main()
