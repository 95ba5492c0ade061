"""Open the user's own .blend file without running its scripts, and make it renderable with few changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from blender_scripts.placing import frame_subject, look_at
from blender_scripts.refusal import Refusal
from blender_scripts.surroundings import shown

# Older versions have materials for Blender Internal, whose shading Cycles cannot read.
_FIRST_WITHOUT_INTERNAL = (2, 80)

_NEUTRAL_SKY = (0.8, 0.85, 0.9, 1.0)


@dataclass(frozen=True)
class View:
    """From where a file is seen.

    camera    name of the camera object; None takes the scene's camera, else the first one, else a new one
    frame     None takes the frame at which the file was saved
    at        place of a new camera that is taken instead, in metres; None for a camera of the file
    look_at   what the new camera looks at
    """

    camera: str | None = None
    frame: int | None = None
    at: Sequence[float] | None = None
    look_at: Sequence[float] | None = None


def open_scene(path: str, view: View, *, width: int, height: int) -> list[str]:
    """Open a file. Its scripts, its Python drivers and its window layout are not loaded.

    width, height   of the picture, pixels, which a camera for a scene without one is fitted to
    returns         warnings about the picture, one line each
    raises          Refusal if the file is not a .blend file, or if its scene has no usable camera or nothing to see
    """
    name = Path(path).name
    scene = _opened(path)
    warnings = [*_missing_files(), *_old_materials()]
    scene.frame_set(scene.frame_current if view.frame is None else view.frame)
    if bpy.app.autoexec_fail:
        warnings.append("holds scripts or drivers in Python, which do not run: values that they set are 0")
    if view.at is not None and view.look_at is not None:
        look_at(scene, view.at, view.look_at)
    else:
        warnings += _choose_camera(scene, name, view.camera, width, height)
    _hold_still(scene)
    warnings += _require_light(scene)
    warnings += _one_view_layer(scene)
    return warnings


def contents(path: str) -> dict[str, Any]:
    """The cameras and frames of a file, as plain values: what `render_blb --list` prints.

    raises   Refusal if the file is not a .blend file
    """
    scene = _opened(path)
    return {
        "first": scene.frame_start,
        "last": scene.frame_end,
        "saved_at": scene.frame_current,
        "frames_per_second": scene.render.fps / scene.render.fps_base,
        "cameras": [
            {
                "name": obj.name,
                "type": obj.data.type,
                "focal_length_mm": obj.data.lens,
                "is_active": obj == scene.camera,
            }
            for obj in _cameras(scene)
        ],
        "bound": [[m.frame, m.camera.name] for m in scene.timeline_markers if m.camera is not None],
    }


def _opened(path: str) -> bpy.types.Scene:
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split()).removeprefix("Error: ")
        raise Refusal(f"{Path(path).name}: Blender cannot open it ({reason}); is it a whole .blend file?") from error
    return bpy.context.scene


def _missing_files() -> list[str]:
    """Warnings about missing pictures and libraries."""
    missing = [
        image.name
        for image in bpy.data.images
        if image.source in ("FILE", "SEQUENCE", "TILED")
        and not image.packed_files
        and image.users > 0
        and not all(Path(file).is_file() for file in _files_of(image))
    ]
    libraries = [
        library.filepath
        for library in bpy.data.libraries
        if not Path(bpy.path.abspath(library.filepath, library=library.parent)).is_file()
    ]
    lines = []
    if missing:
        lines.append(f"{_counted(missing, 'missing texture')}, seen as magenta: {', '.join(sorted(missing)[:5])}")
    if libraries:
        lines.append(f"{_counted(libraries, 'missing linked file')}, with all contents: {', '.join(libraries[:5])}")
    return lines


def _files_of(image: bpy.types.Image) -> list[str]:
    """Paths of a picture's files, one for each tile. Relative paths start at the file that refers to the picture."""
    path = bpy.path.abspath(image.filepath, library=image.library)
    if image.source != "TILED":
        return [path]
    # Tile 1001 + u + 10 v is also called u(u + 1)_v(v + 1).
    numbers = [tile.number for tile in image.tiles]
    return [
        path.replace("<UDIM>", str(n)).replace("<UVTILE>", f"u{(n - 1001) % 10 + 1}_v{(n - 1001) // 10 + 1}")
        for n in numbers
    ]


