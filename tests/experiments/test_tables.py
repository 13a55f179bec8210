"""Tables filled on a small data set: what is there is measured, what is not says so, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from edgead.data.layout import read_dataset
from edgead.errors import DataError, TrainingError
from edgead.evaluation.evaluate import evaluate
from edgead.experiments.cells.plan import NO_DATA, plan
from edgead.experiments.experiment import Work, run_experiment
from edgead.experiments.reading.experiment_file import read_experiment
from edgead.experiments.reading.number import Number
from edgead.experiments.reading.overrides import Overrides
from edgead.experiments.reading.shipped import find_experiment
from edgead.training.evaluate import predictor
from edgead.training.run import load_model, read_run


def lines_of(table):
    return {line.name: line for line in table.lines}


def mtimes(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.glob("*/run/*"))}


def test_each_row_is_measured_or_says_why_not(filled):
    lines = lines_of(filled[0])
    assert len(lines) == 15
    for name, line in lines.items():
        if name in ("Bottle", "Screw"):
            assert not line.lacking and all(0 <= value.mean <= 100 for value in line.measured.values())
            assert all(value == Number(value.mean) for value in line.measured.values())
        else:
            assert line.lacking == NO_DATA and set(line.measured.values()) == {None}
    assert (lines["Bottle"].train, lines["Bottle"].good, lines["Bottle"].bad) == (10, 4, 4)
    assert (lines["Screw"].train, lines["Screw"].good, lines["Screw"].bad) == (8, 3, 5)
    assert lines["Screw"].published == {"unified": Number(87.5), "separate": Number(91.9)}


def test_the_numbers_are_those_of_the_models_in_the_folders(filled, two):
    """Measured once more, without the kept features and by the package's own evaluation."""
    table, output = filled
    dataset = read_dataset(two)
    for folder, column, names in (
        ("unified-seed0", "unified", ("bottle", "screw")),
        ("separate-bottle-seed0", "separate", ("bottle",)),
        ("separate-screw-seed0", "separate", ("screw",)),
    ):
        model = load_model(output / folder / "run")
        samples = [sample for sample in dataset.test if sample.category in names]
        found = evaluate(predictor(model), samples, 64, 64)
        for name in names:
            measured = lines_of(table)[name.title()].measured[column].mean
            assert measured == pytest.approx(100 * found.categories[name].image_auroc, abs=1e-9)


def test_one_model_for_all_and_one_for_each(filled):
    folders = {path.parent.parent.name: read_run(path.parent) for path in filled[1].glob("*/run/run.json")}
    assert {name: tuple(run.data["classes"]) for name, run in folders.items()} == {
        "unified-seed0": ("bottle", "screw"),
        "separate-bottle-seed0": ("bottle",),
        "separate-screw-seed0": ("screw",),
    }
    assert all(run.fit["features"] == "disk" and run.fit["keep"] == "last" for run in folders.values())


def test_means_count_each_category_the_same(filled):
    table = filled[0]
    whole, two = table.means
    assert whole.published == {"unified": Number(96.5), "separate": Number(96.6)}
    assert set(whole.measured.values()) == {None}  # not over all 15
    assert two.name == "Mean of 2"
    for column in ("unified", "separate"):
        rows = [lines_of(table)[name] for name in ("Bottle", "Screw")]
        assert two.measured[column].mean == pytest.approx(np.mean([row.measured[column].mean for row in rows]))
        assert two.published[column].mean == pytest.approx(np.mean([row.published[column].mean for row in rows]))


def test_what_differs_from_the_paper_is_said(filled):
    facts = {fact.what: fact for fact in filled[0].facts if not fact.series}
    assert (facts["backbone"].paper, facts["backbone"].here) == ("efficientnet_b4", "mobilenet_v3_small")
    assert facts["its weights"].here.startswith("random")
    assert (facts["epochs"].paper, facts["epochs"].here) == ("1000", "1")
    assert facts["epoch that is measured"].here == "the last: 1"
    assert facts["hidden"].here == "16" and facts["seed"].here == "0"
    assert "threads" not in facts and "features" not in facts
    images = [fact.here for fact in filled[0].facts if fact.what == "images"]
    assert images == [
        "16 to train and 2 held out, 16 to test: 2 categories, 1 model",
        "16 to train and 2 held out, 16 to test: 2 categories, 2 models",
    ]


def test_the_files_say_the_same(filled):
    table, output = filled
    document = json.loads((output / "table.json").read_text())
    assert document == json.loads(json.dumps(table.to_json()))
    rows = {row["name"]: row for row in document["rows"]}
    measured = {name: number["mean"] for name, number in rows["Screw"]["measured"].items()}
    assert measured == {name: number.mean for name, number in table.lines[6].measured.items()}
    markdown = (output / "table.md").read_text()
    assert "| Cable |  |  |  | 95.2 | no data | 97.6 | no data |" in markdown
    unified = table.lines[6].measured["unified"].mean
    assert f"| Screw | 8 | 3 | 5 | 87.5 | {unified:.1f} | 91.9 |" in markdown
    # Every row of a Markdown table has as many cells as its head.
    tables = [part.splitlines() for part in markdown.split("\n\n") if part.startswith("|")]
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables) and len(tables) == 2


