"""The cameras and frames of .blend files, in words."""

from collections.abc import Mapping
from typing import Any

_KINDS = {"ORTHO": "orthographic, without a thin lens", "PANO": "panoramic, without a thin lens"}


def contents_text(name: str, contents: Mapping[str, Any]) -> str:
    """Lines for people on what `blend_file.contents` found in the file of a name."""
    rate = f"{contents['frames_per_second']:g} a second"
    lines = [f"{name}: frames {contents['first']} to {contents['last']}, {rate}, saved at {contents['saved_at']}"]
    for camera in contents["cameras"]:
        lens = _KINDS.get(camera["type"], f"{camera['focal_length_mm']:g} mm")
        lines.append(f"  camera {camera['name']!r}: {lens}{', active' if camera['is_active'] else ''}")
    if not contents["cameras"]:
        lines.append("  no camera: one is placed that sees the subject, unless there is --camera-at")
    lines += [f"  from frame {frame} on: camera {camera!r}" for frame, camera in contents["bound"]]
    return "\n".join(lines)
