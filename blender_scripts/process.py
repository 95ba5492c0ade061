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
    """Blender's process ended, or broke down, while it was working; the message holds the last it said."""


class BlenderProcess:
    """One Blender in a process of its own; a context manager that ends it.

    executable   None runs the `bpy` module in this Python, else path of an installed Blender
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
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, text=True
            )
        except OSError as error:
            self._complaints.close()
            raise Refusal(f"{executable}: cannot be started ({error.strerror}); give the path of Blender") from error

    def __enter__(self) -> "BlenderProcess":
        return self

    def __exit__(self, exception_type, *exception) -> None:
        if exception_type is not None:
            self._process.kill()
        self._process.communicate()
        self._complaints.close()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request of `worker`, and wait. Refusal where the worker refuses it, BlenderCrash where it fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is gone, and no answer will come
        for line in self._process.stdout:
            # An installed Blender greets before the script runs.
            if line.startswith("{"):
                answer = json.loads(line)
                if answer["ok"]:
                    return answer
                raise (Refusal if answer["refused"] else BlenderCrash)(answer["error"])
        raise BlenderCrash(f"Blender ended with status {self._process.wait()}{self._last_words()}")

    def _last_words(self) -> str:
        self._complaints.seek(0)
        lines = [line.strip() for line in self._complaints if line.strip()]
        return f" ({lines[-1]})" if lines else ""
