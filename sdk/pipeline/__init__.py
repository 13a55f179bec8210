"""From a frame to what the graph says of it: on the host, or all of it on a GPU."""

from __future__ import annotations

import logging

from edgead import gpu
from edgead.engines.base import Engine
from edgead.engines.stage import Stage
from edgead.kernels import library
from edgead.kernels.postprocess import LONGEST
from edgead.pipeline.base import Pipeline
from edgead.pipeline.host import HostPipeline

__all__ = ["Pipeline", "open_pipeline"]

log = logging.getLogger(__name__)


def open_pipeline(engine: Engine, height: int, width: int, threshold: float, *, maps: bool, overlay: bool) -> Pipeline:
    """The pipeline around a running engine: on the GPU where the engine is a `Stage` and the operators are there.

    height, width: of the graph's input. threshold: of the anomaly map's pixels. maps, overlay: what is brought back
    from a GPU besides the verdict. Raises EngineError.
    """
    if not isinstance(engine, Stage):
        return HostPipeline(engine, height, width, threshold)
    if why := unavailable(height, width):
        log.warning("frames are prepared and judged on the CPU: %s", why)
        return HostPipeline(engine, height, width, threshold)
    from edgead.pipeline.device import DevicePipeline

    return DevicePipeline(engine, threshold, maps=maps, overlay=overlay)


def unavailable(height: int, width: int) -> str | None:
    """Why there is no pipeline on a GPU here for a graph that takes height x width pixels, or None."""
    if max(height, width) > LONGEST:
        return f"a map of {height} x {width} pixels has no regions there"
    if why := gpu.unavailable():
        return why
    with gpu.current():
        return library.why_not_cuda()
