"""From a bundle on disk to a running detector."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgead.bundle import Bundle, read_bundle
from edgead.detector import Detector
from edgead.engines import cache, openvino, tensorrt
from edgead.engines.base import Engine
from edgead.engines.cache import EngineKey
from edgead.engines.targets import choose
from edgead.errors import EngineError
from edgead.progress import Progress, silent
from edgead.selftest import self_test

log = logging.getLogger(__name__)

Build = Callable[[bytes, EngineKey, Progress], bytes]
"""Builds a TensorRT engine on this device, of an ONNX graph and as its key says, telling how far it is."""


def load(
    path: str | Path,
    *,
    target: str = "auto",
    precision: str | None = None,
    maps: bool = True,
    overlay: bool = False,
    build: bool | Build = True,
    progress: Progress = silent,
) -> Detector:
    """Read a bundle and start its engine.

    target: `auto` (TensorRT on NVIDIA, else OpenVINO), or a target's name. precision: `fp32`, `fp16` or `int8`; by
    default the one that `edgead build-engine` last verified, else fp32. maps, overlay: whether a GPU gives the anomaly
    map of a frame to its result, and the frame with the map drawn over it; without them little more than the verdict
    leaves it. build: the engine comes from the cache, and where it is not there, or was built on another device, with
    another driver or runtime, it is built again: by OpenVINO itself, for TensorRT by the function given. With False it
    is not. One that is built has to judge the bundle's own images as they should be judged (`edgead.selftest`).

    Raises BundleError for a damaged bundle, EngineUnavailable where no engine can run here, EngineError where the
    engine is not in the cache and is not to be built, cannot be, or judges otherwise than on other devices.
    """
    bundle = read_bundle(path)
    precision = precision or bundle.manifest.preferred
    bundle.manifest.variant(precision)
    runtime = choose(target)
    found = find_engine(bundle, runtime, precision, where=str(path), build=build, progress=progress)

    def start(found: Found) -> Detector:
        engine = as_engine(found.engine, runtime, bundle, bundle.graph(precision), found.key.options)
        return Detector(bundle, engine, precision, maps=maps, overlay=overlay)

    try:
        detector = start(found)
    except EngineError as error:
        if found.built or not build or runtime != "openvino":
            raise
        log.warning("%s; the engine in the cache is left, and built again", error)
        cache.discard(found.key)  # it stays where the cache cannot be written, and is not asked for again
        found = Found(found.key, _built(bundle, found.key, build, str(path), progress), built=True)
        detector = start(found)
    if found.built:
        try:
            self_test(detector).require(str(path))
        except BaseException:
            detector.close()
            raise
        found.keep()
    return detector


def engine_key(bundle: Bundle, target: str, precision: str, options: Mapping[str, str] | None = None) -> EngineKey:
    """The cache key of the engine that this machine would run, or of the one that was built for it with `options`, as
    `edgead.engines.tensorrt.engine_key` has them; OpenVINO has none."""
    graph = bundle.graph(precision)
    batches = (1, bundle.manifest.max_batch)
    if target == "openvino":
        digest = hashlib.sha256(graph).hexdigest()
        facts = (openvino.runtime_version(), openvino.device_name(), openvino.instruction_sets())
        return EngineKey(digest, precision, *batches, target, *facts)
    return tensorrt.engine_key(graph, precision, batches, target, options)


@dataclass(frozen=True)
class Found:
    """A serialised engine and its key. built: just now, so that it has judged nothing yet; else it is out of the cache,
    which has none that was not tried."""

    key: EngineKey
    engine: bytes
    built: bool

    def keep(self) -> None:
        """Cache it; a device with a read-only disk runs without a cache and starts slower."""
        try:
            cache.store(self.key, self.engine)
        except EngineError as error:
            log.warning("%s", error)


def find_engine(
    bundle: Bundle,
    target: str,
    precision: str,
    *,
    where: str,
    build: bool | Build = True,
    progress: Progress = silent,
) -> Found:
    """The engine of a bundle on this machine, from the cache where it is there, else as `load` says of `build`."""
    key = engine_key(bundle, target, precision)
    cached = cache.lookup(key)
    return Found(key, _built(bundle, key, build, where, progress) if cached is None else cached, cached is None)


def as_engine(engine: bytes, target: str, bundle: Bundle, graph: bytes, options: Mapping[str, str]) -> Engine:
    """A serialised engine of a bundle, to be entered. graph: what it was built of, with `options` of TensorRT."""
    batch = bundle.manifest.max_batch
    if target == "openvino":
        return openvino.OpenVinoEngine(engine, max_batch=batch)
    return tensorrt.TensorRtEngine(engine, target, max_batch=batch, graph=graph, options=options)


def _built(bundle: Bundle, key: EngineKey, build: bool | Build, where: str, progress: Progress) -> bytes:
    """The engine that the cache lacks. It has passed no gate on this device, and the log says so where that matters."""
    graph, target = bundle.graph(key.precision), key.runtime
    foreign = cache.describe_foreign(key)
    if build is False or (build is True and target != "openvino"):
        what = f"no {target} engine was built for this device" + (f", and {foreign}" if foreign else "")
        todo = f"run `edgead build-engine {where} --target {target} --precision {key.precision}` on this device"
        raise EngineError(what, where, todo)
    if foreign or target != "openvino":
        check = f"`edgead verify {where}` compares it with the fp32 graph"
        log.warning("%s; the %s engine is built for this device now, and %s", foreign or "none is there", target, check)
    if callable(build) and target != "openvino":
        return build(graph, key, progress)
    progress("compiling", 0, 1)
    engine = openvino.compile_graph(graph)
    progress("compiling", 1, 1)
    return engine
