"""Materials. Each varies over its surface, as real materials do."""

import bpy

from blender_scripts.procedural.nodes import Nodes, Value

Colour = tuple[float, float, float]

# Radiance with which reflections see small lamps.
_REFLECTED_MAX = 8.0


def _rgba(colour: Colour, factor: float = 1.0) -> tuple[float, float, float, float]:
    r, g, b = (min(1.0, c * factor) for c in colour)
    return r, g, b, 1.0


def _new(name: str) -> tuple[bpy.types.Material, Nodes]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes.clear()
    return material, Nodes(material.node_tree)


def _principled(name: str, build) -> bpy.types.Material:
    """A material of the Principled shader; `build(nodes)` gives its inputs."""
    material, nodes = _new(name)
    shader = nodes("BsdfPrincipled", build(nodes))
    nodes("OutputMaterial", {"Surface": shader.outputs[0]})
    return material


def plain(
    name: str,
    colour: Colour,
    *,
    roughness: float = 0.6,
    metallic: float = 0.0,
    coat: float = 0.0,
    variation: float = 0.15,
    grain: float = 6.0,
    bump_m: float = 0.0,
    bump_scale: float = 80.0,
) -> bpy.types.Material:
    """Paint, plastic, metal or plaster: one colour that varies by `variation`, with `grain` features a metre."""

    def build(nodes: Nodes) -> dict[str, Value]:
        clouds = nodes.noise(grain, detail=6.0)
        inputs = {
            "Base Color": nodes.mix(clouds, _rgba(colour, 1.0 - variation), _rgba(colour, 1.0 + variation)),
            "Roughness": nodes("MapRange", {0: clouds, 3: roughness * 0.8, 4: min(1.0, roughness * 1.2)}).outputs[0],
            "Metallic": metallic,
            "Coat Weight": coat,
        }
        if bump_m:
            inputs["Normal"] = nodes.bump(nodes.noise(bump_scale), bump_m)
        return inputs

    return _principled(name, build)


def wood(name: str, light: Colour, dark: Colour, *, scale: float = 1.0, roughness: float = 0.45, axis: int = 0):
    """Wood with grain along an axis of the object (0 x, 1 y, 2 z)."""

    def build(nodes: Nodes) -> dict[str, Value]:
        stretch = [14.0 * scale] * 3
        stretch[axis] = 0.9 * scale
        along = nodes.position((stretch[0], stretch[1], stretch[2]))
        island = nodes("CombineXYZ", {i: nodes.math("MULTIPLY", nodes.per_island(), 37.0) for i in range(3)}).outputs[0]
        along = nodes("VectorMath", {0: along, 1: island}, operation="ADD").outputs[0]
        rings = nodes.noise(1.3, detail=8.0, vector=along, distortion=1.2)
        tone = nodes("MapRange", {0: nodes.per_island(), 3: -0.08, 4: 0.08}).outputs[0]
        grain = nodes.math("ADD", rings, tone)
        return {
            "Base Color": nodes.ramp(grain, [(0.36, _rgba(dark)), (0.62, _rgba(light))]),
            "Roughness": nodes("MapRange", {0: rings, 3: roughness * 1.25, 4: roughness * 0.75}).outputs[0],
            "Normal": nodes.bump(rings, 0.0004),
        }

    return _principled(name, build)


def tiles(
    name: str,
    colour_a: Colour,
    colour_b: Colour,
    *,
    width_m: float,
    height_m: float,
    offset: float,
    grout: Colour,
    grout_m: float = 0.008,
    roughness: float = 0.5,
    bump_m: float = 0.004,
    plane: str = "xy",
) -> bpy.types.Material:
    """Bricks, tiles or cobbles on a plane of the object: "xy" is horizontal, "xz" vertical."""

    def build(nodes: Nodes) -> dict[str, Value]:
        position = nodes("SeparateXYZ", {0: nodes.position()}).outputs
        x, y = (position["xyz".index(axis)] for axis in plane)
        vector = nodes("CombineXYZ", {0: x, 1: y}).outputs[0]
        brick = nodes(
            "TexBrick",
            {
                "Vector": vector,
                "Color1": _rgba(colour_a),
                "Color2": _rgba(colour_b),
                "Mortar": _rgba(grout),
                "Scale": 1.0,
                "Mortar Size": grout_m,
                "Mortar Smooth": 0.2,
                "Bias": 0.0,
                "Brick Width": width_m,
                "Row Height": height_m,
            },
            offset=offset,
        )
        dirt = nodes.noise(2.5, detail=8.0)
        shade = nodes("MapRange", {0: dirt, 1: 0.3, 2: 0.7, 3: 0.75, 4: 1.1}).outputs[0]
        colour = nodes("VectorMath", {0: brick.outputs["Color"], 3: shade}, operation="SCALE").outputs[0]
        height = nodes.math("SUBTRACT", nodes.math("MULTIPLY", nodes.noise(60.0), 0.25), brick.outputs["Fac"])
        return {
            "Base Color": colour,
            "Roughness": nodes("MapRange", {0: dirt, 3: roughness * 0.6, 4: min(1.0, roughness * 1.4)}).outputs[0],
            "Normal": nodes.bump(height, bump_m),
        }

    return _principled(name, build)


