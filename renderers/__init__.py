"""Lens-blur renderers behind one call: all-in-focus picture, disparity and lens in, refocused picture out.

    from renderers import RENDERERS
    refocused = RENDERERS["scatter"](image, disparity, ThinLens(blur_parameter=30.0, focus_disparity=0.4))

`renderers.base` states the protocol. Importing this package loads no method; each is imported when it is first called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from renderers.base import Renderer, RendererError
from renderers.classical.renderer import ClassicalRenderer
from renderers.layering.renderer import LayeringRenderer
from renderers.neural.d2f.rows import FUSION_ROWS, RENDERING_ROWS
from renderers.neural.renderer import NeuralRenderer

_AMPN = ("mask", "f_stop")

_DRBOKEH = ClassicalRenderer("renderers.classical.drbokeh:drbokeh", information="layers")
_LAYERS_OVER = ClassicalRenderer("renderers.classical.layers_over:layers_over", information="layers")


def _d2f(name: str) -> dict[str, Renderer]:
    """D2F, and the rows of its tables: those of its first stage are blended naively, as the paper measures them."""

    def renderer(networks: tuple[str, ...], **options: Any) -> Renderer:
        return NeuralRenderer("d2f", networks, options, information="picture", controls=("focus", "blur"))

    stage1 = (f"{name}-defocus",)
    rows = {row: {"fusion": "naive", **options} for row, options in {**FUSION_ROWS, **RENDERING_ROWS}.items()}
    return {
        name: renderer((*stage1, f"{name}-fusion")),
        **{f"{name}-{row}": renderer(stage1, **options) for row, options in rows.items()},
    }


RENDERERS: dict[str, Renderer] = {
    "identity": ClassicalRenderer("renderers.classical.identity:identity", information="picture"),
    "scatter": ClassicalRenderer("renderers.classical.scatter:scatter"),
    "scatter-plain": ClassicalRenderer("renderers.classical.scatter_plain:scatter_plain"),
    "scatter-taichi": ClassicalRenderer("renderers.classical.scatter_taichi:scatter_taichi"),
    "vdslr": ClassicalRenderer("renderers.classical.vdslr:vdslr"),
    "sterefo": ClassicalRenderer("renderers.classical.sterefo:sterefo"),
    "rvr": ClassicalRenderer("renderers.classical.rvr:rvr"),
    "rvr-normalized": ClassicalRenderer("renderers.classical.rvr:rvr_normalized"),
    "d2f-layered": ClassicalRenderer("renderers.classical.d2f_layered:d2f_layered"),
    "cocnet-physical": ClassicalRenderer("renderers.classical.cocnet_physical:cocnet_physical"),
    "drbokeh": _DRBOKEH,
    "drbokeh-rgbd": LayeringRenderer("drbokeh", _DRBOKEH, controls=("matte",)),
    "drbokeh-single": ClassicalRenderer("renderers.classical.drbokeh:drbokeh_single"),
    "drbokeh-release": ClassicalRenderer("renderers.classical.drbokeh:drbokeh_release", information="layers"),
    "layers-over": _LAYERS_OVER,
    "layers-over-rgbd": LayeringRenderer("mpib", _LAYERS_OVER),
    "reveal0": LayeringRenderer("reveal0", _LAYERS_OVER),
    "reveal": NeuralRenderer("reveal", ("reveal",), any_aperture=True),
    "oracle-layers": ClassicalRenderer("renderers.classical.oracle:oracle_layers", information="truth"),
    "bokehme": NeuralRenderer("bokehme", ("arnet", "iunet")),
    "bokehme-b1": NeuralRenderer("bokehme", ("arnet", "iunet"), {"ablation": "B1"}),
    "bokehme-b2": NeuralRenderer("bokehme", ("arnet", "iunet"), {"ablation": "B2"}),
    "bokehme-b3": NeuralRenderer("bokehme", ("arnet", "iunet"), {"ablation": "B3"}),
    "bokehme-b4": NeuralRenderer("bokehme", ("arnet", "iunet"), {"ablation": "B4"}),
    "bokehme-b5": NeuralRenderer("bokehme", ("arnet", "iunet"), {"ablation": "B5"}),
    "deepfocus": NeuralRenderer("deepfocus", ("deepfocus",)),
    "deepfocus-resized": NeuralRenderer("deepfocus", ("deepfocus",), {"adaptive": True}),
    "mpib": NeuralRenderer("mpib", ("mpib-planes", "mpib-upsampling")),
    "mpib-small": NeuralRenderer("mpib", ("mpib-small",)),
    "deeplens": NeuralRenderer("deeplens", ("deeplens-blur", "deeplens-upsampling")),
    "cocnet-b3": NeuralRenderer("cocnet", ("cocnet-b3",), information="picture"),
    "cocnet-b2": NeuralRenderer("cocnet", ("cocnet-b2",), information="picture"),
    "cocnet-b3-less": NeuralRenderer("cocnet", ("cocnet-b3-less",), information="picture"),
    "cocnet-b2-less": NeuralRenderer("cocnet", ("cocnet-b2-less",), information="picture"),
    "cocnet-b3-l2": NeuralRenderer("cocnet", ("cocnet-b3-l2",), information="picture"),
    "cocnet-b3-dir": NeuralRenderer("cocnet", ("cocnet-b3-dir",), information="picture"),
    "cocnet-b3-depth": NeuralRenderer("cocnet", ("cocnet-b3-depth",)),
    "cocnet-b3-less-l2": NeuralRenderer("cocnet", ("cocnet-b3-less-l2",), information="picture"),
    "cocnet-b3-less-dir": NeuralRenderer("cocnet", ("cocnet-b3-less-dir",), information="picture"),
    "cocnet-b3-less-depth": NeuralRenderer("cocnet", ("cocnet-b3-less-depth",)),
    **_d2f("d2f"),
    **_d2f("d2f-small"),
    "dmshn": NeuralRenderer("dmshn", ("dmshn",), information="picture"),
    "dmshn-stacked": NeuralRenderer("dmshn", ("dmshn-stacked",), information="picture"),
    "ampn": NeuralRenderer("ampn", ("ampn",), information="picture", controls=_AMPN),
    "ampn-no-refinement": NeuralRenderer("ampn", ("ampn-no-refinement",), information="picture", controls=_AMPN),
    "ampn-no-g2": NeuralRenderer("ampn", ("ampn-no-g2",), information="picture", controls=_AMPN),
    "ampn-no-attention": NeuralRenderer("ampn", ("ampn-no-attention",), information="picture", controls=_AMPN),
    "ampn-no-g1": NeuralRenderer("ampn", ("ampn-no-g1",), controls=_AMPN),
}


def renderer(name: str, checkpoints: Sequence[Path] = ()) -> Renderer:
    """A renderer by name, with one's own checkpoints in place of those of the same names.

    checkpoints   files named after networks, such as arnet.safetensors; those of other renderers are left alone
    raises        RendererError for a name that is not there, and for a file that is not there or that no renderer has
    """
    if name not in RENDERERS:
        raise RendererError(f"no renderer {name!r}; there are {', '.join(RENDERERS)}")
    networks = sorted({file.stem for known in RENDERERS.values() for file in known.checkpoints})
    for file in checkpoints:
        if file.stem not in networks:
            raise RendererError(f"{file}: weights are called {', '.join(networks)}, as training writes them")
        if not file.is_file():
            raise RendererError(f"{file}: no such file")
    return RENDERERS[name].with_checkpoints(checkpoints)
