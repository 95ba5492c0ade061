"""Lens-blur renderers behind one call: all-in-focus picture, disparity and lens in, refocused picture out.

    from renderers import RENDERERS
    refocused = RENDERERS["scatter"](image, disparity, ThinLens(blur_parameter=30.0, focus_disparity=0.4))

`renderers.base` states the protocol. Importing this package loads no method; each is imported when it is first called.
"""

import os

from renderers.base import ClassicalRenderer, Renderer
from renderers.neural import BokehMe, DeepFocusRenderer

# Taichi greets on standard output when it is imported, which is not ours to fill.
os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")

RENDERERS: dict[str, Renderer] = {
    "identity": ClassicalRenderer("renderers.bounds:identity"),
    "scatter": ClassicalRenderer("renderers.scatter:scatter"),
    "scatter-plain": ClassicalRenderer("renderers.scatter_plain:scatter_plain"),
    "scatter-taichi": ClassicalRenderer("renderers.scatter_taichi:scatter_taichi"),
    "vdslr": ClassicalRenderer("renderers.vdslr:vdslr"),
    "sterefo": ClassicalRenderer("renderers.sterefo:sterefo"),
    "rvr": ClassicalRenderer("renderers.rvr:rvr"),
    "rvr-normalized": ClassicalRenderer("renderers.rvr:rvr_normalised"),
    "d2f-layered": ClassicalRenderer("renderers.d2f_layered:d2f_layered"),
    "cocnet-physical": ClassicalRenderer("renderers.cocnet_physical:cocnet_physical"),
    "drbokeh": ClassicalRenderer("renderers.drbokeh:drbokeh", layered=True),
    "drbokeh-release": ClassicalRenderer("renderers.drbokeh:drbokeh_release", layered=True),
    "oracle-layers": ClassicalRenderer("renderers.oracle:oracle_layers", layered=True),
    "bokehme": BokehMe(),
    **{f"bokehme-{name.lower()}": BokehMe(ablation=name) for name in ("B1", "B2", "B3", "B4", "B5")},
    "deepfocus": DeepFocusRenderer(),
    "deepfocus-resized": DeepFocusRenderer(adaptive=True),
}
