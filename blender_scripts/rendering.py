"""Render with Cycles: linear light, a known number of samples, and no processing between sensor and file."""

import time
from collections.abc import Sequence
from typing import Any

import bpy
from mathutils import Matrix

from blender_scripts.refusal import Refusal

# "auto" tries them in this order.
_GPU_BACKENDS = {"optix": "OPTIX", "cuda": "CUDA", "hip": "HIP", "metal": "METAL"}

# Names of the camera object that takes the views of a light field, and of the material that shows surfaces as data.
_MOVED, _SURFACE_DATA = "bokehforge view", "bokehforge surface"


def configure(scene: bpy.types.Scene, width: int, height: int) -> None:
    """Switch off everything that would change the light between the sensor and the file.

    The pixel filter is the box of one pixel, so that pictures can be compared with the tracer's box pixels.
    """
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.use_compositing = render.use_sequencer = False
    render.use_motion_blur = render.use_border = render.use_multiview = render.use_freestyle = False
    render.use_simplify = render.use_stamp = False
    render.dither_intensity = 0.0
    render.use_persistent_data = True
    render.film_transparent = False

    scene.display_settings.display_device = "sRGB"
    scene.view_settings.view_transform = "Raw"
    scene.view_settings.look = "None"
    scene.view_settings.exposure, scene.view_settings.gamma = 0.0, 1.0
    scene.view_settings.use_curve_mapping = False
    settings = render.image_settings
    settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth, settings.exr_codec = "32", "NONE"

    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 1.0
    scene.cycles.film_exposure = 1.0
    scene.cycles.use_layer_samples = "IGNORE"
    scene.cycles.use_animated_seed = False
    scene.cycles.sample_offset, scene.cycles.use_sample_subset = 0, False
    scene.cycles.adaptive_min_samples = 0
    scene.cycles.film_transparent_glass = False

    view_layer = next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])
    for layer in scene.view_layers:
        layer.use = layer == view_layer
    view_layer.material_override = None
    view_layer.use_pass_combined = view_layer.use_pass_z = True
    view_layer.pass_alpha_threshold = 0.5


def use_device(scene: bpy.types.Scene, device: str) -> str:
    """Select the device to render on and return its name. "auto" takes the first GPU found, else the CPU.

    raises   Refusal if a named device is absent
    """
    if device != "cpu":
        preferences = bpy.context.preferences.addons["cycles"].preferences
        for name in _GPU_BACKENDS if device == "auto" else [device]:
            if found := _enable_gpus(preferences, _GPU_BACKENDS[name]):
                scene.cycles.device = "GPU"
                return f"{name}: {', '.join(found)}"
        if device != "auto":
            raise Refusal(f"device {device}: Blender finds none on this machine; use --device cpu or --device auto")
    scene.cycles.device = "CPU"
    return "cpu"


def _enable_gpus(preferences, backend: str) -> list[str]:
    try:
        preferences.compute_device_type = backend
    except TypeError:  # not compiled into this Blender
        return []
    preferences.refresh_devices()
    for device in preferences.devices:
        device.use = device.type == backend
    return [device.name for device in preferences.devices if device.use]


def lens_and_sensor_m(scene: bpy.types.Scene) -> tuple[float, float]:
    """(focal length, sensor width that the picture's width covers) of the scene's camera in metres.

    By default Blender fits its sensor to the longer side of the picture. The returned width satisfies
    f_px = W f / w for every fit.
    """
    camera, render = scene.camera.data, scene.render
    width, height = render.resolution_x, render.resolution_y
    fit = camera.sensor_fit
    if fit == "VERTICAL":
        sensor_mm = camera.sensor_height * width / height
    elif fit == "AUTO" and height > width:
        sensor_mm = camera.sensor_width * width / height
    else:
        sensor_mm = camera.sensor_width
    return camera.lens / 1000.0, sensor_mm / 1000.0


