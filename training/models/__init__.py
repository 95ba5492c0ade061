"""The models of `bokehforge train --model`, a line an entry: the networks that are trained, one after the other.

To add a model, write a file here that ends with its `Model`, and a line below.
"""

from typing import Any

from training.model import Model
from training.models.ampn import AMPN_ROWS
from training.models.arnet import ARNET
from training.models.classifier import CLASSIFIERS
from training.models.cocnet import COCNET
from training.models.d2f import D2F, D2F_SMALL
from training.models.deepfocus import DEEPFOCUS
from training.models.deeplens import DEEPLENS
from training.models.defocus_depth import DEFOCUS_DEPTH
from training.models.dmshn import DMSHN
from training.models.error_map import ERROR_MAP
from training.models.ifan import IFAN
from training.models.iunet import IUNET
from training.models.mpib import MPIB, MPIB_SMALL
from training.models.reveal import REVEAL

MODELS: dict[str, tuple[Model[Any], ...]] = {
    "arnet": (ARNET,),
    "iunet": (IUNET,),
    "bokehme": (ARNET, IUNET),
    "deepfocus": (DEEPFOCUS,),
    "error-map": (ERROR_MAP,),
    "deeplens": DEEPLENS,
    "d2f": D2F,
    "d2f-small": D2F_SMALL,
    "mpib": MPIB,
    "reveal": (REVEAL,),
    "defocus-depth": (DEFOCUS_DEPTH,),
    **{model.name: (model,) for model in (*DEEPLENS, *MPIB, MPIB_SMALL, *D2F, *D2F_SMALL)},
    **{name: (model,) for name, model in {**COCNET, **AMPN_ROWS, **DMSHN, **IFAN, **CLASSIFIERS}.items()},
}
