"""Reconstruction losses, per element, and their amplification."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

ElementLoss = Callable[[Tensor, Tensor], Tensor]

_WINDOW, _SIGMA = 11, 1.5  # the Gaussian window of Wang et al. 2004
_C1, _C2 = 0.01**2, 0.03**2  # their constants, for values in 0..1


def l1(target: Tensor, output: Tensor) -> Tensor:
    """|y - y_hat|, the shape of its arguments."""
    return (target - output).abs()


def l2(target: Tensor, output: Tensor) -> Tensor:
    """(y - y_hat)^2, the shape of its arguments."""
    return (target - output).square()


def ssim(target: Tensor, output: Tensor) -> Tensor:
    """1 - SSIM(y, y_hat) around each element, float [N, C, H, W], 0..2, for images in 0..1.

    Structural similarity of Wang et al. 2004 with an 11 x 11 Gaussian window of sigma 1.5, mirrored at the border.
    """
    offset = torch.arange(_WINDOW, dtype=target.dtype, device=target.device) - _WINDOW // 2
    bell = torch.exp(-offset.square() / (2 * _SIGMA**2))
    bell = bell / bell.sum()
    channels, margin = target.shape[1], _WINDOW // 2

    def blur(image: Tensor) -> Tensor:
        padded = F.pad(image, (margin,) * 4, mode="reflect")
        down = F.conv2d(padded, bell.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)
        return F.conv2d(down, bell.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)

    mean_y, mean_x = blur(target), blur(output)
    variance_y = blur(target.square()) - mean_y.square()
    variance_x = blur(output.square()) - mean_x.square()
    covariance = blur(target * output) - mean_y * mean_x
    luminance = (2 * mean_y * mean_x + _C1) / (mean_y.square() + mean_x.square() + _C1)
    structure = (2 * covariance + _C2) / (variance_y + variance_x + _C2)
    return 1 - luminance * structure


ELEMENT_LOSSES: dict[str, ElementLoss] = {"l1": l1, "l2": l2, "ssim": ssim}


def amplify(loss: Tensor, epsilon: float, *, differentiate_maximum: bool = False) -> Tensor:
    """Loss amplification (LAMP), Eq. 1 and 2, per element.

    loss: the base loss L of every element, >= 0, float [N, ...]. Returns -log(1 - L'), where L' = L / max(L) * (1 -
    epsilon) and the maximum is taken over each image. The sum of Eq. 1 is left to the caller.

    The value is the paper's either way. With `differentiate_maximum` the gradient also runs through max(L); then the
    loss does not depend on the scale of L, so nothing drives the error down. By default the maximum is a constant of
    the step.
    """
    maximum = loss.flatten(1).amax(dim=1).clamp_min(torch.finfo(loss.dtype).tiny)
    maximum = maximum if differentiate_maximum else maximum.detach()
    scaled = loss / maximum.view(-1, *[1] * (loss.dim() - 1)) * (1 - epsilon)
    return -torch.log1p(-scaled)
