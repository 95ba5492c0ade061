"""Rows of D2F's ablation tables, as keyword arguments of its rendering. Importing this module loads no network."""

from typing import Any

# Tables 6 and 7, and the order that the paper prints.
RENDERING_ROWS: dict[str, dict[str, Any]] = {
    "uniform-kernels": {"sizes": "uniform"},
    "no-radiance": {"radiance": "none"},
    "grey-radiance": {"radiance": "grey"},
    "printed-order": {"order": "printed"},
}

# Fig. 8: fewer kernels and more, and smaller and larger ones; and the disks of Eq. 11.
KERNEL_ROWS: dict[str, dict[str, Any]] = {
    **{f"{count}-kernels": {"sizes": f"{count}-kernels"} for count in (11, 13, 17, 19)},
    **{f"kernels-to-{side}-px": {"sizes": f"kernels-to-{side}-px"} for side in (49, 59, 79, 89)},
    "hard-kernels": {"soft": False},
}

# Table 8, as far as it is specified: LP-SR and Conv-Pyramid are not.
FUSION_ROWS: dict[str, dict[str, Any]] = {
    "naive-blending": {"fusion": "naive"},
    "laplacian-pyramid": {"fusion": "laplacian"},
    "naive-poisson": {"fusion": "poisson"},
}
