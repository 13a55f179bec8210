"""How a TensorRT plan is to be built."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edgead.errors import EngineError

HARDWARE = ("ampere-plus", "same-compute-capability")


@dataclass(frozen=True)
class PlanOptions:
    """How to build a plan.

    min_batch, opt_batch, max_batch: images that the plan takes, and the number it is tuned for. opt_batch None: the
    fewest; max_batch None: no more than it is tuned for. workspace: scratch memory at most, in MiB; None leaves it to
    the library. optimization_level: 0 (fast build) to 5 (fast plan); None is the library's own. compute_capabilities:
    GPUs to build for, such as `8.6` (tensorrt-rtx only); none leaves it to the library. tf32: let float32 products
    round their operands to 10 bits; faster, and no longer what the graph says. plugins: run our operators as plugins,
    where their library was built.

    dla: the core of the deep learning accelerator that runs what it can; the GPU runs the rest. For `tensorrt` alone:
    hardware_compatibility, GPUs that the plan runs on besides this one: `ampere-plus`, every one since Ampere, or
    `same-compute-capability`; version_compatible: newer TensorRT runs the plan as well. strip_weights: leave out of the
    plan what its graph holds; it gets that back when it is loaded. refit: the plan takes other weights later.
    """

    min_batch: int = 1
    opt_batch: int | None = None
    max_batch: int | None = None
    workspace: int | None = None
    optimization_level: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    tf32: bool = False
    plugins: bool = True
    dla: int | None = None
    hardware_compatibility: str | None = None
    version_compatible: bool = False
    strip_weights: bool = False
    refit: bool = False

    def __post_init__(self) -> None:
        least, best, most = self.batches
        faults = {
            f"batches of {least}, {best} and {most} are not in order from 1": not 1 <= least <= best <= most,
            f"a workspace of {self.workspace} MiB": self.workspace is not None and self.workspace < 1,
            f"optimisation level {self.optimization_level} is not 0 to 5": self.optimization_level is not None
            and not 0 <= self.optimization_level <= 5,
            f"DLA core {self.dla}": self.dla is not None and self.dla < 0,
            f"hardware compatibility {self.hardware_compatibility!r} is none of {', '.join(HARDWARE)}": (
                self.hardware_compatibility not in (None, *HARDWARE)
            ),
        }
        for fault, present in faults.items():
            if present:
                raise EngineError(fault, "plan options", "change the option")

    @property
    def batches(self) -> tuple[int, int, int]:
        """Images that the plan takes at least, is tuned for, and takes at most."""
        best = self.min_batch if self.opt_batch is None else self.opt_batch
        return self.min_batch, best, best if self.max_batch is None else self.max_batch

    @property
    def changes(self) -> dict[str, str]:
        """What is not as usual and makes the plan another one, by name, for the key of an engine. The largest batch is
        in every key."""
        least, best, _ = self.batches
        found = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            usual = entry.name == "max_batch" or (entry.name == "opt_batch" and best == least)
            if value != entry.default and not usual:
                found[entry.name] = ",".join(value) if isinstance(value, tuple) else str(value)
        return found
