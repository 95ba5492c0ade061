"""Sky, sun, lamps, and the camera."""

import math
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from blender_scripts.procedural.geometry import Vector3, link
from blender_scripts.procedural.nodes import Nodes


def camera(at: Vector3, towards: Vector3, *, focal_length_mm: float, sensor_width_mm: float = 36.0) -> bpy.types.Object:
    """The scene's camera, level, looking at a point. Its focus is set for each picture."""
    data = bpy.data.cameras.new("camera")
    data.sensor_fit = "HORIZONTAL"
    data.lens, data.sensor_width = focal_length_mm, sensor_width_mm
    data.clip_start, data.clip_end = 0.05, 20_000.0
    obj = link("camera", data, at=at)
    obj.rotation_euler = (Vector(towards) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.camera = obj
    return obj


def _world() -> Nodes:
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes.clear()
    bpy.context.scene.world = world
    return Nodes(world.node_tree)


def sky(
    *,
    sun_elevation_deg: float,
    sun_azimuth_deg: float,
    exposure: float,
    clouds: float = 0.0,
    haze: float = 1.0,
    rng: np.random.Generator,
) -> None:
    """Daylight: the sky, its sun as a lamp, and clouds.

    exposure    scales sky and sun together; at 1 a sunlit white wall has a value of about 1
    clouds      share of the sky that is covered, 0 to 1
    azimuth     direction of the sun: 0 is in front of a camera that looks along +y, 90 to its right
    """
    nodes = _world()
    direction = nodes("TexCoord").outputs["Generated"]
    up = nodes("SeparateXYZ", {0: direction}).outputs[2]
    air = nodes(
        "TexSky",
        sky_type="MULTIPLE_SCATTERING",
        sun_disc=False,
        sun_elevation=math.radians(sun_elevation_deg),
        sun_rotation=math.radians(sun_azimuth_deg),
        aerosol_density=haze,
    ).outputs[0]
    colour = nodes("VectorMath", {0: air, 3: 0.055 * exposure}, operation="SCALE").outputs[0]
    if clouds:
        # Clouds are noise on a plane high above: direction / (elevation + a little for the horizon).
        flat = nodes.math("ADD", nodes.math("MAXIMUM", up, 0.0), 0.12)
        plane = nodes(
            "VectorMath",
            {0: direction, 1: nodes("CombineXYZ", {i: flat for i in range(3)}).outputs[0]},
            operation="DIVIDE",
        ).outputs[0]
        moved = nodes("Mapping", {"Vector": plane, "Location": tuple(rng.uniform(0.0, 50.0, 3))}).outputs[0]
        billows = nodes("TexNoise", {"Vector": moved, "Scale": 1.1, "Detail": 9.0, "Roughness": 0.58}).outputs[0]
        low = 0.62 - 0.3 * clouds
        cover = nodes("MapRange", {0: billows, 1: low, 2: low + 0.16}, interpolation_type="SMOOTHSTEP").outputs[0]
        shade = nodes("MapRange", {0: billows, 1: low, 2: low + 0.35, 3: 0.95, 4: 0.55}).outputs[0]
        white = nodes(
            "VectorMath", {0: (1.0, 0.97, 0.94), 3: nodes.math("MULTIPLY", shade, exposure)}, operation="SCALE"
        ).outputs[0]
        colour = nodes.mix(nodes.math("MULTIPLY", cover, 0.9), colour, white)
    nodes("OutputWorld", {"Surface": nodes("Background", {"Color": colour}).outputs[0]})

    # A low sun is redder and weaker.
    low = math.exp(-sun_elevation_deg / 14.0)
    sun(
        elevation_deg=sun_elevation_deg,
        azimuth_deg=sun_azimuth_deg,
        colour=(1.0, 0.95 - 0.35 * low, 0.88 - 0.6 * low),
        strength=3.0 * exposure * (1.0 - 0.6 * low),
    )


def sun(*, elevation_deg: float, azimuth_deg: float, colour: Sequence[float], strength: float) -> None:
    """Sunlight in W/m^2 (pi gives a white wall the value 1) from a disk of half a degree, the size of the sun."""
    data = bpy.data.lights.new("sun", "SUN")
    data.color, data.energy, data.angle = colour, strength, math.radians(0.53)
    elevation, azimuth = math.radians(elevation_deg), math.radians(azimuth_deg)
    direction = Vector(
        (math.sin(azimuth) * math.cos(elevation), math.cos(azimuth) * math.cos(elevation), math.sin(elevation))
    )
    link("sun", data).rotation_euler = direction.to_track_quat("Z", "Y").to_euler()


def studio(name: str, *, strength: float, turn_deg: float, seen: Sequence[float] | None = None) -> None:
    """One of the CC0 environments that come with Blender: city, courtyard, forest, interior, night, studio, sunrise,
    sunset. They are small pictures, good as lights but coarse to look at, so the camera may see the colour `seen`."""
    nodes = _world()
    turned = nodes(
        "Mapping", {"Vector": nodes("TexCoord").outputs["Generated"], "Rotation": (0.0, 0.0, math.radians(turn_deg))}
    ).outputs[0]
    path = Path(bpy.utils.resource_path("LOCAL"), "datafiles", "studiolights", "world", f"{name}.exr")
    picture = nodes("TexEnvironment", {"Vector": turned}, image=bpy.data.images.load(str(path)))
    surface = nodes("Background", {"Color": picture.outputs[0], "Strength": strength}).outputs[0]
    if seen is not None:
        backdrop = nodes("Background", {"Color": (*seen, 1.0)}).outputs[0]
        surface = nodes("MixShader", {0: nodes("LightPath").outputs["Is Camera Ray"], 1: surface, 2: backdrop}).outputs[
            0
        ]
    nodes("OutputWorld", {"Surface": surface})


def dark_sky(zenith: Sequence[float], horizon: Sequence[float]) -> None:
    """A night or evening sky: a gradient of two colours from the horizon up."""
    nodes = _world()
    up = nodes("SeparateXYZ", {0: nodes("TexCoord").outputs["Generated"]}).outputs[2]
    colour = nodes.ramp(up, [(0.0, (*horizon, 1.0)), (0.45, (*zenith, 1.0))])
    nodes("OutputWorld", {"Surface": nodes("Background", {"Color": colour}).outputs[0]})


def area(size: tuple[float, float], *, at: Vector3, towards: Vector3, colour: Sequence[float], watts: float) -> None:
    """A soft rectangular lamp that is itself invisible."""
    data = bpy.data.lights.new("area", "AREA")
    data.shape, data.size, data.size_y = "RECTANGLE", *size
    data.color, data.energy = colour, watts
    obj = link("area", data, at=at)
    obj.rotation_euler = (Vector(towards) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    obj.visible_camera = obj.visible_glossy = False


def bulb(*, at: Vector3, colour: Sequence[float], watts: float, radius_m: float = 0.05) -> None:
    """A small round lamp that is itself invisible."""
    data = bpy.data.lights.new("bulb", "POINT")
    data.color, data.energy, data.shadow_soft_size = colour, watts, radius_m
    obj = link("bulb", data, at=at)
    obj.visible_camera = obj.visible_glossy = obj.visible_transmission = False
