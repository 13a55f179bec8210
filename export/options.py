"""What to build, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgead.calibration.calibration_set import SIZE
from edgead.calibration.quantize import MAX_LAYER_ERROR
from edgead.export.plan_options import PlanOptions
from edgead.export.trials import AUTO
from edgead.export.verification.gate import Budget


@dataclass(frozen=True)
class BuildOptions:
    """precision, target: what to build. select, calibration_size: which images set INT8's ranges. method: how those are
    found; by `auto`, as costs least of the detector on held-out images. max_layer_error: the change of a layer's answer
    beyond which it stays in float; keep_float, keep_int8: names of layers, or patterns as of files, that do so or do
    not whatever that says. threshold: how thresholds are fitted; where it is empty, as `usual_threshold` says. budget:
    of the gate, and of the search for layers to keep in float. plan: how TensorRT builds; the largest batch is the
    bundle's."""

    precision: str = "int8"
    target: str = "auto"
    method: str = "minmax"
    select: str = "random"
    calibration_size: int = SIZE
    max_layer_error: float = MAX_LAYER_ERROR
    keep_float: tuple[str, ...] = ()
    keep_int8: tuple[str, ...] = ()
    threshold: str = ""
    budget: Budget = field(default_factory=Budget)
    plan: PlanOptions = field(default_factory=PlanOptions)

    @property
    def chooses(self) -> bool:
        """Whether several graphs are tried on images, and one of them is chosen."""
        return self.precision == "mixed" or (self.precision == "int8" and self.method == AUTO)