def _old_materials() -> list[str]:
    version = bpy.data.version[:2]
    if version >= _FIRST_WITHOUT_INTERNAL:
        return []
    plain = [material.name for material in bpy.data.materials if material.users and not _has_shader(material)]
    if not plain:
        return []
    found = f"saved by Blender {'.'.join(map(str, version))}; {_counted(plain, 'material')} of Blender Internal"
    return [f"{found}, of which the plain colour alone is seen: {', '.join(sorted(plain)[:5])}"]


def _counted(things: list[str], noun: str) -> str:
    # `bokehdata.pages` has the same; an installed Blender finds this package alone.
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")


def _has_shader(material: bpy.types.Material) -> bool:
    return material.node_tree is not None and any(
        node.type not in ("OUTPUT_MATERIAL", "BSDF_PRINCIPLED", "OUTPUT", "MATERIAL")
        for node in material.node_tree.nodes
    )


def _cameras(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    return sorted((obj for obj in scene.objects if obj.type == "CAMERA"), key=lambda obj: obj.name)


def _choose_camera(scene: bpy.types.Scene, file_name: str, wanted: str | None, width: int, height: int) -> list[str]:
    cameras = _cameras(scene)
    warnings = []
    if wanted is not None:
        scene.camera = next((obj for obj in cameras if obj.name == wanted), None)
        if scene.camera is None:
            there = ", ".join(obj.name for obj in cameras) or "none"
            raise Refusal(f"{file_name}: has no camera {wanted!r}; there are: {there}")
    elif scene.camera is None or scene.camera.type != "CAMERA":
        if cameras:
            scene.camera = cameras[0]
            warnings.append(f"no camera is active; taking {cameras[0].name!r}")
        else:
            return [frame_subject(scene, file_name, width, height)]
    if scene.camera.data.type != "PERSP":
        kind = scene.camera.data.type.lower()
        raise Refusal(
            f"{file_name}: camera {scene.camera.name!r} is {kind}, which has no thin lens; name a perspective one"
        )
    return warnings


def _hold_still(scene: bpy.types.Scene) -> None:
    """Remove the animation of camera and settings. Otherwise every render would evaluate it and overwrite our values.

    Objects and the world stay animated, since we set none of their values.
    """
    for animated in (scene, scene.camera.data):
        animated.animation_data_clear()
    # A camera bound to a marker would replace ours from its frame on.
    scene.timeline_markers.clear()


def _one_view_layer(scene: bpy.types.Scene) -> list[str]:
    used = [layer.name for layer in scene.view_layers if layer.use]
    return [f"has {len(used)} view layers; rendering {used[0]!r} alone"] if len(used) > 1 else []


def _require_light(scene: bpy.types.Scene) -> list[str]:
    has_lamps = any(obj.type == "LIGHT" for obj, _ in shown(scene))
    if has_lamps or _shines(scene.world) or any(_emits(material) for material in bpy.data.materials if material.users):
        return []
    world = bpy.data.worlds.new("neutral sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = _NEUTRAL_SKY
    scene.world = world
    return ["has no lights; lit by a neutral sky"]


def _shines(world: bpy.types.World | None) -> bool:
    """Whether a world is brighter than the dark grey of a new file."""
    if world is None or world.node_tree is None:
        return world is not None and max(world.color) > 0.1
    for node in _nodes(world.node_tree):
        if node.type == "BACKGROUND":
            colour, strength = node.inputs["Color"], node.inputs["Strength"]
            if colour.is_linked or strength.is_linked or max(colour.default_value[:3]) * strength.default_value > 0.1:
                return True
    return False


def _nodes(tree: bpy.types.NodeTree) -> Iterator[bpy.types.Node]:
    """The nodes of a tree and of its groups."""
    for node in tree.nodes:
        yield node
        if node.type == "GROUP" and node.node_tree is not None:
            yield from _nodes(node.node_tree)


def _emits(material: bpy.types.Material) -> bool:
    if material.node_tree is None:
        return False
    for node in _nodes(material.node_tree):
        if node.type == "EMISSION":
            return True
        if node.type == "BSDF_PRINCIPLED":
            strength, colour = node.inputs["Emission Strength"], node.inputs["Emission Color"]
            dark = not colour.is_linked and max(colour.default_value[:3]) == 0.0
            if (strength.is_linked or strength.default_value > 0.0) and not dark:
                return True
    return False
