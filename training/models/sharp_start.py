"""The initial weights of IUNet: they give the sharp image near focus and the coarse picture elsewhere.

Random weights take long to learn that. A pixel of defocus is a tenth of the unit of its input. Until some channel
depends on so little, weights that bring back detail in focus bring it back everywhere, and are unlearned. The paper
does not say how its weights are initialised.
"""

import torch
from torch import Tensor, nn

from renderers.neural.bokehme.inference import DEFOCUS_UNIT_PX
from renderers.neural.bokehme.network import IUNet

# The detail of the sharp image fades as exp(-FADING (ELU(d) + ELU(-d))) with a defocus of d pixels: half is left at
# 0.76 px.
FADING = 3.0

# Channels of the body, which works on 2 x 2 pixels: twelve values of the picture (4 c + 2 dy + dx), three of the coarse
# one, four defocuses of either sign, and what is sharp in the image beyond the coarse one.
_PIXELS = 12
_COARSE = slice(12, 15)
_DEFOCUS, _MINUS_DEFOCUS = 16, 20
_SHARP = 24


def start_sharp(iunet: IUNet) -> None:
    """Set weights in place: the output is about coarse + exp(-t) (image - coarse), where t grows with |defocus|.

    Two ELUs make the product: ELU(a - t) - ELU(-a - t) is 2 exp(-t) sinh(a) where |a| < t, and about 2 a at t = 0.
    The other channels keep their random weights; nothing reads them yet.
    """
    first, last = iunet.conv0.conv, iunet.conv1.conv
    blocks = [_convolutions(block) for block in iunet.block_stack.blocks]
    coarse_up = _bilinear_taps()
    centre = (1, 1)
    with torch.no_grad():
        used = slice(0, _SHARP + _PIXELS)
        for conv, rows in ((first, used), (blocks[0][0], slice(0, 2 * _PIXELS)), (last, slice(None))):
            _clear(conv, rows)
        for _, second in blocks:
            _clear(second, slice(None))

        for i in range(_PIXELS):
            first.weight[(i, i, *centre)] = 1.0
        for c in range(3):
            first.weight[(_COARSE.start + c, 16 + c, *centre)] = 1.0
        for k in range(4):
            first.weight[(_DEFOCUS + k, 12 + k, *centre)] = DEFOCUS_UNIT_PX
            first.weight[(_MINUS_DEFOCUS + k, 12 + k, *centre)] = -DEFOCUS_UNIT_PX

        split, joined = blocks[0]
        assert joined.bias is not None and last.bias is not None
        for i in range(_PIXELS):
            for unit, sign in ((i, 1.0), (_PIXELS + i, -1.0)):
                split.weight[unit, _COARSE] = -sign * coarse_up[i]
                split.weight[(unit, i, *centre)] = sign
                for defocus in (_DEFOCUS, _MINUS_DEFOCUS):
                    split.weight[(unit, defocus + i % 4, *centre)] = -FADING
                joined.weight[(_SHARP + i, unit, *centre)] = 0.5 * sign
            # An ELU follows, which leaves positive values as they are.
            joined.bias[_SHARP + i] = 1.0
            last.bias[i] = -1.0
            last.weight[i, _COARSE] = coarse_up[i]
            last.weight[(i, _SHARP + i, *centre)] = 1.0


def _convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [module for module in block.modules() if isinstance(module, nn.Conv2d)]


def _clear(conv: nn.Conv2d, rows: slice) -> None:
    assert conv.bias is not None
    conv.weight[rows] = 0.0
    conv.bias[rows] = 0.0


def _bilinear_taps() -> Tensor:
    """(12, 3, 3, 3): the four pixels of each colour, a quarter of a cell off its centre, from the cells around."""
    before, after = torch.tensor([0.25, 0.75, 0.0]), torch.tensor([0.0, 0.75, 0.25])
    taps = torch.zeros(_PIXELS, 3, 3, 3)
    for c in range(3):
        for k, (dy, dx) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            taps[4 * c + k, c] = torch.outer(after if dy else before, after if dx else before)
    return taps
