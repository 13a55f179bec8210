"""One run: load engines, give them turns, and gather what was measured."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgead.bench.energy import find_meters, joules_per_image
from edgead.bench.engines import Timed, take_turns, warm_up
from edgead.bench.machine import describe, pace
from edgead.bench.memory import memory
from edgead.bench.pipeline import Piped, pipelines
from edgead.bench.report import Measured, Report
from edgead.bundle import Bundle, read_bundle
from edgead.detector import Detector
from edgead.engines.targets import choose
from edgead.errors import BundleError
from edgead.loading import Build, engine_key, load
from edgead.progress import Progress, silent
from edgead.sources import open_source
from edgead.synthetic.full_hd import write_full_hd

_USUAL = 8  # the largest batch that is measured unasked
_RENDERED = "a rendered video"


@dataclass(frozen=True)
class Wanted:
    """An engine to measure: of a bundle, in a precision (None: the one that it prefers), for a target."""

    bundle: Path
    precision: str | None = None
    target: str = "auto"


def bench(
    wanted: Sequence[Wanted],
    *,
    batches: Sequence[int] = (),
    frames: int = 200,
    rounds: int = 3,
    pipeline: bool = True,
    source: str | None = None,
    build: bool | Build = True,
    root: Path = Path("/"),
    progress: Progress = silent,
) -> Report:
    """Measure engines beside each other, by turns; at least one.

    batches: besides 1; by default the powers of two up to the largest batch of each bundle, or 8. frames: images of an
    engine in a round, for each batch, and frames of the pipeline, which are read from `source`, by default a rendered
    video of 1920 x 1080 pixels. pipeline: whether pipelines are measured at all. build: as `edgead.load` says. root:
    where `sys` and `proc` are.

    Raises BundleError where a bundle is damaged or lacks a precision, or its graph takes no batch as large as one asked
    for, EngineUnavailable and EngineError as `edgead.load` does, SourceError where the source cannot be read.
    """
    labels = _labels([one.bundle for one in wanted])
    loads = [_Load.of(one, label, batches) for one, label in zip(wanted, labels, strict=True)]
    if pipeline and source is not None:
        open_source(source)  # a name that means nothing is told before the work
    machine, before = describe(root), pace(root)
    with ExitStack() as stack:
        for each in loads:  # what loading leaves behind the first time, libraries above all, belongs to no engine
            each.load(build, progress).close()
        started = [each.start(stack, build, root, progress) for each in loads]
        detectors, measured = [detector for detector, _ in started], [one for _, one in started]
        timed = [one.timed for one in measured]
        take_turns(timed, frames=frames, rounds=rounds, progress=progress)
        after = pace(root)
        meters, no_energy = find_meters(root, gpu=any(one.target != "openvino" for one in measured))
        energy = joules_per_image(timed, meters, rounds=rounds, progress=progress)
        for one, joules in zip(measured, energy, strict=True):
            one.joules = joules
        if pipeline:
            for one, piped in zip(measured, _piped(detectors, source, frames, rounds, progress), strict=True):
                one.piped = piped
    names = tuple(meter.name for meter in meters)
    return Report(machine, before, after, measured, frames, rounds, names, no_energy)


@dataclass(frozen=True)
class _Load:
    """An engine that is known to be there, or to be built, as far as that can be told before."""

    path: Path
    label: str
    bundle: Bundle
    precision: str
    target: str
    batches: tuple[int, ...]

    @classmethod
    def of(cls, wanted: Wanted, label: str, batches: Sequence[int]) -> _Load:
        bundle = read_bundle(wanted.bundle)
        precision, largest = wanted.precision or bundle.manifest.preferred, bundle.manifest.max_batch
        try:
            bundle.manifest.variant(precision)
        except BundleError as error:
            raise BundleError(error.what, wanted.bundle, error.todo) from None
        if too_many := [batch for batch in batches if batch > largest]:
            todo = "ask for no more, or export it again with a larger --max-batch"
            raise BundleError(f"a batch of {min(too_many)}, and the graph takes {largest} at most", wanted.bundle, todo)
        usual = [1 << power for power in range(min(largest, _USUAL).bit_length())]
        target = choose(wanted.target)
        return cls(wanted.bundle, label, bundle, precision, target, tuple(sorted({1, *(batches or usual)})))

    def load(self, build: bool | Build, progress: Progress) -> Detector:
        target, precision = self.target, self.precision
        return load(self.path, target=target, precision=precision, maps=False, build=build, progress=progress)

    def start(self, stack: ExitStack, build: bool | Build, root: Path, progress: Progress) -> tuple[Detector, Measured]:
        """The engine loaded and warmed up, until the stack ends, and what was measured of that."""
        before = memory(self.target, root=root)
        detector = stack.enter_context(self.load(build, progress))
        timed = Timed(detector.engine, (detector.height, detector.width), self.batches)
        warm_up(timed)
        taken = memory(self.target, root=root) - before
        key = engine_key(self.bundle, self.target, self.precision)
        return detector, Measured(
            self.label, self.precision, self.target, key.runtime_version, key.device, taken, timed
        )


def _labels(paths: list[Path]) -> list[str]:
    """The names of the files, or their paths where different ones have the same name."""
    names = Counter(path.name for path in set(paths))
    return [path.name if names[path.name] == 1 else str(path) for path in paths]


def _piped(
    detectors: Sequence[Detector], source: str | None, frames: int, rounds: int, progress: Progress
) -> list[Piped]:
    if source is not None:
        return pipelines(detectors, source, frames=frames, rounds=rounds, progress=progress)
    with tempfile.TemporaryDirectory(prefix="edgead-") as folder:
        video = write_full_hd(Path(folder) / "line.mp4", frames=frames, progress=progress)
        measured = pipelines(detectors, str(video), frames=frames, rounds=rounds, progress=progress)
    for piped in measured:
        if piped.summary:
            piped.summary.source = _RENDERED  # its place is gone
    return measured