def ground(name: str, dark: Colour, light: Colour, *, scale: float = 3.0, bump_m: float = 0.02, wet: float = 0.0):
    """Soil, gravel or asphalt. `wet` in [0, 1] is the share of puddles."""

    def build(nodes: Nodes) -> dict[str, Value]:
        fine, coarse = nodes.noise(scale * 25.0, detail=8.0), nodes.noise(scale * 0.4, detail=5.0)
        tone = nodes.math("ADD", nodes.math("MULTIPLY", fine, 0.6), nodes.math("MULTIPLY", coarse, 0.4))
        dry = nodes("MapRange", {0: coarse, 1: 0.35 + 0.3 * wet - 0.06, 2: 0.35 + 0.3 * wet + 0.06}).outputs[0]
        if not wet:
            dry = nodes("Value").outputs[0]
            dry.default_value = 1.0
        colour = nodes.ramp(tone, [(0.35, _rgba(dark)), (0.65, _rgba(light))])
        return {
            "Base Color": nodes.mix(dry, nodes.mix(0.6, colour, (0.0, 0.0, 0.0, 1.0)), colour),
            "Roughness": nodes("MapRange", {0: dry, 3: 0.06, 4: 0.85}).outputs[0],
            "Normal": nodes.bump(nodes.math("MULTIPLY", fine, dry), bump_m),
        }

    return _principled(name, build)


def leaf(name: str, dark: Colour, light: Colour) -> bpy.types.Material:
    """Thin leaves that transmit light. Every island of the mesh has a shade of its own."""
    material, nodes = _new(name)
    colour = nodes.ramp(nodes.per_island(), [(0.0, _rgba(dark)), (1.0, _rgba(light))])
    front = nodes("BsdfPrincipled", {"Base Color": colour, "Roughness": 0.45})
    through = nodes("BsdfTranslucent", {"Color": nodes.mix(0.4, colour, (0.6, 0.7, 0.05, 1.0))})
    both = nodes("MixShader", {0: 0.35, 1: front.outputs[0], 2: through.outputs[0]})
    nodes("OutputMaterial", {"Surface": both.outputs[0]})
    return material


def fabric(name: str, colour: Colour, *, second: Colour | None = None, stripes_per_m: float = 0.0, sheen: float = 0.3):
    """Woven cloth, with stripes along x if there is a second colour."""

    def build(nodes: Nodes) -> dict[str, Value]:
        clouds = nodes.noise(9.0, detail=8.0)
        base = nodes.mix(clouds, _rgba(colour, 0.8), _rgba(colour, 1.15))
        if second is not None:
            x = nodes("SeparateXYZ", {0: nodes.position()}).outputs[0]
            wave = nodes.math("SINE", nodes.math("MULTIPLY", x, 6.2832 * stripes_per_m))
            base = nodes.mix(nodes.math("GREATER_THAN", wave, 0.2), base, _rgba(second))
        weave = nodes("TexWave", {"Vector": nodes.position(), "Scale": 220.0, "Distortion": 2.0}).outputs["Fac"]
        return {"Base Color": base, "Roughness": 0.9, "Sheen Weight": sheen, "Normal": nodes.bump(weave, 0.0008)}

    return _principled(name, build)


def glass(name: str, colour: Colour = (1.0, 1.0, 1.0), *, ior: float = 1.45, roughness: float = 0.0):
    """Clear solid glass. Shadow and diffuse rays pass it straight, only tinted. Otherwise shadows of glass would be
    caustics, for which a path tracer does not converge."""
    material, nodes = _new(name)
    solid = nodes("BsdfGlass", {"Color": _rgba(colour), "Roughness": roughness, "IOR": ior})
    tint = nodes("BsdfTransparent", {"Color": _rgba(colour, 0.93)})
    ray = nodes("LightPath").outputs
    straight = nodes.math("MAXIMUM", ray["Is Shadow Ray"], ray["Is Diffuse Ray"])
    both = nodes("MixShader", {0: straight, 1: solid.outputs[0], 2: tint.outputs[0]})
    nodes("OutputMaterial", {"Surface": both.outputs[0]})
    return material


