"""What an experiment is done with: the commit of edgead, and the processor or the GPU."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

from edgead.training.options import FitOptions

_PROCESSORS = Path("/proc/cpuinfo")


def device_name(options: FitOptions) -> str:
    """The GPU's name where the training may use one, else the processor's."""
    if options.device.type == "cuda":
        return torch.cuda.get_device_name(options.device)
    return processor_name()


@cache
def processor_name() -> str:
    """As the processor calls itself, else its kind."""
    if _PROCESSORS.exists():
        for line in _PROCESSORS.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


@cache
def commit() -> str:
    """That of an edgead that runs from a checkout, with "+changes" where files differ from it; else "release". It is
    looked up once, since the checkout may change while this process goes on as it began."""
    from edgead.export import package  # loads the exporters, which no finished table needs

    return package.commit()
