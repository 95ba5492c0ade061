"""Scales of the Val294 literature: at which size a method sees a picture, and in which form the two are compared.

Numbers of two scales are not comparable. Sources: the public evaluation of DMSHN (Dutta et al. 2021), whose numbers
BRViT and others continue, and CoCNet (Huang et al. 2021), which resizes to a square.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenes.arrays import Picture, Plane

ScaleName = Literal["ebb-dmshn", "strict", "square1024"]

_WHITE = 255


@dataclass(frozen=True)
class Scale:
    """A scale.

    rule          in words, for results.json
    given_px      width and height of what a method is given, in 8 bits by Lanczos; None for the picture as it is
    compared_px   the same of what is compared; None for the size of the truth
    quantised     picture and truth are compared in 8 bits
    ssim          the SSIM that is reported on it, a key of `evaluation.scoring.METRICS`
    """

    name: ScaleName
    rule: str
    given_px: tuple[int, int] | None
    compared_px: tuple[int, int] | None
    quantised: bool
    ssim: Literal["ssim", "ssim_uniform7"]

    def given(self, image: Picture) -> Picture:
        """What a method is given: (h, w, 3) float32 display values."""
        return image if self.given_px is None else _lanczos(image, self.given_px)

    def given_disparity(self, disparity: Plane) -> Plane:
        """A disparity at the size that a method is given, without values between those of two surfaces."""
        if self.given_px is None or self.given_px == disparity.shape[::-1]:
            return disparity
        return np.asarray(cv2.resize(disparity, self.given_px, interpolation=cv2.INTER_NEAREST), np.float32)

    def given_blur(self, width: int) -> float:
        """Factor of blur radii in what a method is given of a picture of this width."""
        return 1.0 if self.given_px is None else self.given_px[0] / width

    def truth(self, truth: Picture) -> Picture:
        """What a picture is compared with."""
        if self.compared_px is not None:
            return _lanczos(truth, self.compared_px)
        return _in_eight_bits(truth) if self.quantised else truth

    def finished(self, rendered: Picture, truth: Picture) -> Picture:
        """What is compared, of a rendered picture; bilinear where its size is not that of the truth."""
        size = truth.shape[1::-1]
        if rendered.shape[1::-1] != size:
            rendered = np.asarray(cv2.resize(rendered, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return _in_eight_bits(rendered) if self.quantised else rendered


SCALES: dict[ScaleName, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            "ebb-dmshn",
            "given at 1536 x 1024 by Lanczos, resized to the truth bilinearly and rounded to 8 bits; SSIM 7x7",
            given_px=(1536, 1024),
            compared_px=None,
            quantised=True,
            ssim="ssim_uniform7",
        ),
        Scale(
            "strict",
            "given and compared as it is, in floating point; SSIM in Gaussian windows",
            given_px=None,
            compared_px=None,
            quantised=False,
            ssim="ssim",
        ),
        Scale(
            "square1024",
            "picture and truth are resized to 1024 x 1024 by Lanczos; SSIM in Gaussian windows",
            given_px=(1024, 1024),
            compared_px=(1024, 1024),
            quantised=False,
            ssim="ssim",
        ),
    )
}


def _levels(picture: Picture) -> NDArray[np.uint8]:
    # As torchvision's save_image rounds.
    return np.floor(np.clip(picture, 0.0, 1.0) * np.float32(_WHITE) + np.float32(0.5)).astype(np.uint8)


def _in_eight_bits(picture: Picture) -> Picture:
    return _levels(picture) / np.float32(_WHITE)


def _lanczos(picture: Picture, size_px: tuple[int, int]) -> Picture:
    """A picture at (width, height), as Pillow resizes 8-bit pictures."""
    resized = Image.fromarray(_levels(picture)).resize(size_px, Image.Resampling.LANCZOS)
    return np.asarray(resized, np.float32) / np.float32(_WHITE)
