"""Methods of calibration side by side: what each costs, which is kept, and that all of it is on record."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgead.bundle import read_bundle
from edgead.calibration.calibration_set import read_record
from edgead.calibration.quantize import METHODS
from edgead.data.layout import read_dataset
from edgead.errors import CalibrationError, GateRefused
from edgead.export.build import BuildOptions, build_engine
from edgead.export.trials import TIE, Trial, best, cost, try_methods
from edgead.export.verify import Comparison
from tests.export.test_verify import judged, samples

SAME = Comparison("x", False, 100, 0.0, 0.0, 1.0, 0, ())
LABELLED = replace(SAME, image_auroc=0.95, image_auroc_fp32=0.95, pixel_auroc=0.97, pixel_auroc_fp32=0.97)


def trials(**comparisons):
    return [Trial(method, method.encode(), comparison) for method, comparison in comparisons.items()]


def test_with_labels_the_largest_fall_counts():
    assert cost(LABELLED) == 0
    assert cost(replace(LABELLED, image_auroc=0.93)) == pytest.approx(0.02)
    assert cost(replace(LABELLED, image_auroc=0.93, pixel_auroc=0.92)) == pytest.approx(0.05)
    assert cost(replace(LABELLED, pixel_auroc=None, pixel_auroc_fp32=None, image_auroc=0.94)) == pytest.approx(0.01)
    assert cost(replace(LABELLED, map_error=0.5, rank_correlation=0.1)) == 0


def test_a_rise_is_no_merit():
    assert cost(replace(LABELLED, image_auroc=0.99, pixel_auroc=0.99)) == 0
    assert cost(replace(LABELLED, image_auroc=0.99, pixel_auroc=0.96)) == pytest.approx(0.01)


def test_without_labels_order_and_map_count():
    assert cost(SAME) == 0
    assert cost(replace(SAME, map_error=0.03)) == pytest.approx(0.03)
    assert cost(replace(SAME, map_error=0.03, rank_correlation=0.9)) == pytest.approx(0.13)


def test_the_rank_correlation_is_spearmans_also_with_equal_scores():
    random = np.random.default_rng(0)
    reference = random.integers(0, 20, 60) / 20
    engine = np.round(reference + random.normal(0, 0.1, 60), 1)
    found = judged(reference, engine, samples(60, 0)).rank_correlation
    assert found == pytest.approx(spearmanr(reference.astype(np.float32), engine.astype(np.float32)).statistic)
    assert judged([0.1, 0.2, 0.3], [1, 2, 9], samples(3, 0)).rank_correlation == pytest.approx(1)
    assert judged([0.1, 0.2, 0.3], [3, 2, 1], samples(3, 0)).rank_correlation == pytest.approx(-1)
    assert judged([0.1, 0.2, 0.3], [1, 1, 1], samples(3, 0)).rank_correlation == 0
    assert judged([0.1, 0.1, 0.1], [1, 2, 3], samples(3, 0)).rank_correlation == 1


def test_the_cheapest_is_kept_and_a_tie_goes_to_minmax():
    worse, better = replace(LABELLED, image_auroc=0.942), replace(LABELLED, image_auroc=0.945)
    assert best(trials(minmax=worse, entropy=worse, mse=better), 0.01, "x").method == "mse"
    nearly = replace(LABELLED, image_auroc=0.945 - 0.9 * TIE)
    assert best(trials(minmax=nearly, entropy=worse, mse=better), 0.01, "x").method == "minmax"
    assert best(trials(minmax=worse, percentile=nearly, mse=better), 0.01, "x").method == "mse"


def test_what_the_gate_would_refuse_is_not_kept_whatever_it_costs():
    flipped = replace(SAME, changed_verdicts=9)  # 9 of 100, and the least cost
    assert best(trials(minmax=flipped, mse=replace(SAME, map_error=0.2)), 0.01, "x").method == "mse"
    none = [Trial("minmax", refused="no numbers"), *trials(entropy=replace(LABELLED, image_auroc=0.9))]
    with pytest.raises(
        GateRefused, match=r"minmax: no numbers; entropy: image AUROC falls from 0\.9500 to 0\.9000"
    ) as it:
        best(none, 0.01, "part.edgead")
    assert it.value.where == "part.edgead"


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
    report = build_engine(bundle, dataset, BuildOptions(target="openvino", method="auto", max_drop=0.5))
    record = read_record(read_bundle(bundle))
    by_name = {trial["method"]: trial for trial in record["trials"]}
    assert list(by_name) == list(METHODS)
    kept = by_name[record["method"]]
    assert kept["cost"] <= min(trial["cost"] for trial in record["trials"]) + TIE
    assert (kept["image_auroc"] is not None) == labelled
    assert report.to_json()["calibration"] == {"method": record["method"], "trials": record["trials"]}
    # What was tried is what is built: the gate's own comparison, and the same graph as by the method alone.
    assert kept["map_error"] == report.comparison.map_error and kept["images"] == report.comparison.images
    alone = shutil.copy(fp32_bundle, tmp_path / "alone.edgead")
    build_engine(alone, dataset, BuildOptions(target="openvino", method=record["method"], max_drop=0.5))
    assert read_bundle(alone).graph("int8") == read_bundle(bundle).graph("int8")
    assert read_record(read_bundle(alone))["trials"] == []


def test_the_images_that_set_the_ranges_judge_no_method(bundle, parts, monkeypatch):
    from edgead.export import build as module

    judging: set[str] = set()
    run_samples = module.run_samples

    def watched(engine, those, *rest):
        judging.update(sample.name for sample in those)
        return run_samples(engine, those, *rest)

    monkeypatch.setattr(module, "run_samples", watched)
    build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino", method="auto", max_drop=0.5))
    calibrating = {image["name"] for image in read_record(read_bundle(bundle))["images"]}
    assert judging and calibrating and not judging & calibrating


def test_where_every_method_is_refused_nothing_changes(bundle, parts):
    before = bundle.read_bytes()
    with pytest.raises(GateRefused, match=r"by every method of calibration: minmax: .*; entropy: .*; mse: "):
        build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino", method="auto", max_drop=-1.0))
    assert bundle.read_bytes() == before


def test_the_commands_show_what_each_method_gave(edgead, bundle, parts):
    said = edgead("calibrate", bundle, "--data", parts, "--method", "auto", "--max-drop", 0.5)
    table = said.splitlines()[-1 - len(METHODS) :]
    assert "image AUROC" in table[0] and [line.split()[0] for line in table[1:]] == list(METHODS)
    assert sum("<- kept" in line for line in table) == 1
    build = ("build-engine", bundle, "--calib-data", parts, "--target", "openvino", "--max-drop", 0.5)
    assert "<- kept" in edgead(*build, "--method", "auto")
    told = json.loads(edgead(*build, "--method", "mse", "--json"))
    assert told["calibration"] == {"method": "mse", "trials": []}
