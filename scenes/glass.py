"""Refractive index of glass over wavelength. Wavelengths are in micrometres."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

# Fraunhofer lines: blue F and red C of hydrogen, yellow d of helium, for which glass is tabulated.
LINE_F, LINE_D, LINE_C = 0.4861327, 0.5875618, 0.6562725


class Glass(Protocol):
    """A medium between two surfaces."""

    def index(self, wavelength_um: float) -> float:
        """Refractive index at a wavelength."""
        ...

    def describe(self) -> dict[str, list[float]]:
        """The key of a prescription that gives this glass."""
        ...


@dataclass(frozen=True)
class Cauchy:
    """n = A + B / L^2 + C / L^4 + ... with L the wavelength in micrometres (Cauchy 1836). A alone is a constant n."""

    coefficients: tuple[float, ...]

    def index(self, wavelength_um: float) -> float:
        return float(np.polynomial.polynomial.polyval(wavelength_um**-2, self.coefficients))

    def describe(self) -> dict[str, list[float]]:
        return {"cauchy": list(self.coefficients)}


@dataclass(frozen=True)
class Sellmeier:
    """n^2 = 1 + sum_i B_i L^2 / (L^2 - C_i), C_i in square micrometres (Sellmeier 1871).

    b, c   three numbers each, as catalogues of glass have them
    """

    b: tuple[float, ...]
    c: tuple[float, ...]

    def index(self, wavelength_um: float) -> float:
        square = wavelength_um**2
        return float(np.sqrt(1.0 + sum(b * square / (square - c) for b, c in zip(self.b, self.c, strict=True))))

    def describe(self) -> dict[str, list[float]]:
        return {"sellmeier": [*self.b, *self.c]}


AIR = Cauchy((1.0,))


def glass_from_abbe(index_d: float, abbe: float | None) -> Cauchy:
    """The glass A + B / L^2 of a refractive index n_d and an Abbe number V_d = (n_d - 1) / (n_F - n_C).

    abbe   None is glass without dispersion
    """
    if abbe is None:
        return Cauchy((index_d,))
    b = (index_d - 1.0) / abbe / (LINE_F**-2 - LINE_C**-2)
    return Cauchy((index_d - b * LINE_D**-2, b))


def glass_from(index: float | None, abbe: float | None, cauchy: Sequence[float], sellmeier: Sequence[float]) -> Glass:
    """The glass of the keys of a prescription: one of `index` (with or without `abbe`), `cauchy` and `sellmeier`.

    sellmeier   B1, B2, B3, C1, C2, C3
    returns     air where none is given
    raises      ValueError that names the key, its value and what is allowed
    """
    if sum((index is not None, bool(cauchy), bool(sellmeier))) > 1:
        raise ValueError("glass is given twice; keep one of index, cauchy and sellmeier")
    if abbe is not None and index is None:
        raise ValueError(f"abbe is {abbe} without an index; give both")
    if abbe is not None and not abbe > 0.0:
        raise ValueError(f"abbe is {abbe}; it must be above 0")
    if sellmeier and len(sellmeier) != 6:
        raise ValueError(f"sellmeier is {list(sellmeier)}; it needs six numbers, B1, B2, B3, C1, C2, C3")
    glass: Glass = AIR
    if index is not None:
        glass = glass_from_abbe(index, abbe)
    elif cauchy:
        glass = Cauchy(tuple(cauchy))
    elif sellmeier:
        glass = Sellmeier(tuple(sellmeier[:3]), tuple(sellmeier[3:]))
    with np.errstate(all="ignore"):
        indices = [glass.index(line) for line in (LINE_F, LINE_D, LINE_C)]
    if not all(1.0 <= n <= 5.0 for n in indices):
        raise ValueError(f"the refractive index is {indices[1]:.4g} at the d line; it must lie in [1, 5] from C to F")
    return glass
