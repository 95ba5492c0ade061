"""Our side of the pipe to Blender."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from blender_scripts.refusal import Refusal


class BlenderCrash(Exception):
    """Blender's process ended or failed while it was working. The message has the last line of its output."""


class BlenderProcess:
    """Blender in a process of its own. As a context manager it ends the process.

    executable   path of an installed Blender; None runs the `bpy` module with this Python
    """

    def __init__(self, executable: Path | None = None):
        if executable is None:
            if importlib.util.find_spec("bpy") is None:
                raise Refusal(
                    "the bpy module is not installed; pip install 'bokehforge[blender]' (Python 3.11), "
                    "or give an installed Blender with --blender"
                )
            command = [sys.executable, "-P", "-m", "blender_scripts.worker"]
        else:
            script = Path(__file__).with_name("inside_blender.py")
            command = [str(executable), "-b", "--factory-startup", "-P", str(script)]
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True
            )
        except OSError as error:
            self._stderr.close()
            raise Refusal(f"{executable}: cannot be started ({error.strerror}); give the path of Blender") from error

    def __enter__(self) -> "BlenderProcess":
        return self

    def __exit__(self, exception_type, *exception) -> None:
        if exception_type is not None:
            self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request to `worker` and wait for the answer.

        raises   Refusal if the worker refuses the request, BlenderCrash if Blender fails
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended; the loop below finds no answer
        for line in self._process.stdout:
            # An installed Blender prints its version before the script runs.
            if line.startswith("{"):
                answer = json.loads(line)
                if answer["ok"]:
                    return answer
                raise (Refusal if answer["refused"] else BlenderCrash)(answer["error"])
        raise BlenderCrash(f"Blender ended with status {self._process.wait()}{self._last_line()}")

    def _last_line(self) -> str:
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr if line.strip()]
        return f" ({lines[-1]})" if lines else ""
