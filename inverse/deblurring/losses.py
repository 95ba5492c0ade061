"""What IFAN is trained with (Lee et al. 2021, section 3.3): mean squares of three differences, each of weight 1.

Pictures are (B, 3, H, W) display values; the index 8 means an eighth of the size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from inverse.deblurring.ifan import MULTIPLE


def eighth(picture: Tensor, *, nearest: bool = False) -> Tensor:
    """An eighth of the size: means of 8 x 8 pixels, or with `nearest` the upper left one of them.

    The released code takes the means, but of the sharp picture that is blurred again the nearest pixels, which alias.
    """
    return picture[..., ::MULTIPLE, ::MULTIPLE] if nearest else F.avg_pool2d(picture, MULTIPLE)


def shifted(view: Tensor, disparity: Tensor) -> Tensor:
    """A view at x + disparity, bilinearly, 0 beyond the frame.

    view        (B, C, H, W)
    disparity   (B, 1, H, W), pixels
    returns     (B, C, H, W)
    """
    batch, _, height, width = view.shape
    x = torch.linspace(-1.0, 1.0, width, device=view.device) + disparity[:, 0].float() * (2.0 / max(width - 1, 1))
    y = torch.linspace(-1.0, 1.0, height, device=view.device)[None, :, None].expand(batch, height, width)
    return F.grid_sample(view, torch.stack([x, y], -1), align_corners=True)


def disparity_loss(disparity: Tensor, left_8: Tensor, right_8: Tensor, known: Tensor) -> Tensor:
    """Eq. 7: the right view, shifted by its disparity, against the left one.

    disparity   of the right view (B, 1, H, W)
    known       (B,): 1 where there are views, 0 where there are none, which adds nothing to the mean over the batch
    """
    difference = F.mse_loss(shifted(right_8, disparity), left_8, reduction="none")
    return (difference.mean((1, 2, 3)) * known).mean()
