"""Photographs and cut-outs of the user's own, from folders.

A folder is read once when it is opened, to know which of its files are usable; no decoded picture is kept. Opening and
drawing set options of Pillow and OpenCV for the whole process while they last: do either from one thread at a time.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scenes.color import premultiplied
from scenes.decode import SIDE_MIN_PX, DecodeError, decode, linear_light, opaque, quiet_decoders
from scenes.matte import crop_to_alpha, resize_rgba, resized, straight

SUFFIXES = frozenset(
    ".avif .bmp .exr .gif .hdr .j2k .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pfm .pgm .png .pnm .ppm .psd .tga .tif .tiff "
    ".webp".split()
)

# Sibling folders with colour and alpha in files of equal stem, and whether the colour is still mixed with what stood
# behind the object: Adobe Matting, AIM-500.
PAIR_LAYOUTS = (("fg", "alpha", False), ("original", "mask", True))

ENLARGEMENT_MAX = 2.0
BAND_TEXELS = 2**22
THREADS = min(4, os.cpu_count() or 1)  # each may hold a picture of 200 megapixels, up to 2 GiB
CUTOUT_SIDE_MIN_PX = 16  # below this a drawing has fewer pixels than strokes
RECTANGLE_COVERAGE = 0.995  # opaque part of a picture from which it is a rectangle and no cut-out


class AssetError(ValueError):
    """A folder or picture that cannot be used; the message names the file, the value and the fix."""


class Photographs(Protocol):
    def draw(self, height: int, width: int, *, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict]:
        """One photograph, (height, width, 3) float32 linear light, >= 0, and where it comes from in plain values."""
        ...


class Cutouts(Protocol):
    def draw(self, side_px: int, *, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict]:
        """One cut-out, (h, w, 4) float32 with longest side <= side_px, and where it comes from in plain values.

        Straight alpha, linear light >= 0 that is extended under alpha 0, cropped to alpha > 0.
        """
        ...


@dataclass(frozen=True)
class _Asset:
    """One photograph or cut-out: files relative to the folder, colour before alpha where that is a file of its own."""

    files: tuple[str, ...]
    sha256: tuple[str, ...] = ()
    colour_is_mixed: bool = False

    @property
    def name(self) -> str:
        return self.files[0]


class _AssetFolder:
    """Usable assets of a folder, in the order of their names.

    folder    searched with everything below it; what is hidden or has a suffix outside SUFFIXES is passed over
    strict    raise AssetError for the first unusable asset, instead of listing it in `skipped`
    skipped   [(name relative to the folder, reason), ...] of the unusable assets
    digest    sha256 over names and contents of the usable files, wherever the folder lies

    AssetError if the folder is missing, is a file, or holds no usable asset.
    """

    def __init__(self, folder: Path | str, *, strict: bool = False):
        self.folder = Path(folder)
        if not self.folder.exists():
            raise AssetError(f"{self.folder}: no such folder; give one that holds pictures")
        if not self.folder.is_dir():
            raise AssetError(f"{self.folder} is a file; give the folder that holds it")
        self.skipped: list[tuple[str, str]] = []
        self._assets: list[_Asset] = []
        self._check(sorted(self._find(), key=lambda asset: asset.name))
        self.skipped.sort()
        if strict and self.skipped:
            name, reason = self.skipped[0]
            raise AssetError(f"{self.folder / name}: {reason}; mend or remove it, or run without --strict")
        if not self._assets:
            reasons = "".join(f"; {name}: {reason}" for name, reason in self.skipped[:3])
            raise AssetError(
                f"{self.folder}: no usable picture among {len(self.skipped)}{reasons}; "
                f"add some with a suffix of {' '.join(sorted(SUFFIXES))}"
            )

    def __len__(self) -> int:
        return len(self._assets)

    @property
    def digest(self) -> str:
        lines = (
            f"{name} {sha}\n" for asset in self._assets for name, sha in zip(asset.files, asset.sha256, strict=True)
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _find(self) -> Iterator[_Asset]:
        """Every asset below the folder, usable or not."""
        raise NotImplementedError

    def _read(self, asset: _Asset) -> tuple[NDArray, tuple[str, ...]]:
        """Decoded picture as `decode` leaves it, and sha256 of each file; DecodeError if it is not fit for use."""
        raise NotImplementedError

    def _check(self, assets: list[_Asset]):
        def checked(asset: _Asset) -> _Asset | DecodeError:
            try:
                return replace(asset, sha256=self._read(asset)[1])
            except DecodeError as unusable:
                return unusable

        with quiet_decoders(), ThreadPoolExecutor(THREADS) as pool:
            progress = tqdm(
                pool.map(checked, assets),
                desc=f"checking {self.folder.name}",
                total=len(assets),
                unit="picture",
                delay=1.0,
                disable=None,
            )
            for asset, outcome in zip(assets, progress, strict=True):
                if isinstance(outcome, DecodeError):
                    self.skipped.append((asset.name, str(outcome)))
                else:
                    self._assets.append(outcome)

    def _pick(self, rng: np.random.Generator) -> tuple[_Asset, NDArray]:
        asset = self._assets[rng.integers(len(self._assets))]
        try:
            with quiet_decoders():
                picture, sha256 = self._read(asset)
        except DecodeError as unusable:
            raise AssetError(
                f"{self.folder / asset.name}: {unusable}, though it was usable before; run again"
            ) from None
        if sha256 != asset.sha256:
            raise AssetError(f"{self.folder / asset.name} changed while it was in use; run again")
        return asset, picture


class PhotographFolder(_AssetFolder):
    """Opaque pictures as backgrounds; see _AssetFolder for the folder and its errors.

    expand_highlights   e >= 0: display values I of integer files become I (1 + e clip(tanh(10 (I - 220/255)), 0, 1))
                        before they become linear light, so that lamps and skies stand out when blurred. BokehMe uses
                        0.4, and multiplies by a factor that is 0 near the focus plane; a photograph on its own has no
                        focus, so that factor is left out.
    """

    def __init__(self, folder: Path | str, *, strict: bool = False, expand_highlights: float = 0.0):
        self._expand_highlights = expand_highlights
        super().__init__(folder, strict=strict)

    def draw(self, height: int, width: int, *, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict]:
        """A random crop of a random photograph; see Photographs.

        The crop has the shape of the frame and between half and all of the largest side that fits the photograph, but
        is never smaller than the frame, so that it is not enlarged; a photograph smaller than the frame is enlarged by
        the least factor that fills it.
        """
        asset, picture = self._pick(rng)
        reach = min(picture.shape[0] / height, picture.shape[1] / width)
        shrinking = max(min(reach, 1.0), reach * 2.0 ** -rng.uniform())
        factor = _group_side(shrinking)
        crop_height = max(1, round(height * shrinking)) // factor * factor
        crop_width = max(1, round(width * shrinking)) // factor * factor
        y = int(rng.integers(picture.shape[0] - crop_height + 1))
        x = int(rng.integers(picture.shape[1] - crop_width + 1))
        flip = bool(rng.integers(2))

        crop = picture[y : y + crop_height, x : x + crop_width]
        to_linear = partial(linear_light, expand_highlights=self._expand_highlights)
        rgb = _shrunk(crop[:, ::-1] if flip else crop, factor, to_linear)
        return resized(rgb, (height, width)), {
            "kind": "photograph",
            "file": asset.name,
            "sha256": asset.sha256[0],
            "crop": [x, y, crop_width, crop_height],
            "flip": flip,
            "expand_highlights": self._expand_highlights,
        }

    def _find(self) -> Iterator[_Asset]:
        return (_Asset((self._name(path),)) for path in _pictures(self.folder))

    def _read(self, asset: _Asset) -> tuple[NDArray, tuple[str, ...]]:
        picture, sha256 = decode(self.folder / asset.name)
        if picture.shape[2] == 4 and picture[..., 3].min() < opaque(picture):
            raise DecodeError("transparent in places; a background must be opaque")
        return picture[..., :3], (sha256,)


class CutoutFolder(_AssetFolder):
    """Pictures with alpha as foregrounds; see _AssetFolder for the folder and its errors.

    Layouts, recognised by the names of the folders at any depth: pictures that hold their own alpha; `fg/` and `alpha/`
    side by side with files of equal stem (Adobe Matting); `original/` and `mask/` likewise (AIM-500), where the colour
    of the object alone is estimated when it is drawn. Beside such a pair of folders nothing else is read: matting sets
    keep trimaps and composites there.
    """

    def draw(self, side_px: int, *, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict]:
        """A random cut-out with longest side `side_px`, or twice its own if that is less; see Cutouts."""
        asset, picture = self._pick(rng)
        factor = _group_side(max(picture.shape[:2]) / side_px)
        picture = np.pad(picture, ((0, -picture.shape[0] % factor), (0, -picture.shape[1] % factor), (0, 0)))
        height, width = picture.shape[0] // factor, picture.shape[1] // factor
        scale = min(side_px / max(height, width), ENLARGEMENT_MAX)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        if asset.colour_is_mixed:
            # Means of colour and of alpha, taken apart, still mix alike; and the estimate is slow, so shrink before it.
            mixed = _shrunk(picture, factor, linear_light)
            rgba = _unmixed(resized(mixed, size) if scale < 1.0 else mixed)
        else:
            rgba = straight(_shrunk(picture, factor, lambda band: premultiplied(linear_light(band))))
        provenance = {"kind": "cutout", "file": asset.name, "sha256": asset.sha256[0]}
        if len(asset.files) == 2:
            provenance |= {"alpha_file": asset.files[1], "alpha_sha256": asset.sha256[1]}
        return np.ascontiguousarray(crop_to_alpha(resize_rgba(rgba, size))), provenance

    def _find(self) -> Iterator[_Asset]:
        for directory, subfolders, pictures in _walk(self.folder):
            pairs = [layout for layout in PAIR_LAYOUTS if {layout[0], layout[1]} <= set(subfolders)]
            for colour, alpha, colour_is_mixed in pairs:
                yield from self._pairs(directory / colour, directory / alpha, colour_is_mixed)
            if pairs:
                subfolders.clear()
            else:
                yield from (_Asset((self._name(path),)) for path in pictures)

    def _pairs(self, colour_folder: Path, alpha_folder: Path, colour_is_mixed: bool) -> Iterator[_Asset]:
        alphas = {path.relative_to(alpha_folder).with_suffix(""): path for path in _pictures(alpha_folder)}
        alone = set(alphas.values())
        for path in _pictures(colour_folder):
            alpha = alphas.get(path.relative_to(colour_folder).with_suffix(""))
            if alpha is None:
                self.skipped.append((self._name(path), f"has no partner of the same stem in {alpha_folder.name}/"))
            else:
                alone.discard(alpha)
                yield _Asset((self._name(path), self._name(alpha)), colour_is_mixed=colour_is_mixed)
        for alpha in alone:
            self.skipped.append((self._name(alpha), f"has no partner of the same stem in {colour_folder.name}/"))

    def _read(self, asset: _Asset) -> tuple[NDArray, tuple[str, ...]]:
        picture, *sha256 = decode(self.folder / asset.files[0])
        if len(asset.files) == 2:
            alpha, alpha_sha256 = decode(self.folder / asset.files[1])
            picture = _with_alpha(picture, alpha)
            sha256.append(alpha_sha256)
        elif picture.shape[2] == 3:
            raise DecodeError("has no alpha; cut the object out, or use fg/ and alpha/ side by side")
        if np.mean(picture[..., 3] >= 0.999 * opaque(picture)) > RECTANGLE_COVERAGE:
            raise DecodeError("is opaque all over: a full-frame rectangle, not a cut-out")
        if picture[..., 3].max() <= 0:
            raise DecodeError("has alpha 0 everywhere")
        picture = crop_to_alpha(picture)
        if max(picture.shape[:2]) < SIDE_MIN_PX:
            raise DecodeError(
                f"covers only {picture.shape[1]} x {picture.shape[0]} px; needs {SIDE_MIN_PX} along a side"
            )
        return picture, tuple(sha256)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[Path]]]:
    """Every folder from `folder` down, the names of those below it, which the caller may strike, and its pictures."""
    for directory, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        visible = [Path(directory, name) for name in files if not name.startswith(".")]
        yield Path(directory), subfolders, [path for path in visible if path.suffix.lower() in SUFFIXES]


def _pictures(folder: Path) -> Iterator[Path]:
    for _, _, pictures in _walk(folder):
        yield from pictures


def _with_alpha(picture: NDArray, alpha: NDArray) -> NDArray:
    """RGBA in the picture's dtype from a picture and the grey picture of its alpha."""
    if picture.shape[:2] != alpha.shape[:2]:
        (height, width), (alpha_height, alpha_width) = picture.shape[:2], alpha.shape[:2]
        raise DecodeError(f"is {width} x {height} px, but its alpha is {alpha_width} x {alpha_height} px")
    level = alpha[..., :1] / np.float32(opaque(alpha)) * np.float32(opaque(picture))
    if picture.dtype != np.float32:
        level = np.rint(level)
    return np.concatenate([picture[..., :3], level.astype(picture.dtype)], axis=-1)


