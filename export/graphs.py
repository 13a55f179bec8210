"""The graph of each precision, made of the fp32 graph of a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import GRAPH, Bundle
from edgead.calibration.calibration_set import RECORDS, CalibrationSet, again, choose_images
from edgead.calibration.images import Roles
from edgead.calibration.quantize import Quantiser
from edgead.calibration.ranges import activation_ranges
from edgead.calibration.sensitivity import LayerSensitivity, described, sensitivities
from edgead.calibration.suitability import check_suitable
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.export.layer_choice import BUDGET, floats_by_rule, matching
from edgead.export.mixed import fewest_floats
from edgead.export.options import BuildOptions
from edgead.export.precision import to_fp16
from edgead.export.trials import AUTO, Run, Trial, best, cheapest, try_methods
from edgead.export.verification.comparison import Comparison
from edgead.export.verification.verifier import Verifier
from edgead.progress import Progress, silent

TRIED_ON = 16
"""Images, evenly spread over the held-out ones, on which each layer is tried alone."""


def make_graph(
    bundle: Bundle,
    roles: Roles,
    options: BuildOptions,
    verifier: Verifier,
    progress: Progress = silent,
    *,
    like: Mapping[str, Any] | None = None,
    run: Run | None = None,
) -> tuple[bytes, dict[str, bytes]]:
    """The graph of the precision asked for, and the bundle members that hold it and how it was calibrated.

    verifier: compares what is tried with the fp32 graph. like: the record of a calibration whose images are to
    calibrate again, in place of a new choice. run: what graphs are tried on, by default ONNX Runtime. Raises
    GateRefused where none of those tried stays in the budget.
    """
    source = bundle.graph("fp32")
    if options.precision == "fp32":
        return source, {}
    if options.precision == "fp16":
        graph = to_fp16(source)
        return graph, {GRAPH["fp16"]: graph}
    chosen, images = _calibration(bundle, roles, options, like, progress)
    return _Quantising(source, images, options, verifier, run or _on_onnxruntime(bundle), progress).make(chosen)


def _calibration(
    bundle: Bundle, roles: Roles, options: BuildOptions, like: Mapping[str, Any] | None, progress: Progress
) -> tuple[CalibrationSet, NDArray[np.uint8]]:
    """The images that set the ranges. Raises CalibrationError where they are not fit to."""
    if like is not None:
        chosen = again(like, roles.calibration)
    else:
        select, size = options.select, options.calibration_size
        chosen = choose_images(roles.calibration, bundle, select=select, size=size, progress=progress)
    images = load_images(chosen.samples, bundle.manifest.height, bundle.manifest.width, progress)
    return check_suitable(chosen, images, bundle, progress), images


def _on_onnxruntime(bundle: Bundle) -> Run:
    return lambda graph, told: OnnxRuntimeEngine(graph, max_batch=bundle.manifest.max_batch)


class _Quantising:
    """One graph in INT8 or in mixed precision, and the record of how it came to be."""

    def __init__(
        self,
        source: bytes,
        images: NDArray[np.uint8],
        options: BuildOptions,
        verifier: Verifier,
        run: Run,
        progress: Progress,
    ) -> None:
        self._source, self._images, self._options = source, images, options
        self._verifier, self._run, self._progress = verifier, run, progress
        self._quantisers: dict[str, Quantiser] = {}
        self._mixed = options.precision == "mixed"

    def make(self, chosen: CalibrationSet) -> tuple[bytes, dict[str, bytes]]:
        options = self._options
        method, trials = options.method, tuple[Trial, ...]()
        if method == AUTO:
            trials = try_methods(self._quantised, self._compared, self._progress)
            pick = cheapest(trials, "calibration") if self._mixed else best(trials, options.budget, "calibration")
            method = pick.method
        else:
            self._ranges(method, self._progress)
        quantiser = self._quantisers[method]
        floats = floats_by_rule(quantiser, options)
        rows = described(self._source, quantiser.roundings)
        if self._mixed:
            rows = self._tried(quantiser)
            floats |= dict.fromkeys(self._searched(quantiser, floats, rows), BUDGET)
        graph = self._graph(quantiser, floats)
        record = {
            "method": method,
            "trials": [trial.to_json() for trial in trials],
            "max_layer_error": options.max_layer_error,
            "layers": [{**row.to_json(), "float": floats.get(row.name)} for row in rows],
            "ranges": activation_ranges(graph),
            **chosen.to_json(),
        }
        text = json.dumps(record, indent=1, sort_keys=True).encode()
        return graph, {GRAPH[options.precision]: graph, RECORDS[options.precision]: text}

    def _ranges(self, method: str, told: Progress) -> Quantiser:
        """Find the ranges by a method, which takes long, and keep them."""
        self._quantisers[method] = Quantiser(self._source, self._images, method=method, progress=told)
        return self._quantisers[method]

    def _quantised(self, method: str, told: Progress) -> bytes:
        quantiser = self._ranges(method, told)
        return self._graph(quantiser, floats_by_rule(quantiser, self._options))

    def _graph(self, quantiser: Quantiser, floats: Mapping[str, str] | frozenset[str]) -> bytes:
        """In mixed precision all that is not INT8 is float16."""
        graph = quantiser.graph(quantiser.layers - set(floats))
        return to_fp16(graph) if self._mixed else graph

    def _compared(self, graph: bytes, told: Progress) -> Comparison:
        with self._run(graph, told) as engine:
            return self._verifier.try_out(engine, told)

    def _tried(self, quantiser: Quantiser) -> tuple[LayerSensitivity, ...]:
        whole, images = quantiser.graph(quantiser.layers), self._verifier.choosing.spread(TRIED_ON)
        return sensitivities(self._source, whole, images, self._progress, found=quantiser.roundings)

    def _searched(
        self, quantiser: Quantiser, floats: Mapping[str, str], rows: tuple[LayerSensitivity, ...]
    ) -> frozenset[str]:
        """Layers to keep in float beside those that do so by rule or were asked for in INT8."""
        fixed = set(floats) | matching(self._options.keep_int8, quantiser.modules)
        free = [row for row in rows if row.name not in fixed]
        order = [row.name for row in sorted(free, key=lambda row: -(row.map_error or 0.0))]

        def compared(kept: frozenset[str]) -> Comparison:
            def told(what: str, done: int, total: int) -> None:
                self._progress(f"{len(kept)} layers in float: {what}", done, total)

            return self._compared(self._graph(quantiser, frozenset(floats) | kept), told)

        return fewest_floats(order, compared, self._options.budget, "mixed precision")
