"""Arrays by name, with their shapes as types. What the values mean is said where they are used."""

import numpy as np
from jaxtyping import Float32

# A picture: channels red, green, blue.
Picture = Float32[np.ndarray, "height width 3"]

# One number at every pixel: disparity, depth, defocus, alpha.
Plane = Float32[np.ndarray, "height width"]
