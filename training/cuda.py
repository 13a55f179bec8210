"""Calling the CUDA kernels from torch: on its device and on its stream."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import torch
from torch import Tensor

from edgead.kernels import library

log = logging.getLogger(__name__)


@functools.cache
def usable(device: torch.device) -> bool:
    """Whether the CUDA library is there and has code for this device. Says once why not."""
    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()  # torch takes the device when it is first used
        why = library.why_not_cuda()
    if why is not None:
        log.warning("the operators run in torch on %s: %s", device, why)
    return why is None


def queued(kernel: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """`kernel(*tensors, stream)` with the tensors' device current, on the stream that torch is using there."""
    with torch.cuda.device(tensors[0].device):
        return kernel(*tensors, torch.cuda.current_stream().cuda_stream)
