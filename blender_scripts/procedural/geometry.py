"""Meshes from numbers, in metres; the z axis is up."""

import math
from collections.abc import Sequence

import bmesh
import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector
from numpy.typing import NDArray

Vector3 = Sequence[float] | NDArray


def link(
    name: str,
    data: bpy.types.ID,
    material: bpy.types.Material | None = None,
    *,
    at: Vector3 = (0.0, 0.0, 0.0),
    turn_deg: Vector3 = (0.0, 0.0, 0.0),
    scale: Vector3 | float = 1.0,
) -> bpy.types.Object:
    """Put a mesh, curve, light or other data block into the scene."""
    if material is not None and not data.materials:
        data.materials.append(material)
    obj = bpy.data.objects.new(name, data)
    obj.location = at
    obj.rotation_euler = Euler([math.radians(a) for a in turn_deg])
    obj.scale = (scale,) * 3 if isinstance(scale, int | float) else scale
    bpy.context.scene.collection.objects.link(obj)
    return obj


def mesh(name: str, vertices, faces, *, smooth: bool = False) -> bpy.types.Mesh:
    """A mesh of (n, 3) vertices and faces, an (m, k) array or a list of index lists."""
    data = bpy.data.meshes.new(name)
    data.from_pydata(np.asarray(vertices).tolist(), [], faces.tolist() if isinstance(faces, np.ndarray) else faces)
    if smooth:
        data.shade_smooth()
    data.update()
    return data


def copies(name: str, vertices: NDArray, faces: NDArray, matrices: NDArray, *, smooth: bool = False) -> bpy.types.Mesh:
    """One mesh of n transformed copies: (v, 3) vertices, (f, k) faces, (n, 4, 4) matrices."""
    homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], axis=1)
    moved = np.einsum("nij,vj->nvi", matrices[:, :3], homogeneous)
    shifted = faces[None] + len(vertices) * np.arange(len(matrices))[:, None, None]
    return mesh(name, moved.reshape(-1, 3), shifted.reshape(-1, faces.shape[1]), smooth=smooth)


def placements(points: NDArray, turns: NDArray, sizes: NDArray) -> NDArray:
    """(n, 4, 4) matrices from (n, 3) points, (n, 3) Euler angles in radians and (n,) sizes."""
    matrices = [
        Matrix.LocRotScale(Vector(p), Euler(t), Vector((s, s, s))) for p, t, s in zip(points, turns, sizes, strict=True)
    ]
    return np.array(matrices)


def box(
    name: str,
    size: Vector3,
    material: bpy.types.Material,
    *,
    at: Vector3 = (0.0, 0.0, 0.0),
    turn_deg: Vector3 = (0.0, 0.0, 0.0),
    bevel_m: float = 0.004,
) -> bpy.types.Object:
    """A box with rounded edges, whose bottom centre is at `at`."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    vertices = [(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0), (-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)]
    faces = [(3, 2, 1, 0), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    obj = link(name, mesh(name, vertices, faces), material, at=at, turn_deg=turn_deg)
    if bevel_m:
        bevel(obj, min(bevel_m, 0.3 * min(size)))
    return obj


def bevel(obj: bpy.types.Object, width_m: float, segments: int = 2) -> None:
    modifier = obj.modifiers.new("bevel", "BEVEL")
    modifier.width, modifier.segments, modifier.limit_method = width_m, segments, "ANGLE"


def smoothed(obj: bpy.types.Object, levels: int) -> bpy.types.Object:
    """Subdivide a surface and shade it smooth."""
    modifier = obj.modifiers.new("smooth", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    obj.data.shade_smooth()
    return obj


def lathe(name: str, profile: Sequence[tuple[float, float]], *, segments: int = 48) -> bpy.types.Mesh:
    """A body of revolution from (radius, height) points. Ends at radius 0 are closed."""
    angle = np.linspace(0.0, 2.0 * math.pi, segments, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(segments)], axis=1)
    vertices = np.concatenate([ring * (r, r, 0) + (0, 0, z) for r, z in profile])
    i = np.arange(segments)
    j = (i + 1) % segments
    bands = [np.stack([i, j, j + segments, i + segments], axis=1) + k * segments for k in range(len(profile) - 1)]
    data = mesh(name, vertices, np.concatenate(bands))
    _weld(data)
    data.shade_smooth()
    return data


def sphere(name: str, radius_m: float, *, squash: float = 1.0) -> bpy.types.Mesh:
    """A sphere, or an ellipsoid whose height is scaled by `squash`."""
    angle = np.linspace(0.0, math.pi, 15)
    return lathe(name, [(radius_m * math.sin(a), -squash * radius_m * math.cos(a)) for a in angle], segments=28)


def _weld(data: bpy.types.Mesh) -> None:
    edit = bmesh.new()
    edit.from_mesh(data)
    bmesh.ops.remove_doubles(edit, verts=edit.verts, dist=1e-5)
    bmesh.ops.recalc_face_normals(edit, faces=edit.faces)
    edit.to_mesh(data)
    edit.free()


def rounded(profile: Sequence[tuple[float, float]], *, steps: int = 4) -> list[tuple[float, float]]:
    """A profile with its inner corners cut round (Chaikin's scheme); the ends stay."""
    points = np.array(profile)
    for _ in range(steps):
        a, b = points[:-1], points[1:]
        points = np.concatenate(
            [points[:1], np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, 2), points[-1:]]
        )
    return [(float(r), float(z)) for r, z in points]


