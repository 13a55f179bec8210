"""Experiment files: the shipped ones hold the papers' numbers, and a bad one is refused with its file and key."""

from __future__ import annotations

import pytest

from edgead.errors import DataError, EdgeadError, TrainingError
from edgead.experiments.reading.experiment_file import read_experiment
from edgead.experiments.reading.number import Number
from edgead.experiments.reading.overrides import Overrides, changed
from edgead.experiments.reading.shipped import find_experiment, shipped

# Copied by hand from the slides: the means below the tables, and a few rows.
MEANS = {
    "mvtec-detection": {"unified": 96.5, "separate": 96.6},
    "mvtec-localization": {"unified": 96.8, "separate": 96.6},
    "cifar10": {"UniAD": 87.2},
}
ROWS = {
    "mvtec-detection": {"screw": (87.5, 91.9), "capsule": (86.9, 85.3), "leather": (100, 100), "wood": (98.6, 97.9)},
    "mvtec-localization": {"bottle": (98.1, 98.1), "metal_nut": (94.8, 95.7), "wood": (93.2, 93.4)},
    "cifar10": {"{01234}": (84.4,), "{56789}": (80.9,), "{02468}": (93.0,), "{13579}": (90.6,)},
}


AUTHORS = dict.fromkeys(["adtr-mvtec", "cifar10", "mvtec-detection", "mvtec-localization", "shortcut"], "You et al., ")
OTHERS = {
    **dict.fromkeys(["lamp-mnist", "lamp-mvtec"], "Park et al., "),
    **dict.fromkeys(["lea-net", "lea-net-imbalance", "lea-net-self-attention"], "Hayakawa et al., "),
}


def shipped_one(name):
    return read_experiment(find_experiment(name))


def test_all_shipped_files_are_read():
    assert shipped() == sorted([*AUTHORS, *OTHERS])
    for name in shipped():
        experiment = shipped_one(name)
        assert experiment.name == name and experiment.source.paper.startswith({**AUTHORS, **OTHERS}[name])
        for series in experiment.series:
            assert series.model_options().get("backbone", "efficientnet_b4") == "efficientnet_b4"
            assert series.fit_options().keep == "last"  # never an epoch chosen by test images


@pytest.mark.parametrize("name", MEANS)
def test_published_rows_have_the_published_mean(name):
    experiment = shipped_one(name)
    assert {column.name: column.mean.mean for column in experiment.columns} == MEANS[name]
    for column, mean in MEANS[name].items():
        values = [row.published[column].mean for row in experiment.rows]
        assert len(values) == (4 if name == "cifar10" else 15)
        # Rows and mean are each rounded to one decimal.
        assert abs(sum(values) / len(values) - mean) <= 0.05 + 1e-9


@pytest.mark.parametrize("name", ROWS)
def test_published_rows_are_those_of_the_slides(name):
    experiment = shipped_one(name)
    rows = {row.key: row for row in experiment.rows}
    for key, numbers in ROWS[name].items():
        assert tuple(number.mean for number in rows[key].published.values()) == numbers