def render(request: dict[str, Any]) -> dict[str, Any]:
    """Render the loaded scene into a multi-layer float EXR with Combined and Depth.

    exr                  path of the file to write
    samples              per pixel; an upper limit if adaptive_threshold is set
    seed                 of Cycles, 0 to 2^31 - 1
    lens                 None for the pinhole, or f_number, focus_distance, blades, rotation_rad
    adaptive_threshold   noise threshold of Cycles' adaptive sampling; None for the same samples everywhere
    denoise              use OpenImageDenoise
    slice                None, or (near, far) planar distances: only surfaces between them are visible, over
                         transparency. Other surfaces still cast light and shadow. far None: to infinity, with the
                         background
    surfaces             absent or False, or True: instead of light, what `_surface_data` says of the surface hit first
    hidden               absent, or names of objects that the camera does not see
    overscan             pixels added on every side
    view                 absent or None, or a view of a light field: camera_m, by which the camera is moved in its
                         plane; shift_px, by which a shift of the sensor moves the picture's content (both: right and
                         down); sample, absent or the only one taken of the sequence of `samples`
    sequence             absent, or the length of the sequence that `samples` are the first of. Cycles keeps the longest
                         one that a scene was rendered with, and samples of another one are other samples
    returns              wall_s, and processor_s summed over all threads
    """
    scene = bpy.context.scene
    view = request.get("view")
    _set_sampling(scene, request, view)
    shift_px, camera_m = (view["shift_px"], view["camera_m"]) if view else ((0.0, 0.0), None)
    _set_camera(scene, camera_m)
    with (
        _Frame(scene, request["overscan"], shift_px),
        _Slice(scene, request["slice"]),
        _Surfaces(scene, request.get("surfaces", False)),
        _Hidden(scene, request.get("hidden", ())),
    ):
        _set_lens(scene.camera.data, request["lens"])
        # Blender reads braces as variables.
        scene.render.filepath = request["exr"].replace("{", "{{").replace("}", "}}")
        wall, processor = time.perf_counter(), time.process_time()
        bpy.ops.render.render(write_still=True)
    return {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}


def _set_sampling(scene: bpy.types.Scene, request: dict[str, Any], view: dict[str, Any] | None) -> None:
    cycles = scene.cycles
    samples, sample = request["samples"], (view or {}).get("sample")
    cycles.use_sample_subset = sample is not None or "sequence" in request
    cycles.sample_offset, cycles.sample_subset_length = (0, samples) if sample is None else (sample, 1)
    cycles.samples, cycles.seed = request.get("sequence", samples), request["seed"]
    threshold = request["adaptive_threshold"]
    cycles.use_adaptive_sampling = threshold is not None
    if threshold is not None:
        cycles.adaptive_threshold = threshold
    cycles.time_limit = 0.0
    cycles.use_denoising = request["denoise"]
    if request["denoise"]:
        cycles.denoiser = "OPENIMAGEDENOISE"


def _set_camera(scene: bpy.types.Scene, camera_m: Sequence[float] | None) -> None:
    """Choose the point of the camera's plane that the next picture is taken from.

    The camera itself stays where it is, with all that follows it. Another one is moved. It stays the scene's until a
    picture is taken from the first, because Cycles builds its whole scene again after every assignment.

    camera_m   (right, down), or None for the camera's own place
    """
    moved = bpy.data.objects.get(_MOVED)
    if camera_m is None:
        if scene.camera == moved:
            scene.camera = moved["of"]
        return
    if moved is None:
        moved = _moved_camera(scene)
    right, down = camera_m
    moved.matrix_world = Matrix(moved["placed"]) @ Matrix.Translation((right, -down, 0.0))
    if scene.camera != moved:
        scene.camera = moved


def _moved_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """A camera like the scene's. It remembers whose, and where that is: to ask again would evaluate all objects."""
    camera = scene.camera
    moved = bpy.data.objects.new(_MOVED, camera.data)
    scene.collection.objects.link(moved)
    placed = camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.normalized()
    moved["of"], moved["placed"] = camera, [list(row) for row in placed]
    return moved


def _set_lens(camera: bpy.types.Camera, lens: dict[str, Any] | None) -> None:
    dof = camera.dof
    dof.use_dof = lens is not None
    if lens is None:
        return
    dof.focus_object = None  # it would override the distance
    dof.focus_distance, dof.aperture_fstop = lens["focus_distance"], lens["f_number"]
    dof.aperture_blades, dof.aperture_rotation = lens["blades"], lens["rotation_rad"]
    dof.aperture_ratio = 1.0