def test_finished_runs_are_used_again(filled, two, perform, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(filled[1], output)
    before = mtimes(output)
    again = perform("mvtec-detection", two, output, window=True)
    assert mtimes(output) == before and before
    assert again.to_json() == filled[0].to_json()


def test_an_interrupted_table_goes_on(filled, two, perform, without_times, tmp_path):
    """One model is missing, one stopped before its end: both end as they would have."""
    output = tmp_path / "out"
    shutil.copytree(filled[1], output)
    shutil.rmtree(output / "separate-screw-seed0")
    (output / "unified-seed0" / "result.json").unlink()
    broken = output / "unified-seed0" / "run" / "run.json"
    document = json.loads(broken.read_text())
    broken.write_text(json.dumps({**document, "result": {}}))
    before = mtimes(output)
    again = perform("mvtec-detection", two, output, window=True)
    assert without_times(again) == without_times(filled[0])
    assert [record.training is None for record in again.records] == [True, False, False]
    after = mtimes(output)
    kept = {path for path in before if "separate-bottle" in str(path)}
    assert all(after[path] == before[path] for path in kept) and len(kept) == 3
    for name in ("unified-seed0", "separate-screw-seed0"):
        weights = f"{name}/run/model.safetensors"
        assert (output / weights).read_bytes() == (filled[1] / weights).read_bytes()


def test_other_work_in_the_same_folder_is_refused(filled, two, perform, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(filled[1], output)
    with pytest.raises(TrainingError, match=r"other options or images \(fit.batch_size\)"):
        perform("mvtec-detection", two, output, window=True, batch_size=3)


def test_two_tables_share_their_models(filled, two, perform, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(filled[1], output)
    before = mtimes(output)
    pixels = perform("mvtec-localization", two, output, window=True)
    assert mtimes(output) == before
    assert lines_of(pixels)["Screw"].published["unified"] == Number(98.3)
    assert lines_of(pixels)["Screw"].measured != lines_of(filled[0])["Screw"].measured


FILE = """
title = "Small"
family = "uniad"
[source]
paper = "A paper"
place = "table 1"
[series.all]
protocol = "unified"
[columns]
AUROC = { series = "all", measure = "image_auroc", mean = 80 }
AUPRO = { series = "all", measure = "pixel_aupro" }
[rows]
%s
"""


@pytest.fixture
def small(tmp_path):
    def write(rows):
        path = tmp_path / "small.toml"
        path.write_text(FILE % rows)
        return path

    return write


def test_a_whole_table_has_a_whole_mean_and_subsets_are_drawn(small, two, perform, tmp_path):
    path = small('bottle = { published = { AUROC = 85 } }\n"SCREW" = { name = "The screw" }')
    table = perform(path, two, tmp_path / "out", window=True, train=6, test=8)
    assert [(line.name, line.train, line.good, line.bad) for line in table.lines] == [
        ("bottle", 3, 2, 2), ("The screw", 3, 2, 2)
    ]  # fmt: skip
    (mean,) = table.means
    for column in ("AUROC", "AUPRO"):
        values = [line.measured[column].mean for line in table.lines]
        assert mean.measured[column].mean == pytest.approx(np.mean(values))
    assert mean.published == {"AUROC": Number(80.0), "AUPRO": None}


def test_categories_that_the_paper_lacks_are_measured_beside_it(small, two, perform, tmp_path):
    table = perform(small("bottle = { published = { AUROC = 85 } }"), two, tmp_path / "out", window=True)
    assert [line.name for line in table.lines] == ["bottle", "screw (not in the paper)"]
    assert table.lines[1].published == {"AUROC": None, "AUPRO": None} and table.lines[1].measured["AUROC"] is not None
    assert table.means[0].measured["AUROC"] == table.lines[0].measured["AUROC"]


def test_categories_without_defects_or_masks_say_so(small, two, perform, tmp_path):
    root = shutil.copytree(two, tmp_path / "data")
    shutil.rmtree(root / "bottle" / "test" / "spot")
    shutil.rmtree(root / "bottle" / "ground_truth")
    shutil.rmtree(root / "screw" / "ground_truth")
    table = perform(small("bottle = {}\nscrew = {}"), root, tmp_path / "out", window=True)
    assert table.lines[0].lacking == "no defects to test"
    assert table.lines[1].measured["AUROC"] is not None and table.lines[1].measured["AUPRO"] is None
    shutil.rmtree(root / "screw" / "test" / "spot")
    with pytest.raises(DataError, match="no labelled defects"):
        perform(small("screw = {}"), root, tmp_path / "nothing", window=True)
    assert not (tmp_path / "nothing").exists()


def test_categories_that_are_called_the_same_are_refused(two, tmp_path):
    for name in ("metal_nut", "Metal nut"):
        shutil.copytree(two / "screw", tmp_path / "data" / name)
    with pytest.raises(DataError, match="called the same"):
        plan(read_experiment(find_experiment("mvtec-detection")), tmp_path / "data", None, None)


def test_unified_and_separate_models_see_the_same_images(two):
    experiment = replace(read_experiment(find_experiment("mvtec-detection")), seeds=(1,))
    unified, *separate = plan(experiment, two, 8, 6).cells
    for part in ("train", "test"):
        alone = [sample for cell in separate for sample in getattr(cell.dataset, part)]
        assert sorted(alone, key=lambda sample: sample.name) == list(getattr(unified.dataset, part))


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    """Ten classes of 12 x 12 pixels, each with its own gray, in one file."""
    random = np.random.default_rng(0)
    parts = {}
    for part, each in (("train", 6), ("test", 3)):
        labels = np.repeat(np.arange(10), each)
        noise = random.integers(0, 25, (len(labels), 12, 12))
        parts |= {f"{part}_images": (labels[:, None, None] * 22 + noise).astype(np.uint8), f"{part}_labels": labels}
    path = tmp_path_factory.mktemp("arrays") / "ten.npz"
    np.savez(path, **parts)
    return path


def test_one_class_tables_take_an_array_file(arrays, perform, tmp_path):
    table = perform("cifar10", arrays, tmp_path / "out", window=True, train=10, test=20)
    assert [line.published["UniAD"].mean for line in table.lines] == [84.4, 80.9, 93.0, 90.6]
    for line in table.lines:
        assert line.train == 10 and line.good + line.bad == 20 and 0 <= line.measured["UniAD"].mean <= 100
    (mean,) = table.means
    values = [line.measured["UniAD"].mean for line in table.lines]
    assert mean.measured["UniAD"].mean == pytest.approx(np.mean(values))
    runs = sorted(path.parent.parent for path in (tmp_path / "out").glob("*/run/run.json"))
    assert [path.name for path in runs] == [
        "normal-01234-seed0", "normal-02468-seed0", "normal-13579-seed0", "normal-56789-seed0"
    ]  # fmt: skip
    assert read_run(runs[1] / "run").data["classes"] == ["normal 0,2,4,6,8"]


def test_normal_classes_that_are_not_there_say_so(arrays, perform, tmp_path):
    loaded = dict(np.load(arrays))
    for part in ("train", "test"):
        few = loaded[f"{part}_labels"] < 6
        loaded |= {f"{part}_{kind}": loaded[f"{part}_{kind}"][few] for kind in ("images", "labels")}
    np.savez(tmp_path / "six.npz", **loaded)
    table = perform("cifar10", tmp_path / "six.npz", tmp_path / "out", window=True, train=6, test=12)
    assert [line.lacking for line in table.lines] == ["", NO_DATA, NO_DATA, NO_DATA]
    assert [mean.name for mean in table.means] == ["Mean", "Mean of 1"]


def test_a_detector_without_a_backbone_fills_a_table(small, two, tmp_path):
    path = small("bottle = { published = { AUROC = 85 } }")
    path.write_text(path.read_text().replace('"uniad"', '"lamp"'))
    texts = {"height": "32", "width": "32", "stages": "3", "base_width": "4", "threads": "1"}
    table = run_experiment(path, two, tmp_path / "out", Work("none", overrides=Overrides(epochs=1, changes=texts)))
    assert all(line.measured["AUROC"] is not None for line in table.lines)
    assert not any(fact.what in ("backbone", "its weights") for fact in table.facts)
    with pytest.raises(TrainingError, match="lamp has no backbone"):
        run_experiment(path, two, tmp_path / "other", Work(overrides=Overrides(backbone="resnet18")))


def test_a_detector_that_learns_from_defects_fills_a_table(two, perform, tmp_path):
    table = perform("adtr-mvtec", two, tmp_path / "out", train=8, test=8, heads=2)
    line = lines_of(table)["Screw"]
    assert set(line.measured) == {"ADTR, images", "ADTR, pixels", "ADTR+, images", "ADTR+, pixels"}
    assert all(value is not None for value in line.measured.values())
    assert (
        table.means[0].published["ADTR+, pixels"] == Number(97.5) and table.means[1].published["ADTR+, pixels"] is None
    )
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders == {f"{name}-{row}-seed0" for name in ("adtr", "adtr-plus") for row in ("bottle", "screw")}
