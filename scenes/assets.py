"""The user's own photographs and cut-outs, read from folders.

Opening a folder decodes every file once, to find the usable ones. Decoded pictures are not kept.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.files import is_utf8
from scenes.arrays import Picture, Rgba
from scenes.color import premultiplied
from scenes.decode import SIDE_MIN_PX, DecodeError, decode, header_of, linear_light, opaque, quiet_decoders
from scenes.matte import crop_to_alpha, resize_rgba, resized, straight

SUFFIXES = frozenset(
    ".avif .bmp .exr .gif .hdr .j2k .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pfm .pgm .png .pnm .ppm .psd .tga .tif .tiff "
    ".webp".split()
)

# Folder of colours, folder of alphas, and whether the colours still include the background: Adobe Matting, AIM-500.
# The two folders lie side by side. Files of equal stem belong together.
PAIR_LAYOUTS = (("fg", "alpha", False), ("original", "mask", True))

ENLARGEMENT_MAX = 2.0
BAND_TEXELS = 2**22
THREADS = min(4, os.cpu_count() or 1)
LARGE_BYTES = 2**27  # decoding takes about twice as much; larger pictures are decoded one at a time
CUTOUT_SIDE_MIN_PX = 16  # a smaller procedural drawing has fewer pixels than strokes
RECTANGLE_COVERAGE = 0.995  # a picture with a larger share of opaque pixels is a rectangle, not a cut-out


class AssetError(ValueError):
    """A folder or picture that cannot be used; the message names the file, the value and the fix."""


class Photographs(Protocol):
    def draw(self, height: int, width: int, *, rng: np.random.Generator) -> tuple[Picture, dict]:
        """One photograph in linear light >= 0, and plain values that tell its origin."""
        ...


class Cutouts(Protocol):
    def draw(self, side_px: int, *, rng: np.random.Generator) -> tuple[Rgba, dict]:
        """One cut-out with longest side <= side_px, and plain values that tell its origin.

        Alpha is straight. Colour is linear light >= 0 and extended under alpha 0. The picture is cropped to alpha > 0.
        """
        ...


@dataclass(frozen=True)
class _Asset:
    """One photograph or cut-out: its file relative to the folder, or two files, colour and alpha."""

    files: tuple[str, ...]
    sha256: tuple[str, ...] = ()
    colour_is_mixed: bool = False

    @property
    def name(self) -> str:
        return self.files[0]


class _AssetFolder:
    """Usable assets of a folder, in the order of their names.

    folder    searched with all its subfolders; hidden files and suffixes outside SUFFIXES are ignored
    strict    raise AssetError for the first unusable asset, instead of listing it in `skipped`
    skipped   [(name relative to the folder, reason), ...] of the unusable assets
    digest    sha256 over names and contents of the usable files; the folder's own path does not matter
    raises    AssetError if the folder is missing, is a file, or holds no usable asset
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
        self.skipped += self._unreadable()
        self.skipped.sort()
        if strict and self.skipped:
            name, reason = self.skipped[0]
            raise AssetError(f"{self.folder / name}: {reason}; repair or remove it, or run without --strict")
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

    def _unreadable(self) -> Iterator[tuple[str, str]]:
        """(name, reason) of the folders that cannot be looked into."""
        errors: list[OSError] = []
        for _ in os.walk(self.folder, onerror=errors.append):
            pass
        for error in errors:
            yield self._name(Path(error.filename)), f"cannot be looked into ({error.strerror})"

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _find(self) -> Iterator[_Asset]:
        """Every asset below the folder, usable or not."""
        raise NotImplementedError

    def _read(self, asset: _Asset) -> tuple[NDArray, tuple[str, ...]]:
        """Picture as `decode` returns it, and the sha256 of each file. Raises DecodeError if it cannot be used."""
        raise NotImplementedError

    def _check(self, assets: list[_Asset]):
        one_large = Lock()

        def checked(asset: _Asset) -> _Asset | DecodeError:
            try:
                if not all(map(is_utf8, asset.files)):
                    raise DecodeError("has a name that is not UTF-8; rename it")  # scenes name their pictures
                headers = [header_of(self.folder / name) for name in asset.files]
                is_large = sum(4 * h.width * h.height * h.sample_bytes for h in headers) > LARGE_BYTES
                with one_large if is_large else nullcontext():
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
                        before they become linear light. Lamps and skies then stand out when blurred. BokehMe uses 0.4
                        and a further factor that is 0 near the focus plane. That factor is left out here, because a
                        photograph alone has no focus.
    """

    def __init__(self, folder: Path | str, *, strict: bool = False, expand_highlights: float = 0.0):
        self._expand_highlights = expand_highlights
        super().__init__(folder, strict=strict)

    def draw(self, height: int, width: int, *, rng: np.random.Generator) -> tuple[Picture, dict]:
        """A random crop of a random photograph; see Photographs.

        The crop has the aspect ratio of the frame. Its size lies between one half and all of the largest crop that
        fits the photograph, but not below the size of the frame, so that the crop is not enlarged. Only a photograph
        smaller than the frame is enlarged, by the smallest factor that fills the frame.
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

    Three layouts are recognised at any depth, by the names of folders: pictures that hold their own alpha; `fg/` and
    `alpha/` side by side with files of equal stem (Adobe Matting); `original/` and `mask/` likewise (AIM-500). In the
    last one the pictures include the background, so the object's own colour is estimated when it is drawn. Nothing else
    beside such a pair of folders is read, because matting sets keep trimaps and composites there.
    """

    def draw(self, side_px: int, *, rng: np.random.Generator) -> tuple[Rgba, dict]:
        """A random cut-out with longest side `side_px`, or twice its own size if that is smaller; see Cutouts."""
        asset, picture = self._pick(rng)
        factor = _group_side(max(picture.shape[:2]) / side_px)
        picture = np.pad(picture, ((0, -picture.shape[0] % factor), (0, -picture.shape[1] % factor), (0, 0)))
        height, width = picture.shape[0] // factor, picture.shape[1] // factor
        scale = min(side_px / max(height, width), ENLARGEMENT_MAX)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        if asset.colour_is_mixed:
            # The estimate is slow, so the picture is shrunk first. Averaged colour and averaged alpha are still mixed
            # by the same equation.
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
            # A copy of one channel, so that the others are freed.
            picture = _with_alpha(picture, alpha[..., 0].copy())
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
    """(folder, names of its subfolders, its pictures) of `folder` and all below; names that are removed are skipped."""
    for directory, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        visible = [Path(directory, name) for name in files if not name.startswith(".")]
        yield Path(directory), subfolders, [path for path in visible if path.suffix.lower() in SUFFIXES]


def _pictures(folder: Path) -> Iterator[Path]:
    for _, _, pictures in _walk(folder):
        yield from pictures


def _with_alpha(picture: NDArray, alpha: NDArray) -> NDArray:
    """RGBA in the picture's dtype from a picture and its alpha, (H, W) of any decoded type."""
    if picture.shape[:2] != alpha.shape:
        (height, width), (alpha_height, alpha_width) = picture.shape[:2], alpha.shape
        raise DecodeError(f"is {width} x {height} px, but its alpha is {alpha_width} x {alpha_height} px")
    rgba = np.empty((*alpha.shape, 4), picture.dtype)
    rgba[..., :3] = picture[..., :3]
    rows = max(1, BAND_TEXELS // picture.shape[1])
    for y in range(0, len(alpha), rows):
        level = alpha[y : y + rows] / np.float32(opaque(alpha)) * np.float32(opaque(picture))
        rgba[y : y + rows, :, 3] = level if picture.dtype == np.float32 else np.rint(level)
    return rgba


def _group_side(shrinking: float) -> int:
    """Side of the groups of texels to average first, so that a factor of at least 1.5 remains for the final resize.

    Means over areas between 1 and 1.5 texels blur some texels and not others, which is visible as a pattern.
    """
    return max(1, int(shrinking / 1.5))


def _shrunk(picture: NDArray, factor: int, to_linear: Callable[[NDArray], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean of `to_linear(picture)` over groups of factor x factor texels; factor divides both sides of the picture.

    Bands of rows are averaged one by one, so that a picture of 200 megapixels is never in memory as floats.
    """
    if factor == 1:
        return to_linear(picture)
    height, width = picture.shape[:2]
    rows = factor * max(1, BAND_TEXELS // (factor * width))
    bands = (to_linear(picture[y : y + rows]) for y in range(0, height, rows))
    return np.concatenate([resized(band, (len(band) // factor, width // factor)) for band in bands])


def _unmixed(mixed: Rgba) -> Rgba:
    """The picture with the object's own colour F, estimated from colour = alpha F + (1 - alpha) B in linear light.

    Multi-level foreground estimation (Germer et al. 2020) of PyMatting. It needs values in [0, 1], so light is scaled.
    """
    from pymatting import estimate_foreground_ml

    white = max(1.0, float(mixed[..., :3].max()))
    colour = np.asarray(estimate_foreground_ml(mixed[..., :3] / white, mixed[..., 3]), np.float32) * white
    return np.concatenate([colour, mixed[..., 3:]], axis=-1)
