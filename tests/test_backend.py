"""One place starts Taichi, and what a renderer makes depends on the backend that it is given, not on what runs."""

import subprocess
import sys

import pytest

from runtime import backend


def in_a_new_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_runs_before_it_is_started_and_the_first_that_is_required_starts():
    code = """
from runtime import backend
import sys
assert backend.running() is None and "taichi" not in sys.modules
backend.require("cpu")
assert backend.running() == "cpu"
backend.require("cpu")
try:
    backend.require("cuda")
except backend.BackendError as error:
    print(error)
"""
    expected = "Taichi runs on 'cpu' in this process, 'cuda' was asked for; use another process"
    assert in_a_new_interpreter(code) == expected


def test_a_backend_that_is_absent_is_an_error():
    code = """
from runtime import backend
try:
    backend.start("metal")
except backend.BackendError as error:
    print(error)
"""
    if sys.platform == "darwin":
        pytest.skip("Metal is here")
    expected = "the backend 'metal' is not available on this machine; use --arch cpu or --arch auto"
    assert in_a_new_interpreter(code) == expected


RENDER = """
import hashlib
import numpy as np
from renderers import RENDERERS
from scenes.lens import ThinLens
rng = np.random.default_rng(0)
image, disparity = rng.random((40, 50, 3), np.float32), rng.random((40, 50), np.float32)
for name in ("scatter", "vdslr", "sterefo", "drbokeh-single"):
    print(hashlib.sha256(RENDERERS[name](image, disparity, ThinLens(9.0, 0.4)).tobytes()).hexdigest())
"""


def test_what_a_renderer_makes_does_not_depend_on_who_started_taichi():
    """Not even where it runs on a backend that would round otherwise."""
    vulkan = """
from runtime import backend
backend.start("vulkan")
assert backend.running() == "vulkan"
"""
    try:
        subprocess.run([sys.executable, "-c", vulkan], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("Taichi has no Vulkan here")
    assert in_a_new_interpreter(vulkan + RENDER) == in_a_new_interpreter(RENDER)


def test_a_renderer_on_another_backend_than_the_one_that_runs_is_refused(taichi_cpu):
    from renderers import RENDERERS

    with pytest.raises(backend.BackendError, match="Taichi runs on 'cpu' in this process, 'cuda' was asked for"):
        RENDERERS["scatter"].on("cuda")
