"""The operator `edgead::ciede2000`: how different two colours look. It is the kernel of `edgead.kernels.ciede2000`
where the native library, for the CPU or for CUDA, is installed, and elsewhere the same formula in torch.

Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary Test Data, and
Mathematical Observations", Color Research and Application 30(1), 2005; the numbers in the code are its equations.

The formula jumps where two hues are opposite: beyond 180 degrees their mean is on the other side (14). In float32 a
difference of two angles falls on either side of that edge by chance. So no angle is subtracted here: cross and dot
product of the two colours say how far the hues are apart (11), and the mean hue is the direction between them (14).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgead.errors import TrainingError
from edgead.kernels import library
from edgead.kernels.ciede2000 import ciede2000_on_device, ciede2000_planar_into
from edgead.training import cuda

_WHERE = "CIEDE2000"
_DEGREE = math.pi / 180


def ciede2000(lab1: Tensor, lab2: Tensor) -> Tensor:
    """The CIEDE2000 difference of colours, with weights kL = kC = kH = 1.

    lab1, lab2: float [N, 3, H, W], CIELAB with L* from 0 to 100; a* and b* may lie outside of what sRGB has, up to
    1,000,000. Returns float32 [N, 1, H, W], 0 or greater, whatever the types of the inputs and of autocast are. The
    order of the two changes nothing, to the bit. Hues count as opposite where a1 b2 and a2 b1 are the same float32,
    that is within 5e-6 degrees. A component that is not a number or infinite gives NaN. The kernel and the formula
    differ by less than 0.001. Not differentiable: backward through it raises torch's RuntimeError.

    Raises TrainingError for tensors that are not two pictures of the same size, or not floating point.
    """
    shapes = [tuple(lab.shape) for lab in (lab1, lab2)]
    if len(shapes[0]) != 4 or shapes[0][1] != 3 or shapes[0] != shapes[1]:
        raise TrainingError(f"colours of {shapes[0]} and {shapes[1]}", _WHERE, "give two of [N, 3, H, W]")
    if not (lab1.is_floating_point() and lab2.is_floating_point()):
        raise TrainingError(f"colours of {lab1.dtype} and {lab2.dtype}", _WHERE, "give floating point ones")
    difference: Tensor = torch.ops.edgead.ciede2000(lab1.to(torch.float32), lab2.to(torch.float32))
    return difference


@torch.library.custom_op("edgead::ciede2000", mutates_args=())
def _operator(lab1: Tensor, lab2: Tensor) -> Tensor:
    if lab1.dtype == lab2.dtype == torch.float32 and lab1.device == lab2.device:
        if lab1.device.type == "cpu" and library.offers("edgead_ciede2000_planar"):
            return _on_cpu(lab1, lab2)
        if lab1.device.type == "cuda" and cuda.usable(lab1.device):
            return cuda.queued(_on_device, lab1, lab2)
    return _formula(lab1, lab2)


@_operator.register_fake
def _(lab1: Tensor, lab2: Tensor) -> Tensor:
    return lab1.new_empty((lab1.shape[0], 1, *lab1.shape[2:]))


def _on_cpu(lab1: Tensor, lab2: Tensor) -> Tensor:
    """The native one, which reads the tensors' memory and writes that of the result."""
    difference = lab1.new_empty((lab1.shape[0], 1, *lab1.shape[2:]))
    arrays = (tensor.detach().numpy() for tensor in (lab1, lab2, difference))
    ciede2000_planar_into(*arrays, threads=torch.get_num_threads())
    return difference


def _on_device(lab1: Tensor, lab2: Tensor, stream: int) -> Tensor:
    lab1, lab2 = lab1.contiguous(), lab2.contiguous()
    count, _, height, width = lab1.shape
    difference = lab1.new_empty((count, 1, height, width))
    pixels = height * width
    first, second, out = (tensor.data_ptr() for tensor in (lab1, lab2, difference))
    ciede2000_on_device("planar", first, 3 * pixels, second, 3 * pixels, out, count=count, pixels=pixels, stream=stream)
    return difference


def _formula(lab1: Tensor, lab2: Tensor) -> Tensor:
    l1, a1, b1 = lab1.chunk(3, dim=1)
    l2, a2, b2 = lab2.chunk(3, dim=1)

    # Step 1: chroma and, as a vector, hue (2 to 7).
    mean_chroma = (_length(a1, b1) + _length(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _saturation(mean_chroma)  # 1 + G (4)
    a1_, a2_ = stretch * a1, stretch * a2
    c1, c2 = _length(a1_, b1), _length(a2_, b2)

    # Step 2: the differences (8 to 11). For a hue difference h below 90 degrees, 2 sqrt(c1 c2) sin(h / 2) is
    # cross / sqrt((c1 c2 + dot) / 2); beyond, it is sqrt(2 (c1 c2 - dot)) with the sign of h. That sign compares the
    # two products and does not ask for the sign of cross: a runtime that fuses a product and a difference into one
    # operation finds a difference where there is none. Two opposite hues are told apart by which is the greater (10).
    product, dot = c1 * c2, a1_ * a2_ + b1 * b2
    left, right = a1 * b2, a2 * b1
    greater = (b1 > b2) | ((b1 == b2) & (a1 > a2))  # of two opposite hues, is it the second?
    sign = torch.where((left > right) | ((left == right) & greater), 1.0, -1.0)
    near = dot > 0
    root = torch.where(near, (product + dot) / 2, 2 * (product - dot)).sqrt()
    hue = torch.where(near, stretch * (left - right) / torch.where(root > 0, root, 1.0), sign * root)

    # Step 3 (12 to 22). The mean hue (14) is the direction of the sum of the two, made equally long, or, where that is
    # short, across their difference. For a colour without hue it does not matter: `hue` is 0 then.
    x1, y1, x2, y2 = c2 * a1_, c2 * b1, c1 * a2_, c1 * b2
    x = torch.where(near, x1 + x2, sign * (y2 - y1))
    y = torch.where(near, y1 + y2, sign * (x1 - x2))
    mean_hue = torch.atan2(y, x)
    mean_hue = torch.where(mean_hue < 0, mean_hue + 2 * math.pi, mean_hue)
    t = (
        1
        - 0.17 * (mean_hue - 30 * _DEGREE).cos()
        + 0.24 * (2 * mean_hue).cos()
        + 0.32 * (3 * mean_hue + 6 * _DEGREE).cos()
        - 0.20 * (4 * mean_hue - 63 * _DEGREE).cos()
    )
    from_blue = (mean_hue - 275 * _DEGREE) / (25 * _DEGREE)
    rotation = (60 * _DEGREE * (-from_blue * from_blue).exp()).sin()  # sin(2 delta theta) (16)
    chroma = (c1 + c2) / 2
    from_gray = (l1 + l2) / 2 - 50
    from_gray = from_gray * from_gray
    lightness_term = (l2 - l1) / (1 + 0.015 * from_gray / (20 + from_gray).sqrt())
    chroma_term = (c2 - c1) / (1 + 0.045 * chroma)
    hue_term = hue / (1 + 0.015 * chroma * t)
    square = (
        lightness_term * lightness_term
        + chroma_term * chroma_term
        + hue_term * hue_term
        - 2 * rotation * _saturation(chroma) * chroma_term * hue_term
    )
    return square.clamp(min=0).sqrt()


def _length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _saturation(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)), from 0 to 1, of (4) and (17)."""
    ratio = chroma / 25
    square = ratio * ratio
    power = square * square * square * ratio
    return (power / (power + 1)).sqrt()