def test_cifar10_is_measured_as_the_paper_does():
    experiment = shipped_one("cifar10")
    assert [row.normal for row in experiment.rows] == [
        (0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (0, 2, 4, 6, 8), (1, 3, 5, 7, 9)
    ]  # fmt: skip
    options = experiment.series[0].model_options()
    assert options["score"] == "mean"
    assert options["taps"] == "features.1,features.2,features.3,features.5,features.7"


def test_adtr_has_the_means_alone():
    experiment = shipped_one("adtr-mvtec")
    assert [column.mean.mean for column in experiment.columns] == [96.4, 97.2, 96.9, 97.5]
    assert all(not row.published for row in experiment.rows) and len(experiment.rows) == 15


# Copied by hand from the paper's tables: all of table 1; of table 2 the averages and some rows, L2 first, plain and
# amplified with each of SGD, RMSprop and Adam.
BATCHES = (1024, 128, 32, 16, 4, 1)
L2, LAMP = (65.8, 91.9, 92.1, 92.6, 93.1, 91.9), (71.2, 92.5, 92.9, 92.9, 93.2, 92.7)
AVERAGES = (84.0, 85.1, 88.5, 89.1, 87.4, 86.1, 83.7, 84.8, 87.8, 87.7, 86.0, 86.4, 79.8, 79.9, 87.4, 86.3, 86.3, 86.3)
SOME = {
    "bottle": (98.7, 98.3, 99.0, 99.0, 99.3, 99.1),
    "metal_nut": (63.7, 66.5, 76.2, 69.1, 78.5, 69.4),
    "tile": (56.2, 69.7, 83.6, 91.1, 65.8, 67.0),
}


def test_lamp_has_the_means_of_table_1():
    experiment = shipped_one("lamp-mnist")
    stated = [(column.series, column.mean.mean) for column in experiment.columns]
    expected = [(f"l2-{size}", mean) for size, mean in zip(BATCHES, L2, strict=True)]
    assert stated == expected + [(f"lamp-{size}", mean) for size, mean in zip(BATCHES, LAMP, strict=True)]
    assert [row.normal for row in experiment.rows] == [(digit,) for digit in range(10)]
    for series in experiment.series:
        options, fit = series.model_options(), series.fit_options()
        assert (options["stages"], options["height"], options["score"], options["map_window"]) == (4, 32, "mean", 1)
        assert options["loss"] == "l2" and options["amplified"] == series.name.startswith("lamp-")
        assert fit.batch_size == int(series.name.split("-")[1])


def test_lamp_has_the_numbers_of_table_2():
    experiment = shipped_one("lamp-mvtec")
    assert tuple(column.mean.mean for column in experiment.columns) == AVERAGES
    rows = {row.key: [number.mean for number in row.published.values()] for row in experiment.rows}
    assert len(rows) == 15 and all(len(numbers) == 18 for numbers in rows.values())
    for key, numbers in SOME.items():
        assert tuple(rows[key][:6]) == numbers
    for place, mean in enumerate(AVERAGES):  # the paper's averages of L2 with SGD and Adam are cut off, not rounded
        assert abs(sum(numbers[place] for numbers in rows.values()) / 15 - mean) < 0.1
    for series in experiment.series:
        options, fit = series.model_options(), series.fit_options()
        amplified, (loss, optimizer) = series.name.startswith("lamp-"), series.name.removeprefix("lamp-").split("-")
        assert (options["loss"], options["amplified"], fit.optimizer) == (loss, amplified, optimizer)
        assert fit.batch_size == 16 and options["score"] == "mean"


def test_fast_runs_change_what_they_say():
    digits = changed(shipped_one("lamp-mnist"), Overrides(fast=True))
    assert digits.kept == ("0", "1", "8") and len(digits.left_out) == 7
    assert {series.fit_options().epochs for series in digits.series} == {8}
    screws = changed(shipped_one("lamp-mvtec"), Overrides(fast=True))
    assert screws.kept == ("screw",) and {series.model_options()["height"] for series in screws.series} == {64}


GOOD = """
title = "A table"
family = "uniad"
[source]
paper = "A paper"
place = "table 1"
[options]
hidden = 16
[fit]
epochs = 3
[series.all]
protocol = "unified"
[columns]
ours = { series = "all", measure = "image_auroc", mean = 90 }
[rows]
screw = { published = { ours = 90.0 } }
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


def test_a_file_of_ones_own_is_read(file):
    experiment = read_experiment(file(GOOD))
    assert experiment.columns[0].mean == Number(90.0)
    assert experiment.rows[0].published == {"ours": Number(90.0)}
    assert experiment.seeds == (0,) and experiment.fast is None
    assert experiment.series[0].fit_options().epochs == 3
    assert experiment.series[0].fit_options().features == "disk"
    assert experiment.series[0].fit_options().batch_size == 8  # the family's own


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "A table"', "", ["title is missing", "add title"]),
        ('title = "A table"', "title = 3", ["title is 3", "make it text"]),
        ('title = "A table"', 'title = "A table"\ncolour = "red"', ["colour", "it may have"]),
        ('family = "uniad"', "", ["series.all", "family is missing"]),
        ('family = "uniad"', 'family = "unaid"', ["series.all", "no family 'unaid'", "adtr-plus"]),
        ("hidden = 16", "hiden = 16", ["series.all, options", "no option 'hiden'", "hidden"]),
        ("hidden = 16", 'hidden = "16"', ["series.all, options", "hidden is '16'", "whole number"]),
        ("hidden = 16", "hidden = 15", ["series.all", "divide into 8 heads"]),
        ("hidden = 16", 'backbone = "vgg11"', ["series.all, options", "no backbone 'vgg11'", "vgg16"]),
        ("epochs = 3", "epochs = 3.5", ["series.all, fit", "epochs is 3.5"]),
        ("epochs = 3", "epochs = 0", ["series.all", "at least 1"]),
        ("epochs = 3", "epochs = true", ["series.all, fit", "epochs is True"]),
        ('"unified"', '"united"', ["series.all", "no protocol 'united'", "unified, separate, one-class, folds"]),
        ('"unified"', '"one-class"', ["rows.screw", "normal is missing"]),
        ('"unified"', '"folds"', ["series.all", "protocol is 'folds'", "uniad does not learn to tell", "leanet"]),
        ("published = { ours = 90.0 }", "published = { ours = 90.0 }, own = true", ["rows.screw", "own is true"]),
        ("published = { ours = 90.0 }", "own = 1", ["rows.screw", "own is 1", "true or false"]),
        ("[series.all]", '[series."All of them"]', ["names folders"]),
        ('series = "all"', 'series = "none"', ["columns.ours", "no series 'none'"]),
        ('"image_auroc"', '"accuracy"', ["columns.ours", "no measure 'accuracy'", "pixel_aupro"]),
        ("mean = 90", "mean = 900", ["columns.ours", "mean is 900", "0 to 100"]),
        ("mean = 90", 'mean = "90 + 1"', ["columns.ours", "mean is '90 + 1'", "88.4 ± 4.5 (4)"]),
        ("mean = 90", 'mean = "101.0 ± 1"', ["columns.ours", "mean is '101.0 ± 1'"]),
        ("epochs = 3", "epochs = 3\nseed = 1", ["series.all", "seed", "seeds = [0, 1, 2]"]),
        ('family = "uniad"', 'family = "uniad"\nseeds = [1, 1]', ["seeds is [1, 1]", "different whole numbers"]),
        ('family = "uniad"', 'family = "uniad"\nseeds = [-1]', ["seeds is [-1]"]),
        ("[rows]", '[fast]\nrows = ["bolt"]\n[rows]', ["fast", "no row 'bolt'", "screw"]),
        ("[rows]", "[fast]\ntrain = 0\n[rows]", ["fast", "train is 0"]),
        ("[rows]", "[fast]\nslow = 1\n[rows]", ["fast", "nothing called 'slow'"]),
        ("[rows]", "[fast]\noptions = { hiden = 3 }\n[rows]", ["fast.options", "no option 'hiden'"]),
        ("[rows]", '[fast]\nfit = { epochs = "3" }\n[rows]', ["fast.fit", "epochs is '3'"]),
        ('"image_auroc"', '"f1"', ["columns.ours", "no measure 'f1'"]),
        ("ours = 90.0", "theirs = 90.0", ["rows.screw.published", "theirs", "it may have ours"]),
        ("ours = 90.0", 'ours = "90%"', ["rows.screw.published", "ours is '90%'"]),
        ("screw =", "every = 3\nscrew =", ["rows", "every"]),
        ('family = "uniad"', 'family = "uniad"\nevery = 10', ["curves every 10 epochs", "every for a figure"]),
        ("[rows]\nscrew = { published = { ours = 90.0 } }", "", ["no rows"]),
        ("[source]", "[source", ["no TOML"]),
    ],
)
def test_a_bad_file_is_named_with_its_key(file, old, new, words):
    assert GOOD.count(old) == 1
    path = file(GOOD.replace(old, new))
    with pytest.raises((DataError, TrainingError)) as caught:
        read_experiment(path)
    for word in ["mine.toml", *words]:
        assert word in str(caught.value)


def test_protocols_that_need_other_rows_are_not_mixed(file):
    more = '[series.some]\nprotocol = "one-class"\n[columns]'
    with pytest.raises(DataError, match="two files"):
        read_experiment(file(GOOD.replace("[columns]", more)))


def test_a_missing_experiment_is_named():
    with pytest.raises(DataError, match="mvtec-detection"):
        find_experiment("mvtec-detecton")
    with pytest.raises(DataError, match="cannot be read"):
        read_experiment(find_experiment("nowhere.toml"))


def test_the_command_line_changes_the_model_and_the_training():
    meant = shipped_one("cifar10")
    texts = {"hidden": "32", "learning_rate": "2e-3", "mask_encoder": "off", "score": "max"}
    (series,) = changed(meant, Overrides("mobilenet_v2", 5, None, (7,), texts)).series
    options, fit = series.model_options(), series.fit_options(7)
    assert (options["hidden"], options["mask_encoder"], options["score"]) == (32, False, "max")
    assert (fit.epochs, fit.seed, fit.learning_rate) == (5, 7, 0.002)
    # The file's taps are those of its backbone.
    assert options["backbone"] == "mobilenet_v2" and options["taps"].startswith("features.3,")
    assert changed(meant, Overrides(backbone="efficientnet_b4")) == meant


def test_an_option_is_changed_where_a_series_has_it():
    plain, plus = changed(shipped_one("adtr-mvtec"), Overrides(changes={"alpha": "0.1"})).series
    assert "alpha" not in plain.options and plus.options["alpha"] == 0.1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (Overrides(changes={"hiden": "3"}), "no option 'hiden'"),
        (Overrides(changes={"hidden": "many"}), "hidden is 'many'"),
        (Overrides(changes={"mask_encoder": "perhaps"}), "true or false"),
        (Overrides(changes={"hidden": "15"}), "divide"),
        (Overrides(every=3), "a table has no curves"),
        (Overrides(seeds=(1, 1)), "twice"),
        (Overrides(changes={"seed": "3"}), "give it with --seed"),
        (Overrides(fast=True), "no fast run"),
    ],
)
def test_a_change_that_cannot_be_is_refused(overrides, words):
    with pytest.raises(EdgeadError, match=words):
        changed(shipped_one("mvtec-detection"), overrides)