class _Frame:
    """Extends the picture by the same overscan on all sides, and moves its content, during a render.

    shift_px   (right, down)
    """

    def __init__(self, scene: bpy.types.Scene, overscan: int, shift_px: Sequence[float]):
        self._scene, self._overscan, self._shift_px = scene, overscan, shift_px

    def __enter__(self) -> None:
        render, camera = self._scene.render, self._scene.camera.data
        self._before = (
            render.resolution_x,
            render.resolution_y,
            camera.sensor_fit,
            camera.sensor_width,
            camera.shift_x,
            camera.shift_y,
        )
        width, height = render.resolution_x, render.resolution_y
        if not self._overscan and not any(self._shift_px):
            return
        sensor_mm = 1000.0 * lens_and_sensor_m(self._scene)[1]
        longer = width if camera.sensor_fit == "HORIZONTAL" else height if camera.sensor_fit == "VERTICAL" else 0
        longer = longer or max(width, height)
        wide = width + 2 * self._overscan
        render.resolution_x, render.resolution_y = wide, height + 2 * self._overscan
        camera.sensor_fit, camera.sensor_width = "HORIZONTAL", sensor_mm * wide / width
        # Blender's shift is in units of the side that the sensor is fitted to.
        # The content moves against the frame.
        right, down = self._shift_px
        camera.shift_x = (camera.shift_x * longer - right) / wide
        camera.shift_y = (camera.shift_y * longer + down) / wide

    def __exit__(self, *exception) -> None:
        render, camera = self._scene.render, self._scene.camera.data
        render.resolution_x, render.resolution_y, camera.sensor_fit = self._before[:3]
        camera.sensor_width, camera.shift_x, camera.shift_y = self._before[3:]


class _Slice:
    """Restricts camera rays to surfaces between two planar distances during a render, within the camera's own range."""

    def __init__(self, scene: bpy.types.Scene, interval: tuple[float, float | None] | None):
        self._scene, self._interval = scene, interval

    def __enter__(self) -> None:
        camera = self._scene.camera.data
        self._before = camera.clip_start, camera.clip_end
        if self._interval is None:
            return
        near, far = self._interval
        camera.clip_start = max(near, camera.clip_start)
        if far is not None:
            camera.clip_end = min(far, camera.clip_end)
            self._scene.render.film_transparent = True

    def __exit__(self, *exception) -> None:
        camera = self._scene.camera.data
        camera.clip_start, camera.clip_end = self._before
        self._scene.render.film_transparent = False


class _Surfaces:
    """Replaces all materials by one that shows data, and the background by nothing, during a render."""

    def __init__(self, scene: bpy.types.Scene, is_wanted: bool):
        self._scene, self._is_wanted = scene, is_wanted

    def __enter__(self) -> None:
        if not self._is_wanted:
            return
        layer = next(layer for layer in self._scene.view_layers if layer.use)
        self._layer, self._before = layer, (layer.material_override, self._scene.render.film_transparent)
        layer.material_override = bpy.data.materials.get(_SURFACE_DATA) or _surface_data()
        self._scene.render.film_transparent = True

    def __exit__(self, *exception) -> None:
        # Cycles builds its whole scene again after an assignment of an override, even of the same one.
        if self._is_wanted:
            self._layer.material_override, self._scene.render.film_transparent = self._before


class _Hidden:
    """Hides objects from the camera during a render."""

    def __init__(self, scene: bpy.types.Scene, names: Sequence[str]):
        self._objects = [obj for name in names if (obj := scene.objects[name]).visible_camera]

    def __enter__(self) -> None:
        for obj in self._objects:
            obj.visible_camera = False

    def __exit__(self, *exception) -> None:
        for obj in self._objects:
            obj.visible_camera = True


def _surface_data() -> bpy.types.Material:
    """Shows (1 on back faces, a number of the object, a number of the connected piece of its mesh), each in [0, 1]."""
    material = bpy.data.materials.new(_SURFACE_DATA)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    geometry, thing = tree.nodes.new("ShaderNodeNewGeometry"), tree.nodes.new("ShaderNodeObjectInfo")
    colour, emission = tree.nodes.new("ShaderNodeCombineColor"), tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(geometry.outputs["Backfacing"], colour.inputs[0])
    tree.links.new(thing.outputs["Random"], colour.inputs[1])
    tree.links.new(geometry.outputs["Random Per Island"], colour.inputs[2])
    tree.links.new(colour.outputs[0], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    material.cycles.emission_sampling = "NONE"
    return material