def tubes(name: str, paths: Sequence[NDArray], radii: Sequence[NDArray | float], *, sides: int = 6) -> bpy.types.Mesh:
    """One mesh of tubes along (n, 3) paths, with one radius or one per point."""
    angle = np.linspace(0.0, 2.0 * math.pi, sides, endpoint=False)
    all_vertices, all_faces, count = [], [], 0
    for path, radius in zip(paths, radii, strict=True):
        path = np.asarray(path, float)
        n = len(path)
        along = np.gradient(path, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        # Any vector that is far from parallel to the tube spans its cross sections.
        side = np.cross(along, np.eye(3)[np.argmin(np.abs(along).max(axis=0))])
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        up = np.cross(along, side)
        rings = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * up[:, None]
        vertices = path[:, None] + rings * np.broadcast_to(radius, n)[:, None, None]
        i = np.arange(sides)
        band = np.stack([i, (i + 1) % sides, (i + 1) % sides + sides, i + sides], axis=1)
        all_faces.append((band[None] + sides * np.arange(n - 1)[:, None, None]).reshape(-1, 4) + count)
        all_vertices.append(vertices.reshape(-1, 3))
        count += n * sides
    return mesh(name, np.concatenate(all_vertices), np.concatenate(all_faces), smooth=True)


def terrain(
    name: str,
    x: tuple[float, float],
    y: tuple[float, float],
    height_of,
    *,
    steps: int = 120,
) -> bpy.types.Mesh:
    """A height field z = height_of(x, y) over a rectangle. It is finer at small y, where the camera is."""
    xs = np.linspace(*x, steps)
    ys = y[0] + (y[1] - y[0]) * np.linspace(0.0, 1.0, steps) ** 2
    gx, gy = np.meshgrid(xs, ys)
    vertices = np.stack([gx, gy, height_of(gx, gy)], axis=-1).reshape(-1, 3)
    i = (np.arange(steps - 1)[:, None] * steps + np.arange(steps - 1)).ravel()
    return mesh(name, vertices, np.stack([i, i + 1, i + steps + 1, i + steps], axis=1), smooth=True)


def waves(amplitude_m: float, length_m: float, *, rng: np.random.Generator):
    """A smooth random height field of about one wavelength: f(x, y) in metres."""
    k = rng.normal(0.0, 2.0 * math.pi / length_m, (8, 2))
    phase = rng.uniform(0.0, 2.0 * math.pi, 8)

    def height(x, y):
        return amplitude_m / 2.0 * sum(np.sin(kx * x + ky * y + p) for (kx, ky), p in zip(k, phase, strict=True))

    return height


def text(
    name: str,
    body: str,
    height_m: float,
    material: bpy.types.Material,
    *,
    at: Vector3,
    turn_deg: Vector3 = (90.0, 0.0, 0.0),
    depth_m: float = 0.0,
    align: str = "CENTER",
) -> bpy.types.Object:
    """Letters that stand and face -y, centred at `at`."""
    curve = bpy.data.curves.new(name, "FONT")
    curve.body, curve.size, curve.extrude = body, height_m, depth_m / 2
    curve.align_x, curve.align_y = align, "CENTER"
    if depth_m:
        curve.bevel_depth = min(0.1 * depth_m, 0.02 * height_m)
    return link(name, curve, material, at=at, turn_deg=turn_deg)
