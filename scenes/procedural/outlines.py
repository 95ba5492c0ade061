"""Closed outlines of random shapes, as (n, 2) points about the origin within the unit circle."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray


def blob(*, rng: np.random.Generator, roughness: float = 0.25, points: int = 96) -> Points:
    """A smooth closed curve: a circle whose radius varies with harmonics that fall as 1/k^1.7."""
    angle = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    harmonics = np.arange(2, 9)
    amplitude = rng.normal(0.0, 1.0, 7) / harmonics**1.7
    phase = rng.uniform(0.0, 2.0 * np.pi, 7)
    radius = 1.0 + 2.0 * roughness * (amplitude * np.cos(angle[:, None] * harmonics + phase)).sum(axis=1)
    radius = np.maximum(radius, 0.2)
    return _polar(radius / radius.max(), angle)


def superellipse(*, exponent: float, aspect: float = 1.0, points: int = 96) -> Points:
    """|x|^p + |y / aspect|^p = 1: p = 2 is an ellipse, a larger p a rounded rectangle, a smaller p a star."""
    angle = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    outline = np.stack([np.sign(c) * np.abs(c) ** (2 / exponent), np.sign(s) * np.abs(s) ** (2 / exponent)], axis=-1)
    return outline * [1.0, aspect] / max(1.0, np.hypot(outline[:, 0], outline[:, 1] * aspect).max())


def polygon(*, rng: np.random.Generator, corners: int) -> Points:
    """An irregular polygon."""
    angle = (np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) * 2.0 * np.pi / corners
    return _polar(rng.uniform(0.7, 1.0, corners), angle)


def leaf(*, slenderness: float, droop: float = 0.0, teeth: int = 0, points: int = 40) -> Points:
    """A leaf from its stalk at (-1, 0) to its tip at (1, 0); slenderness is length / width, droop bends it sideways."""
    t = np.linspace(0.0, 1.0, points)
    half = np.sin(np.pi * t**0.8) ** 0.9 * (1.0 - 0.15 * t) / slenderness
    if teeth:
        half = half * (1.0 - 0.22 * (t * teeth % 1.0) * np.sin(np.pi * t))
    middle = droop * (t - t * t) * 2.0
    upper = np.stack([2.0 * t - 1.0, middle - half], axis=-1)
    lower = np.stack([2.0 * t - 1.0, middle + half], axis=-1)
    return np.concatenate([upper, lower[::-1]])


def any_shape(*, rng: np.random.Generator) -> Points:
    """A random shape of this module, randomly rotated."""
    match rng.integers(4):
        case 0:
            outline = blob(rng=rng, roughness=rng.uniform(0.1, 0.5))
        case 1:
            outline = superellipse(exponent=rng.choice([2.0, 2.0, 3.5, 6.0]), aspect=rng.uniform(0.35, 1.0))
        case 2:
            outline = polygon(rng=rng, corners=int(rng.integers(3, 8)))
        case _:
            outline = leaf(slenderness=rng.uniform(1.6, 4.0), droop=rng.normal(0.0, 0.25))
    return turned(outline, rng.uniform(0.0, 2.0 * np.pi))


def turned(outline: Points, angle: float) -> Points:
    """The outline rotated by `angle` radians from +x towards +y."""
    c, s = np.cos(angle), np.sin(angle)
    return outline @ np.array([[c, s], [-s, c]])


def _polar(radius: NDArray, angle: NDArray) -> Points:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
