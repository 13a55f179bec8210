"""Methods of calibration side by side: what each costs, which is kept, and that all of it is on record."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import pytest

from edgead.bundle import read_bundle
from edgead.calibration.calibration_set import read_record
from edgead.calibration.quantize import METHODS
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.errors import CalibrationError, GateRefused
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions
from edgead.export.trials import TIE, Trial, best, cheapest, cost, try_methods
from edgead.export.verification.comparison import Metrics
from edgead.export.verification.gate import Budget
from tests.export.verification.test_gate import EQUAL
from tests.lenient import LENIENT, OPTIONS

LABELLED = replace(EQUAL, metrics=Metrics(0.95, 0.97), reference=Metrics(0.95, 0.97))
PAINTED = replace(EQUAL, painted=True, metrics=Metrics(1.0, 1.0, 1.0), reference=Metrics(1.0, 1.0, 1.0))


def with_aurocs(image, pixel=0.97):
    return replace(LABELLED, metrics=Metrics(image, pixel))


def trials(**comparisons):
    return [Trial(method, method.encode(), comparison) for method, comparison in comparisons.items()]


def test_with_labels_the_largest_fall_counts():
    assert cost(LABELLED) == 0
    assert cost(with_aurocs(0.93)) == pytest.approx(0.02)
    assert cost(with_aurocs(0.93, 0.92)) == pytest.approx(0.05)
    assert cost(replace(with_aurocs(0.94, None), reference=Metrics(0.95, None))) == pytest.approx(0.01)
    assert cost(replace(EQUAL, metrics=replace(EQUAL.reference, aupro=0.7))) == pytest.approx(0.2)
    assert cost(replace(LABELLED, map_error=0.5, rank_correlation=0.1)) == 0


def test_a_rise_is_no_merit():
    assert cost(with_aurocs(0.99, 0.99)) == 0
    assert cost(with_aurocs(0.99, 0.96)) == pytest.approx(0.01)


def test_without_real_defects_order_and_map_count_too():
    assert cost(PAINTED) == 0
    assert cost(replace(PAINTED, map_error=0.03)) == pytest.approx(0.03)
    assert cost(replace(PAINTED, map_error=0.03, rank_correlation=0.9)) == pytest.approx(0.13)
    assert cost(replace(PAINTED, metrics=Metrics(0.98, 1.0, 1.0), rank_correlation=0.9)) == pytest.approx(0.12)


def test_the_cheapest_is_kept_and_a_tie_goes_to_minmax():
    worse, better, budget = with_aurocs(0.942), with_aurocs(0.945), Budget(max_drop=0.01)
    assert best(trials(minmax=worse, entropy=worse, mse=better), budget, "x").method == "mse"
    nearly = with_aurocs(0.945 - 0.9 * TIE)
    assert best(trials(minmax=nearly, entropy=worse, mse=better), budget, "x").method == "minmax"
    assert best(trials(minmax=worse, percentile=nearly, mse=better), budget, "x").method == "mse"


def test_what_the_gate_would_refuse_is_not_kept_whatever_it_costs():
    flipped = replace(PAINTED, changed_verdicts=9)  # 9 of 100, and the least cost
    found = trials(minmax=flipped, mse=replace(PAINTED, map_error=0.2))
    assert best(found, Budget(), "x").method == "mse"
    assert cheapest(found, "x").method == "minmax"
    none = [Trial("minmax", refused="no numbers"), *trials(entropy=with_aurocs(0.9))]
    with pytest.raises(
        GateRefused, match=r"minmax: no numbers; entropy: image AUROC falls from 0\.9500 to 0\.9000"
    ) as it:
        best(none, Budget(), "part.edgead")
    assert it.value.where == "part.edgead"
    assert cheapest(none, "x").method == "entropy"
    with pytest.raises(GateRefused, match="minmax: no numbers"):
        cheapest(none[:1], "x")


def test_a_method_that_gives_no_graph_is_out_and_the_others_go_on():
    seen: list[str] = []

    def quantised(method, told):
        told("calibrating", 1, 1)
        if method == "entropy":
            raise CalibrationError("INT8 changes every layer")
        return method.encode()

    def compared(graph, told):
        told("running", 1, 1)
        if graph == b"mse":
            raise GateRefused("refused: not numbers")
        return LABELLED

    found = try_methods(quantised, compared, lambda what, done, total: seen.append(what))
    assert [trial.method for trial in found] == list(METHODS)
    assert {trial.method: trial.refused for trial in found if trial.comparison is None} == {
        "entropy": "INT8 changes every layer",
        "mse": "not numbers",
    }
    assert seen == [
        f"{method}: {what}"
        for method in METHODS
        for what in ("calibrating", "running")
        if (method, what) != ("entropy", "running")
    ]
    assert all(math.isfinite(trial.to_json()["cost"]) for trial in found if trial.comparison)


@pytest.fixture
def bundle(fp32_bundle, tmp_path):
    return shutil.copy(fp32_bundle, tmp_path / "part.edgead")


@pytest.mark.parametrize("labelled", [True, False])
def test_auto_keeps_what_one_of_the_methods_gives_and_records_all(bundle, fp32_bundle, parts, tmp_path, labelled):
    dataset = read_dataset(parts if labelled else parts / "train/good")
    report = build_engine(bundle, dataset, BuildOptions(target="openvino", method="auto", budget=LENIENT))
    record = read_record(read_bundle(bundle))
    by_name = {trial["method"]: trial for trial in record["trials"]}
    assert list(by_name) == list(METHODS)
    kept = by_name[record["method"]]
    assert kept["cost"] <= min(trial["cost"] for trial in record["trials"]) + TIE
    assert kept["painted"] != labelled and kept["metrics"]["image_auroc"] is not None
    found = report.to_json()["calibration"]
    assert all(found[name] == record[name] for name in ("method", "trials", "layers"))
    # What was tried is what is built: the gate's own comparison, and the same graph as by the method alone.
    assert kept["map_error"] == report.comparison.map_error and kept["images"] == report.comparison.images
    alone = shutil.copy(fp32_bundle, tmp_path / "alone.edgead")
    build_engine(alone, dataset, BuildOptions(target="openvino", method=record["method"], budget=LENIENT))
    assert read_bundle(alone).graph("int8") == read_bundle(bundle).graph("int8")
    assert read_record(read_bundle(alone))["trials"] == []


def test_the_images_that_set_the_ranges_judge_no_method(bundle, parts, monkeypatch):
    from edgead.export.verification import verifier as module

    judging: set[bytes] = set()
    run_all = module.run_all

    def watched(predict, those, *rest):
        judging.update(image.tobytes() for image in those)
        return run_all(predict, those, *rest)

    monkeypatch.setattr(module, "run_all", watched)
    dataset = read_dataset(parts)
    build_engine(bundle, dataset, BuildOptions(target="openvino", method="auto", budget=LENIENT))
    names = {image["name"] for image in read_record(read_bundle(bundle))["images"]}
    calibrating = load_images([sample for sample in dataset.train if sample.name in names], 64, 64)
    assert judging and len(calibrating) and not judging & {image.tobytes() for image in calibrating}


def test_where_every_method_is_refused_nothing_changes(bundle, parts):
    before = bundle.read_bytes()
    with pytest.raises(GateRefused, match=r"by every method of calibration: minmax: .*; entropy: .*; mse: "):
        options = BuildOptions(target="openvino", method="auto", budget=Budget(max_map_error=0))
        build_engine(bundle, read_dataset(parts), options)
    assert bundle.read_bytes() == before


def test_the_commands_show_what_each_method_gave(edgead, bundle, parts):
    said = edgead("calibrate", bundle, "--data", parts, "--method", "auto", *OPTIONS)
    table = said.splitlines()[-1 - len(METHODS) :]
    assert "image AUROC" in table[0] and [line.split()[0] for line in table[1:]] == list(METHODS)
    assert sum("<- kept" in line for line in table) == 1
    build = ("build-engine", bundle, "--calib-data", parts, "--target", "openvino", *OPTIONS)
    assert "<- kept" in edgead(*build, "--method", "auto")
    told = json.loads(edgead(*build, "--method", "mse", "--json"))
    assert (told["calibration"]["method"], told["calibration"]["trials"]) == ("mse", [])
    assert len(told["calibration"]["layers"]) == 9