def _group_side(shrinking: float) -> int:
    """Side of the groups of texels to average first, so that a factor of at least 1.5 is left for the final size.

    Means over areas between 1 and 1.5 texels blur some texels and not others, which shows as a pattern.
    """
    return max(1, int(shrinking / 1.5))


def _shrunk(picture: NDArray, factor: int, to_linear: Callable[[NDArray], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean of `to_linear(picture)` over groups of factor x factor texels, of which the picture has a whole number.

    Band by band, so that a picture of 200 megapixels never stands in memory as floats.
    """
    if factor == 1:
        return to_linear(picture)
    height, width = picture.shape[:2]
    rows = factor * max(1, BAND_TEXELS // (factor * width))
    bands = (to_linear(picture[y : y + rows]) for y in range(0, height, rows))
    return np.concatenate([resized(band, (len(band) // factor, width // factor)) for band in bands])


def _unmixed(mixed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colour of the object alone, from colour = alpha F + (1 - alpha) B in linear light: RGBA in and out.

    Multi-level foreground estimation (Germer et al. 2020) as in PyMatting, which works in [0, 1].
    """
    from pymatting import estimate_foreground_ml

    white = max(1.0, float(mixed[..., :3].max()))
    colour = np.asarray(estimate_foreground_ml(mixed[..., :3] / white, mixed[..., 3]), np.float32) * white
    return np.concatenate([colour, mixed[..., 3:]], axis=-1)