def light(name: str, colour: Colour, strength: float, *, sampled: bool = True) -> bpy.types.Material:
    """An emitter whose radiance is colour times strength.

    sampled   False for the many lamps that are small: light paths meet them by chance, so rarely and so brightly that
              they were most of the noise. Diffuse surfaces do not see them, and `light.bulb` lights those instead.
              Reflections see them with at most _REFLECTED_MAX, which is white still where a tenth is reflected.
    """
    material, nodes = _new(name)
    level: Value = strength
    if not sampled:
        ray = nodes("LightPath").outputs
        reflected = nodes.math("MULTIPLY", ray["Is Glossy Ray"], min(strength, _REFLECTED_MAX) - strength)
        lit = nodes.math("SUBTRACT", 1.0, ray["Is Diffuse Ray"])
        level = nodes.math("MULTIPLY", nodes.math("ADD", strength, reflected), lit)
    emission = nodes("Emission", {"Color": _rgba(colour), "Strength": level})
    nodes("OutputMaterial", {"Surface": emission.outputs[0]})
    material.cycles.emission_sampling = "AUTO" if sampled else "NONE"
    return material


def lit_wall(name: str, colour: Colour, strength: float) -> bpy.types.Material:
    """The back wall of a lit room, 3 m high, brightest below the ceiling and unevenly lit."""
    material, nodes = _new(name)
    height = nodes("SeparateXYZ", {0: nodes.position()}).outputs[2]
    level = nodes("MapRange", {0: height, 2: 3.0, 3: 0.25 * strength, 4: strength}).outputs[0]
    tone = nodes.mix(nodes.noise(1.1), _rgba(colour, 0.6), _rgba(colour))
    emission = nodes("Emission", {"Color": tone, "Strength": level})
    nodes("OutputMaterial", {"Surface": emission.outputs[0]})
    return material


def windows_at_night(name: str, wall: Colour, *, lit_share: float, width_m: float, height_m: float, strength: float):
    """A facade (plane xz) with randomly lit windows, each with a tone of its own."""
    material, nodes = _new(name)
    position = nodes("SeparateXYZ", {0: nodes.position()}).outputs
    column, row = nodes.math("DIVIDE", position[0], width_m), nodes.math("DIVIDE", position[2], height_m)
    inside = nodes.math(
        "MULTIPLY",
        nodes.math("LESS_THAN", nodes.math("ABSOLUTE", nodes.math("SUBTRACT", nodes.math("FRACT", column), 0.5)), 0.26),
        nodes.math("LESS_THAN", nodes.math("ABSOLUTE", nodes.math("SUBTRACT", nodes.math("FRACT", row), 0.5)), 0.3),
    )
    cell = nodes("CombineXYZ", {0: nodes.math("FLOOR", column), 1: nodes.math("FLOOR", row)}).outputs[0]
    chance = nodes("TexWhiteNoise", {"Vector": cell}, noise_dimensions="2D").outputs
    is_lit = nodes.math("MULTIPLY", inside, nodes.math("LESS_THAN", chance["Value"], lit_share))
    tone = nodes.mix(chance["Color"], (1.0, 0.62, 0.25, 1.0), (0.85, 0.9, 1.0, 1.0))
    curtain = nodes("MapRange", {0: nodes.noise(3.0), 3: 0.4, 4: 1.2}).outputs[0]
    level = nodes.math("MULTIPLY", nodes.math("MULTIPLY", is_lit, strength), curtain)
    pane = nodes.mix(inside, nodes.mix(nodes.noise(2.0), _rgba(wall, 0.7), _rgba(wall, 1.2)), (0.01, 0.012, 0.02, 1.0))
    shader = nodes(
        "BsdfPrincipled",
        {
            "Base Color": pane,
            "Roughness": nodes("MapRange", {0: inside, 3: 0.9, 4: 0.08}).outputs[0],
            "Emission Color": tone,
            "Emission Strength": level,
        },
    )
    nodes("OutputMaterial", {"Surface": shader.outputs[0]})
    material.cycles.emission_sampling = "NONE"
    return material


def hair(name: str, melanin: float, redness: float) -> bpy.types.Material:
    """Fur by its pigment, 0 white to 1 black."""
    material, nodes = _new(name)
    strand = nodes(
        "BsdfHairPrincipled",
        {"Melanin": melanin, "Melanin Redness": redness, "Random Color": 0.3},
        parametrization="MELANIN",
    )
    nodes("OutputMaterial", {"Surface": strand.outputs[0]})
    return material
