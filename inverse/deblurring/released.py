"""Names of parameters in the released weights of IFAN (Lee et al. 2021), and ours."""

import re
from collections.abc import Mapping

from torch import Tensor

# Of their modules, in the order in which they are tried. An encoder has three convolutions at each of four sizes, the
# decoder goes from an eighth of the size to the whole.
_MODULES = (
    (r"^conv4_4\.", lambda m: "joined."),
    (r"^conv(\d)_(\d)\.", lambda m: f"extractor.{int(m[1]) - 1}.{int(m[2]) - 1}."),
    (r"^kconv(\d)_(\d)\.", lambda m: f"filter_encoder.{int(m[1]) - 1}.{int(m[2]) - 1}."),
    (r"^DME\.", lambda m: "disparity_head."),
    (r"^conv_DME\.", lambda m: "disparity_features."),
    (r"^F\.3\.", lambda m: "filters."),
    (r"^F\.", lambda m: "predictor."),
    (r"^conv_res\.", lambda m: "deep."),
    (r"^upconv(\d)_u\.", lambda m: f"enlarged.{3 - int(m[1])}."),
    (r"^upconv(\d)_(\d)\.", lambda m: f"decoders.{3 - int(m[1])}.{int(m[2]) - 1}."),
    (r"^out_res\.", lambda m: "last."),
)
# A residual block is convolution, activation, convolution.
_BLOCKS = ((r"\bstem\.(\d)\.0\.", r"blocks.\1.0.0."), (r"\bstem\.(\d)\.2\.", r"blocks.\1.1."))

# What deblurs; what blurs again is for training.
_NETWORK = "Network."


def in_our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released parameters under the names of `IFAN`; others as they are."""
    if any(_NETWORK in name for name in state):
        state = {name.split(_NETWORK, 1)[1]: value for name, value in state.items() if _NETWORK in name}
    return {_ours(name): value for name, value in state.items()}


def _ours(name: str) -> str:
    for pattern, ours in _MODULES:
        renamed, count = re.subn(pattern, ours, name)
        if count:
            for block, of_block in _BLOCKS:
                renamed = re.sub(block, of_block, renamed)
            return renamed
    return name
