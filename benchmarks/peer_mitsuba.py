"""Mitsuba 3 as a peer, in a process of its own: `python peer_mitsuba.py FOLDER SECONDS`.

It reads `scene.npz` from the folder (see `tracer.save_for_peers`) and renders with growing numbers of samples
(`timing.time_sample_counts`). The camera is a `thinlens`. Each billboard is a rectangle with a `mask` of its alpha that
emits its premultiplied colour.
"""

import os
import re
import sys
from pathlib import Path

import numpy as np
from timing import time_sample_counts

# Half the width of the picture at distance 1; any value gives the same image.
_TANGENT = 0.5

# Mitsuba's LLVM variants abort with an older version.
_LLVM_MIN = 16
_LLVM_FOLDERS = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib/llvm*/lib", "/opt/homebrew/opt/llvm/lib")

# Limits the memory of a pass: about 100 bytes for each path.
_PATHS_AT_ONCE = 2**26


def find_llvm() -> str | None:
    """Path of the newest LLVM library that Dr.Jit can use, or None."""
    found = {}
    for folder in _LLVM_FOLDERS:
        for path in Path("/").glob(f"{folder[1:]}/libLLVM*"):
            version = re.search(r"libLLVM(?:-|\.so\.|\.)(\d+)", path.name)
            if version and int(version[1]) >= _LLVM_MIN:
                found[int(version[1])] = str(path)
    return found[max(found)] if found else None


def scene_dict(mi, scene) -> dict:
    size, overscan = int(scene["size"]), int(scene["overscan"])
    to_scene = mi.ScalarTransform4f
    pixel = 2.0 * _TANGENT / size  # at distance 1

    def bitmap(values):
        texels = mi.Bitmap(np.ascontiguousarray(values))
        return {"type": "bitmap", "bitmap": texels, "raw": True, "filter_type": "bilinear", "wrap_mode": "clamp"}

    per_pass = max(1, _PATHS_AT_ONCE // size**2)
    nodes = {
        "type": "scene",
        # Russian roulette would end paths behind four transparent layers early and add noise.
        "integrator": {"type": "path", "max_depth": 16, "rr_depth": 64, "samples_per_pass": per_pass},
        "sensor": {
            "type": "thinlens",
            "fov": float(2.0 * np.degrees(np.arctan(_TANGENT))),
            "aperture_radius": float(scene["blur_parameter"]) * pixel,
            "focus_distance": 1.0 / float(scene["focus_disparity"]),
            "near_clip": 0.01,
            "far_clip": 1000.0,
            "to_world": to_scene().look_at(origin=[0, 0, 0], target=[0, 0, -1], up=[0, 1, 0]),
            "film": {
                "type": "hdrfilm",
                "width": size,
                "height": size,
                "rfilter": {"type": "box"},
                "pixel_format": "rgb",
                "component_format": "float32",
            },
            "sampler": {"type": "multijitter"},
        },
    }
    for i, (rgba_premul, disparity) in enumerate(zip(scene["rgba_premul"], scene["disparities"], strict=True)):
        distance = 1.0 / float(disparity)
        half = distance * _TANGENT * (size + 2 * overscan) / size
        # A mask does not dim the emission of its surface, so the colour is premultiplied.
        nodes[f"layer{i}"] = {
            "type": "rectangle",
            "to_world": to_scene().translate([0, 0, -distance]).scale([half, half, 1]),
            "bsdf": {
                "type": "mask",
                "opacity": bitmap(rgba_premul[..., 3:]),
                "nested": {"type": "conductor", "specular_reflectance": {"type": "rgb", "value": 0.0}},
            },
            "emitter": {"type": "area", "radiance": bitmap(rgba_premul[..., :3])},
        }
    return nodes


def main(folder: str, budget_s: str) -> None:
    if "DRJIT_LIBLLVM_PATH" not in os.environ and (library := find_llvm()):
        os.environ["DRJIT_LIBLLVM_PATH"] = library
    has_llvm = "DRJIT_LIBLLVM_PATH" in os.environ
    import mitsuba as mi  # reads DRJIT_LIBLLVM_PATH

    variant = "llvm_ad_rgb" if has_llvm else "scalar_rgb"
    mi.set_variant(variant)
    scene = mi.load_dict(scene_dict(mi, np.load(Path(folder) / "scene.npz")))

    def render(samples, seed):
        # Rectangles have v up and the camera looks along -z with x right, so the picture is upside down.
        return np.array(mi.render(scene, spp=samples, seed=seed), np.float32)[::-1]

    name = "mitsuba" if has_llvm else "mitsuba-scalar"
    time_sample_counts(render, name, f"Mitsuba {mi.__version__} {variant} path", Path(folder), float(budget_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
