"""From a bundle on disk to a running detector."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from edgead.bundle import Bundle, read_bundle
from edgead.detector import Detector
from edgead.engines import cache, openvino, tensorrt
from edgead.engines.base import Engine
from edgead.engines.cache import EngineKey
from edgead.engines.targets import choose
from edgead.errors import EngineError

log = logging.getLogger(__name__)


def load(
    path: str | Path,
    *,
    target: str = "auto",
    precision: str | None = None,
    maps: bool = True,
    overlay: bool = False,
) -> Detector:
    """Read a bundle and start its engine.

    target: `auto` (TensorRT on NVIDIA, else OpenVINO), or a target's name. precision: `fp32`, `fp16` or `int8`; by
    default the one that `edgead build-engine` last verified, else fp32. The engine comes from the cache; OpenVINO
    compiles it on a miss. maps, overlay: whether a GPU gives the anomaly map of a frame to its result, and the frame
    with the map drawn over it; without them little more than the verdict leaves it.

    Raises BundleError for a damaged bundle, EngineUnavailable where no engine can run here, EngineError where a
    TensorRT engine was not built on this device.
    """
    bundle = read_bundle(path)
    precision = precision or bundle.manifest.preferred
    bundle.manifest.variant(precision)
    engine = open_engine(bundle, choose(target), precision, where=str(path))
    return Detector(bundle, engine, precision, maps=maps, overlay=overlay)


def engine_key(bundle: Bundle, target: str, precision: str) -> EngineKey:
    """The cache key of the engine that this machine would run."""
    graph = bundle.graph(precision)
    batches = (1, bundle.manifest.max_batch)
    if target == "openvino":
        digest = hashlib.sha256(graph).hexdigest()
        return EngineKey(digest, precision, *batches, target, openvino.runtime_version(), openvino.device_name())
    return tensorrt.engine_key(graph, precision, batches, target)


def open_engine(bundle: Bundle, target: str, precision: str, *, where: str) -> Engine:
    """The engine of a bundle on this machine, from the cache where it is there."""
    key = engine_key(bundle, target, precision)
    engine = cache.lookup(key)
    if target == "openvino":
        if engine is None:
            engine = openvino.compile_graph(bundle.graph(precision))
            _keep(key, engine)
        return openvino.OpenVinoEngine(engine, max_batch=bundle.manifest.max_batch)
    if engine is None:
        todo = f"run `edgead build-engine {where} --target {target} --precision {precision}` on this device"
        raise EngineError(f"no {target} engine was built for this device", where, todo)
    return tensorrt.TensorRtEngine(engine, target, max_batch=bundle.manifest.max_batch)


def _keep(key: EngineKey, engine: bytes) -> None:
    """Cache a compiled engine; a device with a read-only disk runs without a cache and starts slower."""
    try:
        cache.store(key, engine)
    except EngineError as error:
        log.warning("%s", error)
