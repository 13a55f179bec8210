"""Building an engine that a running line lacks: what `edgead.load` itself cannot do."""

from __future__ import annotations

from edgead.engines.cache import EngineKey
from edgead.engines.tensorrt import timing_key
from edgead.errors import EngineError
from edgead.progress import Progress


def build(graph: bytes, key: EngineKey, progress: Progress) -> bytes:
    """A TensorRT engine as `edgead build-engine` builds it without options, and without the gate. Raises EngineError
    where what it takes is not installed, the graph is refused, or the key names options."""
    options = [name for name, value in key.options.items() if name != "plugins" or value == "False"]
    if options:
        what = f"the engine chosen for this device is gone; it was built with options: {', '.join(options)}"
        raise EngineError(what, key.runtime, "run `edgead build-engine` again, with or without them")
    try:
        from edgead.export.tensorrt import PlanOptions, build_plan
    except ModuleNotFoundError as error:
        what = f"the engine cannot be built here: {error.name} is not installed"
        raise EngineError(what, key.runtime, 'run `pip install "edgead[train]"`') from error
    plan = PlanOptions(max_batch=key.max_batch)
    return build_plan(graph, key.runtime, plan, timings=timing_key(key.runtime), progress=progress).data
