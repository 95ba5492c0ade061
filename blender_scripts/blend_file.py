"""Open the user's own .blend file without running its scripts, and make it renderable with few changes."""

from collections.abc import Iterator
from pathlib import Path

import bpy
from mathutils import Matrix, Vector

from blender_scripts.refusal import Refusal

# Older versions have materials for Blender Internal, whose shading Cycles cannot read.
_FIRST_WITHOUT_INTERNAL = (2, 80)

# Camera for a scene without one: direction from the scene to the camera, and distance in radii of the scene.
_VIEWED_FROM, _VIEW_DISTANCE, _FOCAL_LENGTH_MM = (0.6, -1.0, 0.45), 2.4, 35.0

_NEUTRAL_SKY = (0.8, 0.85, 0.9, 1.0)


def open_scene(path: str, *, camera: str | None, frame: int | None) -> list[str]:
    """Open a file. Its scripts, its Python drivers and its window layout are not loaded.

    camera    name of the camera object; None takes the scene's camera, else the first one, else a new one
    frame     None takes the frame at which the file was saved
    returns   warnings about the picture, one line each
    raises    Refusal if the file is not a .blend file, or if its scene has no usable camera or nothing to see
    """
    name = Path(path).name
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split()).removeprefix("Error: ")
        raise Refusal(f"{name}: Blender cannot open it ({reason}); is it a whole .blend file?") from error
    scene = bpy.context.scene
    warnings = [*_missing_files(), *_old_materials()]
    scene.frame_set(scene.frame_current if frame is None else frame)
    if bpy.app.autoexec_fail:
        warnings.append("holds scripts or drivers in Python, which do not run: values that they set are 0")
    warnings += _choose_camera(scene, name, camera)
    _hold_still(scene)
    warnings += _require_light(scene)
    warnings += _one_view_layer(scene)
    return warnings


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
        lines.append(f"{len(missing)} textures are missing and show magenta: {', '.join(sorted(missing)[:5])}")
    if libraries:
        lines.append(f"{len(libraries)} linked files are missing, with their contents: {', '.join(libraries[:5])}")
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
    found = f"saved by Blender {'.'.join(map(str, version))}; {len(plain)} materials are of Blender Internal"
    return [f"{found} and keep their plain colour only: {', '.join(sorted(plain)[:5])}"]


def _has_shader(material: bpy.types.Material) -> bool:
    return material.node_tree is not None and any(
        node.type not in ("OUTPUT_MATERIAL", "BSDF_PRINCIPLED", "OUTPUT", "MATERIAL")
        for node in material.node_tree.nodes
    )


def _choose_camera(scene: bpy.types.Scene, file_name: str, wanted: str | None) -> list[str]:
    cameras = sorted((obj for obj in scene.objects if obj.type == "CAMERA"), key=lambda obj: obj.name)
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
            scene.camera = _placed_camera(scene, file_name)
            warnings.append("has no camera; looking at everything from the front, right and above")
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


def _placed_camera(scene: bpy.types.Scene, file_name: str) -> bpy.types.Object:
    corners = [
        matrix @ Vector(corner)
        for obj, matrix in _shown(scene)
        if obj.type in ("MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES")
        for corner in obj.bound_box
    ]
    if not corners:
        raise Refusal(f"{file_name}: holds nothing that can be seen")
    low = Vector([min(corner[axis] for corner in corners) for axis in range(3)])
    high = Vector([max(corner[axis] for corner in corners) for axis in range(3)])
    centre, radius = (low + high) / 2.0, max((high - low).length / 2.0, 1e-3)
    data = bpy.data.cameras.new("placed camera")
    data.lens = _FOCAL_LENGTH_MM
    data.clip_start, data.clip_end = 0.01 * radius, 100.0 * radius
    obj = bpy.data.objects.new("placed camera", data)
    scene.collection.objects.link(obj)
    obj.location = centre + Vector(_VIEWED_FROM).normalized() * radius * _VIEW_DISTANCE
    obj.rotation_euler = (centre - obj.location).to_track_quat("-Z", "Y").to_euler()
    # The matrices of new objects are computed on the next update.
    bpy.context.view_layer.update()
    return obj


def _shown(scene: bpy.types.Scene) -> Iterator[tuple[bpy.types.Object, Matrix]]:
    """Evaluated objects that a render shows, with their matrices: the scene's own objects and all instances.

    Each is valid until the next one is requested.
    """
    depsgraph = bpy.context.evaluated_depsgraph_get()
    for obj in scene.objects:
        if not obj.hide_render:
            evaluated = obj.evaluated_get(depsgraph)
            yield evaluated, evaluated.matrix_world
    for instance in depsgraph.object_instances:
        if instance.is_instance and not instance.object.hide_render:
            yield instance.object, instance.matrix_world


def _require_light(scene: bpy.types.Scene) -> list[str]:
    has_lamps = any(obj.type == "LIGHT" for obj, _ in _shown(scene))
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
