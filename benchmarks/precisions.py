"""Detectors in every precision: what each costs and gains, against fp32 on labelled images.

Each bundle is built in fp32, fp16, INT8 and mixed precision for OpenVINO, compared on the test images of its data, and
timed beside the others in one run. INT8 is measured whether the gate lets it pass or not, and the table says so. Where
TensorRT for RTX is installed, its plan of each graph is built for one GPU that need not be here.

python benchmarks/precisions.py LAMP=lamp.edgead:DATA [UniAD=uniad.edgead:DATA ...] [--output FILE]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from measuring import processor, write

from edgead.bench import Wanted, bench
from edgead.bundle import read_bundle
from edgead.data.layout import read_dataset
from edgead.errors import EdgeadError, GateRefused
from edgead.export.build import BuildReport, build_engine
from edgead.export.options import BuildOptions
from edgead.export.plan_options import PlanOptions
from edgead.export.tensorrt import build_plan, convolution_report
from edgead.export.verification.gate import Budget
from edgead.progress import Progress, progress_bar

PRECISIONS = ("fp32", "fp16", "int8", "mixed")
LENIENT = Budget(1, 1, 1, 100, 1, -1)
CAPABILITY = "8.6"


def measured(path: Path, data: Path, options: BuildOptions, rounds: int, progress: Progress) -> list[dict[str, Any]]:
    """A row for each precision of a copy of the bundle."""
    with tempfile.TemporaryDirectory(prefix="edgead-") as folder:
        copy = Path(shutil.copy(path, Path(folder) / path.name))
        dataset = read_dataset(data)
        rows, built = [], []
        for precision in PRECISIONS:
            budget = options.budget if precision == "mixed" else LENIENT
            chosen = replace(options, precision=precision, budget=budget)
            try:
                report = build_engine(copy, dataset, chosen, progress=progress)
            except GateRefused as refusal:
                rows.append({"precision": precision, "refused": refusal.what})
                continue
            built.append(precision)
            rows.append({**row(report, options.budget), "rtx": plan(report, progress)})
        times = bench([Wanted(copy, name, "openvino") for name in built], batches=[1], rounds=rounds, pipeline=False)
        engines = {engine["precision"]: engine for engine in times.to_json()["engines"]}
        for each in rows:
            if each["precision"] in engines:
                engine = engines[each["precision"]]
                each["times_fp32"] = engine["ratio_to_first"]
                each["milliseconds"] = {name: engine["batches"]["1"][name] for name in ("p50", "p95", "p99")}
    return rows


def row(report: BuildReport, budget: Budget) -> dict[str, Any]:
    comparison = report.comparison
    return {
        "precision": report.precision,
        "metrics": asdict(comparison.metrics),
        "falls": comparison.falls(),
        "map_error": comparison.map_error,
        "changed_verdicts": comparison.changed_verdicts,
        "images": comparison.images,
        "faults": budget.faults(comparison),
        "graph_bytes": len(report.bundle.graph(report.precision)),
        "openvino_layers": [report.int8_layers, report.layers],
        "floats": {layer["name"]: layer["float"] for layer in report.calibration["layers"] if layer["float"]},
        "method": report.calibration["method"],
    }


def plan(report: BuildReport, progress: Progress) -> dict[str, Any]:
    """What TensorRT for RTX makes of the graph: bytes and layers in INT8; or why there is none."""
    options = PlanOptions(max_batch=report.bundle.manifest.max_batch, compute_capabilities=(CAPABILITY,))
    try:
        built = build_plan(report.bundle.graph(report.precision), "tensorrt-rtx", options, progress=progress)
    except EdgeadError as error:
        return {"refused": str(error)}
    layers = convolution_report(built.layers)
    return {"bytes": len(built.data), "int8": layers.int8, "layers": layers.total}


def table(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown."""
    lines = []
    for each in rows:
        if "refused" in each:
            lines.append(f"| {name} | {each['precision']} | {each['refused']} |")
            continue
        metrics = [each["metrics"][key] for key in ("image_auroc", "pixel_auroc", "aupro")]
        values = " | ".join("" if value is None else f"{value:.4f}" for value in metrics)
        int8, layers = each["openvino_layers"]
        rtx = each["rtx"]
        share = f"{rtx['bytes'] / 2**20:.1f} MiB, {rtx['int8']} of {rtx['layers']}" if "bytes" in rtx else "no plan"
        gate = "passes" if not each["faults"] else "refused"
        cells = (
            name,
            each["precision"],
            values,
            f"{each['map_error']:.1%}",
            f"{each['changed_verdicts']} of {each['images']}",
            f"{each['graph_bytes'] / 2**20:.1f}",
            f"{int8} of {layers}",
            f"{each['times_fp32']['median']:.2f}",
            share,
            gate,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", nargs="+", metavar="NAME=BUNDLE:DATA")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calib-size", type=int, default=128)
    parser.add_argument("--method", default="minmax")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    options = BuildOptions(target="openvino", calibration_size=given.calib_size, method=given.method)
    found = {}
    with progress_bar() as progress:
        for detector in given.detectors:
            name, _, place = detector.partition("=")
            path, _, data = place.partition(":")
            read_bundle(path)
            found[name] = measured(Path(path), Path(data), options, given.rounds, progress)
    print("| detector | precision | image AUROC | pixel AUROC | AUPRO | map off by | verdicts changed | MiB |"
          " INT8 on OpenVINO | time | RTX plan, INT8 | gate |")  # fmt: skip
    print("|---" * 12 + "|")
    for name, rows in found.items():
        print("\n".join(table(name, rows)))
    write(given.output, processor(), {"budget": asdict(options.budget), "capability": CAPABILITY, "detectors": found})
