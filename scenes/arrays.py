"""Arrays by name, with their shapes as types. What the values mean is said where they are used."""

import numpy as np
from jaxtyping import Float16, Float32, Float64

# A picture: channels red, green, blue.
Picture = Float32[np.ndarray, "height width 3"]

# A picture with alpha: channels red, green, blue, alpha.
Rgba = Float32[np.ndarray, "height width 4"]

# The same in half precision, as layers are stored.
HalfRgba = Float16[np.ndarray, "height width 4"]

# One number at every pixel: disparity, depth, defocus, alpha.
Plane = Float32[np.ndarray, "height width"]

# Points of an aperture: lens coordinates x and y.
LensPoints = Float64[np.ndarray, "points 2"]
