"""Mitsuba 3 as a peer, in a process of its own: `python peer_mitsuba.py FOLDER SECONDS path|alpha`.

It reads `scene.npz` from the folder (see `tracer.save_for_peers`) and renders with growing numbers of samples
(`timing.time_sample_counts`). The camera is a `thinlens`. Two integrators:

    path    Mitsuba's own: each billboard is a rectangle with a `mask` of its alpha that emits its premultiplied colour
    alpha   ours, of Mitsuba's parts: the billboards' texels over each other along the camera's ray (`alpha_integrator`)
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


def samples_per_pass(size: int) -> int:
    return max(1, _PATHS_AT_ONCE // size**2)


def alpha_integrator(mi, scene):
    """An integrator for billboards that face the camera: texels over each other along the camera's ray, near to far.

    It samples no light, draws nothing at a surface, and searches no scene: a ray meets every plane in turn, and reads
    colour and alpha in one look-up. Mitsuba gives the camera, the sampler, the film and the compiled texture. Only for
    the compiled variants: in the scalar ones every sample would be a call of Python.
    """
    import drjit as dr  # of the variant

    size, overscan = int(scene["size"]), int(scene["overscan"])
    half_at_1 = _TANGENT * (size + 2 * overscan) / size
    near_to_far = [
        (1.0 / float(disparity), mi.Texture2f(mi.TensorXf(rgba_premul), wrap_mode=dr.WrapMode.Clamp))
        for rgba_premul, disparity in zip(scene["rgba_premul"], scene["disparities"], strict=True)
    ]

    class Alpha(mi.SamplingIntegrator):
        def sample(self, scene, sampler, ray, medium=None, active=True):
            colour, transmittance = mi.Color3f(0.0), mi.Float(1.0)
            for distance, texels in near_to_far:
                hit = ray.o - ray.d * ((distance + ray.o.z) / ray.d.z)
                uv = 0.5 + mi.Point2f(hit.x, hit.y) / (2.0 * distance * half_at_1)
                red, green, blue, alpha = texels.eval(uv, transmittance > 0.0)
                colour += transmittance * mi.Color3f(red, green, blue)
                transmittance *= 1.0 - alpha
            return colour, mi.Bool(True), []

    properties = mi.Properties("alpha")
    properties["samples_per_pass"] = samples_per_pass(size)
    return Alpha(properties)


def scene_dict(mi, scene) -> dict:
    size, overscan = int(scene["size"]), int(scene["overscan"])
    to_scene = mi.ScalarTransform4f
    pixel = 2.0 * _TANGENT / size  # at distance 1

    def bitmap(values):
        texels = mi.Bitmap(np.ascontiguousarray(values))
        return {"type": "bitmap", "bitmap": texels, "raw": True, "filter_type": "bilinear", "wrap_mode": "clamp"}

    nodes = {
        "type": "scene",
        # Russian roulette would end paths behind four transparent layers early and add noise.
        "integrator": {"type": "path", "max_depth": 16, "rr_depth": 64, "samples_per_pass": samples_per_pass(size)},
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


def main(folder: str, budget_s: str, how: str) -> None:
    if "DRJIT_LIBLLVM_PATH" not in os.environ and (library := find_llvm()):
        os.environ["DRJIT_LIBLLVM_PATH"] = library
    has_llvm = "DRJIT_LIBLLVM_PATH" in os.environ
    if how == "alpha" and not has_llvm:
        sys.exit(f"the alpha integrator needs LLVM {_LLVM_MIN} or newer; set DRJIT_LIBLLVM_PATH to its library")
    import mitsuba as mi  # reads DRJIT_LIBLLVM_PATH

    variant = "llvm_ad_rgb" if has_llvm else "scalar_rgb"
    mi.set_variant(variant)
    arrays = dict(np.load(Path(folder) / "scene.npz"))
    scene = mi.load_dict(scene_dict(mi, arrays))
    integrator = alpha_integrator(mi, arrays) if how == "alpha" else scene.integrator()

    def render(samples, seed):
        # Row 0 of the texels is at v = 0, and v and y go up together, so the picture is upside down.
        return np.array(mi.render(scene, integrator=integrator, spp=samples, seed=seed), np.float32)[::-1]

    name = "mitsuba-alpha" if how == "alpha" else "mitsuba" if has_llvm else "mitsuba-scalar"
    time_sample_counts(render, name, f"Mitsuba {mi.__version__} {variant} {how}", Path(folder), float(budget_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
