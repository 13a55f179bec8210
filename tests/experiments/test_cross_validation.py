"""Cross-validation: every image tested once by a model that has not seen it, nor has the one below it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.data.split import split_validation
from edgead.errors import DataError, TrainingError
from edgead.experiments.cells.processes import Processes
from edgead.experiments.experiment import Work, prepare, run_experiment
from edgead.experiments.reading.experiment_file import read_experiment
from edgead.experiments.reading.number import Number
from edgead.experiments.reading.overrides import Overrides, changed
from edgead.experiments.reading.shipped import find_experiment
from edgead.training.evaluate import predictor
from edgead.training.run import load_model, read_run

FILE = """
title = "Folds"
family = "leanet"
folds = 2
[source]
paper = "A paper"
place = "table 1"
[options]
network = "resnet18"
height = 64
width = 64
unet_width = 4
unet_blocks = 0
color_epochs = 1
[fit]
epochs = 1
batch_size = 8
threads = 1
keep = "last"
features = "memory"
[series.plain]
protocol = "folds"
options = { external = "none" }
[series.direct]
protocol = "folds"
options = { external = "direct" }
best_of = { option = "points", values = ["2", "4"] }
[columns]
plain = { series = "plain", measure = "f1" }
direct = { series = "direct", measure = "f1" }
AUROC = { series = "direct", measure = "image_auroc" }
[rows]
bottle = { published = { plain = "64.2 ± 9.7", direct = "70.7 ± 3.7 (1)" } }
few = { category = "bottle", good = 6, bad = 4 }
"""
FAMILY = {("plain", ""), ("direct", "2"), ("direct", "4")}


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "folds.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="session")
def validated(path, two, tmp_path_factory):
    """(table, folder, plan) of two rows of one category; the other category is not in the paper."""
    output = tmp_path_factory.mktemp("validated") / "out"
    job = prepare(path, two, output, Work(only=("*-bottle-*", "*-few-*")))
    job.do()
    return job.write(), output, job.plan


def test_every_image_is_tested_once_by_models_that_have_not_seen_it(validated, two):
    dataset = read_dataset(two)
    everything = {sample.name for sample in (*dataset.train, *dataset.test) if sample.category == "bottle"}
    _, _, plan = validated
    for series, tried in FAMILY:
        cells = [
            cell for cell in plan.cells if (cell.series.name, cell.series.tried, cell.row) == (series, tried, "bottle")
        ]
        assert [cell.fold for cell in cells] == [0, 1]
        tested = [sample.name for cell in cells for sample in cell.dataset.test]
        assert sorted(tested) == sorted(everything)
        for cell in cells:
            learnt = {sample.name for sample in (*cell.dataset.train, *cell.defects)}
            assert learnt == everything - {sample.name for sample in cell.dataset.test}
            assert not any(sample.anomalous for sample in cell.dataset.train)
            assert cell.defects and all(sample.anomalous for sample in cell.defects)


def test_the_colorizer_of_a_fold_sees_good_training_images_alone_and_is_shared(validated):
    _, output, plan = validated
    assert [base.name for base in plan.bases][:4] == [
        f"colorizer-{row}-fold{fold}-seed0" for row in ("bottle", "few") for fold in (0, 1)
    ]
    for cell in plan.cells:
        if cell.series.name == "plain":
            assert cell.base is None
            continue
        assert cell.base.name == f"colorizer-{cell.row}-fold{cell.fold}-seed0"
        # Those that the classifier trains on, without those that it holds out.
        assert cell.base.dataset.train == split_validation(cell.dataset.train, cell.fit.validation, 0)[0]
    for row in ("bottle", "few"):
        for fold in (0, 1):
            run = output / f"colorizer-{row}-fold{fold}-seed0" / "run"
            assert read_run(run).family == "colorizer"
            for point in ("2", "4"):
                model = load_model(output / f"direct-points{point}-{row}-fold{fold}-seed0" / "run")
                below = load_model(run).state_dict()
                assert all((model.colorizer.state_dict()[name] == below[name]).all() for name in below)
    assert not list(output.glob("*/run/colorizer"))


def test_f1_is_that_of_the_models_in_the_folders(validated):
    _, output, plan = validated
    for cell in plan.cells:
        if cell.row in ("bottle", "few"):
            model = load_model(output / cell.name / "run")
            scores = predictor(model)(load_images(cell.dataset.test, 64, 64))["score"]
            labels = [sample.anomalous for sample in cell.dataset.test]
            found = json.loads((output / cell.name / "result.json").read_text())["categories"]["bottle"]["f1"]
            assert found == pytest.approx(f1_score(labels, scores >= 0.5, zero_division=0), abs=1e-12)


def test_numbers_are_means_over_folds_of_the_best_option(validated):
    table, output, _ = validated

    def values(name, measure="f1"):
        documents = [json.loads((output / f"{name}-fold{fold}-seed0" / "result.json").read_text()) for fold in (0, 1)]
        return [100 * document["categories"]["bottle"][measure] for document in documents]

    for line, row in zip(table.lines[:2], ("bottle", "few"), strict=True):
        plain = values(f"plain-{row}")
        assert line.measured["plain"] == Number(
            pytest.approx(np.mean(plain)), pytest.approx(np.std(plain, ddof=1)), 2, 2
        )
        for column, measure in (("direct", "f1"), ("AUROC", "image_auroc")):
            tried = {point: values(f"direct-points{point}-{row}", measure) for point in ("2", "4")}
            best = max(tried, key=lambda point: np.mean(tried[point]))
            assert line.measured[column].best == best
            assert line.measured[column].mean == pytest.approx(np.mean(tried[best]))
            (chosen,) = (one for one in table.tried if one.column == column)
            for point, found in tried.items():
                assert chosen.numbers[point][line.name].mean == pytest.approx(np.mean(found))
    assert table.lines[0].published == {
        "plain": Number(64.2, 9.7),
        "direct": Number(70.7, 3.7, best="1"),
        "AUROC": None,
    }


def test_the_files_show_the_best_and_all(validated):
    table, output, _ = validated
    markdown, number = (output / "table.md").read_text(), table.lines[0].measured["direct"]
    assert f"70.7 ± 3.7 (1) | {number.mean:.1f} ± {number.spread:.1f} ({number.best})" in markdown
    assert "| direct, points 2 |" in markdown and "over 2 folds" in markdown and "the best points" in markdown
    document = json.loads((output / "table.json").read_text())
    assert {cell["series"] for cell in document["cells"]} == {"plain", "direct", "colorizer"}
    assert set(document["tried"][0]["values"]) == {"2", "4"} and document["folds"] == 2
    assert "direct, points 4" in (output / "report.html").read_text()
    facts = {fact.what: fact.here for fact in table.facts}
    assert facts["points"] == "the best of 2, 4 on the test images"


def test_the_best_is_said_of_those_that_were_tried(validated, path, two, tmp_path):
    output = shutil.copytree(validated[1], tmp_path / "out")

    def written():
        table = prepare(path, two, output, Work()).write()
        (fact,) = (fact for fact in table.facts if fact.what == "points")
        return table, fact, (output / "table.md").read_text()

    paper, mark = "the best of 2, 4 on the test images", "In parentheses the best points of those that were tried."
    table, fact, markdown = written()
    assert (fact.paper, fact.here, fact.differs) == (paper, paper, False) and mark in markdown
    # Half of a value is no rival, whatever it gives.
    (output / "direct-points4-bottle-fold1-seed0" / "result.json").unlink()
    table, fact, markdown = written()
    bottle, few = (line.measured["direct"] for line in table.lines[:2])
    whole = [one.numbers["2"]["bottle"] for one in table.tried if one.column == "direct"]
    assert [bottle] == whole and (bottle.best, bottle.count) == ("", 2) and few.best
    assert (fact.here, fact.differs) == (paper, False) and mark in markdown
    for result in output.glob("direct-points4-*/result.json"):
        result.unlink()
    table, fact, markdown = written()
    assert not any(number and number.best for line in table.lines for number in line.measured.values())
    assert (fact.paper, fact.here, fact.differs) == (paper, "2", True)
    assert mark not in markdown and "In parentheses the paper's best points." in markdown


def test_rows_have_their_counts_and_the_paper_s_own(validated):
    table, _, _ = validated
    counts = [(line.name, line.good, line.bad, line.lacking) for line in table.lines]
    assert counts == [("bottle", 14, 4, ""), ("few", 6, 4, ""), ("screw (not in the paper)", 11, 5, "")]
    assert table.lines[2].measured["plain"] is None and table.cells == (12, 18)


def test_cells_that_share_a_colorizer_are_done_by_one_process(validated):
    _, _, plan = validated
    shares = [Processes(rank, 2).share(plan.cells) for rank in (0, 1)]
    bases = [{cell.base.name for cell in share if cell.base} for share in shares]
    assert not bases[0] & bases[1] and len(bases[0]) == len(bases[1]) == 3
    assert {base.group for base in plan.bases} == {cell.group for cell in plan.cells}
    assert sorted(cell.name for share in shares for cell in share) == sorted(cell.name for cell in plan.cells)


def test_a_finished_cross_validation_goes_on_from_where_it_was(validated, path, two, tmp_path, monkeypatch):
    output = shutil.copytree(validated[1], tmp_path / "out")
    for name in ("fit", "evaluate"):
        monkeypatch.delattr(f"edgead.experiments.cells.runner.{name}")
    job = prepare(path, two, output, Work(only=("*-bottle-*", "*-few-*")))
    job.do()
    assert job.write().to_json() == validated[0].to_json()
    # Another colorizer would give other results.
    other = Overrides(changes={"color_epochs": "2"})
    with pytest.raises(TrainingError, match=r"fit.epochs.*colorizer-bottle-fold0-seed0"):
        prepare(path, two, output, Work(only=("direct-*-bottle-*",), overrides=other)).do()


def test_weights_go_where_nobody_wants_them(path, two, tmp_path):
    text = path.read_text().replace("folds = 2", "folds = 2\nkeep_weights = false")
    (tmp_path / "mine.toml").write_text(text)
    output, only = tmp_path / "out", ("direct-points2-few-fold0-*",)
    job = prepare(tmp_path / "mine.toml", two, output, Work(only=only))
    job.do()
    assert [path.parent.parent.name for path in output.glob("*/run/model.safetensors")] == ["colorizer-few-fold0-seed0"]
    assert job.missing(Processes()) == [] and job.write().cells == (1, 18)


def test_an_option_that_is_given_is_not_tried(path):
    series = changed(read_experiment(path), Overrides(changes={"points": "3"})).series
    assert [[one.options["points"] for one in each.variants()] for each in series] == [["3"], ["3"]]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("folds = 2", "folds = 1", "1 folds"),
        ('values = ["2", "4"]', 'values = ["2", "2"]', "different values"),
        ('values = ["2", "4"]', "values = [2, 4]", "points is 2"),
        ('values = ["2", "4"]', 'values = ["2", "6"]', "points '6'"),
        ('option = "points"', 'option = "pints"', "no option 'pints'"),
        ("good = 6", "good = 0", "good is 0"),
        ('published = { plain = "64.2 ± 9.7"', 'published = { plain = "64.2 +- 9.7"', "plain is '64.2"),
        ('[series.plain]\nprotocol = "folds"', '[series.plain]\nprotocol = "separate"', "two files"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, old, new, words):
    assert FILE.count(old) == 1
    (tmp_path / "bad.toml").write_text(FILE.replace(old, new))
    with pytest.raises((DataError, TrainingError), match=words) as caught:
        read_experiment(tmp_path / "bad.toml")
    assert "bad.toml" in str(caught.value)


def test_fewer_images_cannot_be_asked_for(path, two, tmp_path):
    with pytest.raises(TrainingError, match="every image"):
        run_experiment(path, two, tmp_path / "out", Work(train=4))


def test_too_few_images_for_the_folds_say_so(path, two, tmp_path):
    (tmp_path / "mine.toml").write_text(path.read_text().replace("folds = 2", "folds = 5"))
    job = prepare(tmp_path / "mine.toml", two, tmp_path / "out", Work())
    assert job.plan.lacking == {"bottle": "4 defects for 5 folds", "few": "4 defects for 5 folds"}
    assert {cell.row for cell in job.plan.cells} == {"screw"}


# Copied by hand from table 3: the first column, and a few others.
RETINA = {
    "ResNet18": "64.2 ± 9.7", "ResNet50": "54.4 ± 15.5", "ResNet18, map input": "41.2 ± 0.5",
    "ResNet18, 4-channel input": "44.3 ± 5.4", "ResNet18, attentioned input": "61.6 ± 10.8",
    "ResNet18 + direct attention": "71.8 ± 4.7 (3)", "ResNet18 + MobileNet-like CAAN": "70.7 ± 3.7 (1)",
    "ResNet18 + ResNet-like CAAN": "73.7 ± 4.5 (1)", "VGG16": "70.9 ± 11.9", "VGG19": "69.2 ± 6.8",
    "VGG16, map input": "39.9 ± 1.2", "VGG16, 4-channel input": "45.8 ± 3.1", "VGG16, attentioned input": "72.6 ± 5.6",
    "VGG16 + direct attention": "75.4 ± 6.0 (5)", "VGG16 + MobileNet-like CAAN": "74.4 ± 6.8 (3)",
    "VGG16 + ResNet-like CAAN": "76.4 ± 6.9 (5)",
}  # fmt: skip
OTHERS = {
    ("potato", "ResNet18 + ResNet-like CAAN"): "94.8 ± 3.9 (4)",
    ("cloud", "VGG19"): "79.4 ± 4.1",
    ("leather", "VGG16, 4-channel input"): "92.5 ± 3.3",
    ("tile", "VGG16 + ResNet-like CAAN"): "76.2 ± 3.5 (5)",
    ("tile", "ResNet18, attentioned input"): "54.4 ± 22.0",
}
COUNTS = {"retina": (337, 98), "potato": (152, 50), "cloud": (300, 100), "leather": (277, 92), "tile": (263, 84)}


def test_lea_net_has_the_numbers_of_table_3():
    experiment = read_experiment(find_experiment("lea-net"))
    rows = {row.key: row for row in experiment.rows}
    assert {name: number.text(False) for name, number in rows["retina"].published.items()} == RETINA
    for (row, column), text in OTHERS.items():
        assert rows[row].published[column].text(False) == text
    assert {key: (row.good, row.bad) for key, row in rows.items() if row.published} == COUNTS
    own = rows["plantvillage_cherry"]
    assert (own.good, own.bad) == (152, 50) and own.own and not own.published
    assert [row.key for row in experiment.of_paper] == list(COUNTS)
    for series in experiment.series:
        options, fit = series.model_options(), series.fit_options()
        assert (fit.epochs, fit.batch_size, fit.optimizer) == (100, 16, "adam")
        assert fit.learning_rate == (1e-5 if options["network"].startswith("vgg") else 1e-3)
        foundation = series.foundation(0)
        assert (foundation is None) == (options["external"] == "none")
        if foundation:
            assert (foundation.fit.epochs, foundation.fit.learning_rate, foundation.fit.keep) == (500, 1e-4, "best")
        attended = options["external"] in ("direct", "mobilenet", "resnet")
        assert len(series.variants()) == (5 if attended else 1)


@pytest.mark.parametrize(
    ("name", "models", "variants"),
    [("lea-net", 16, 10 + 6 * 5), ("lea-net-imbalance", 6, 6), ("lea-net-self-attention", 6, 6)],
)
def test_lea_net_files_have_fast_runs_that_can_be(name, models, variants):
    experiment = read_experiment(find_experiment(name))
    assert experiment.cross_validated and experiment.folds == 5 and not experiment.keep_weights
    fast = changed(experiment, Overrides(fast=True))
    assert len(fast.series) == models and all(row.startswith("plantvillage_cherry") for row in fast.kept)
    for series in fast.series:
        options = series.model_options()
        assert (options["height"], options["unet_width"], options["unet_blocks"]) == (64, 16, 1)
    assert sum(len(series.variants()) for series in fast.series) == variants
    assert replace(fast, series=experiment.series, kept=()) == experiment


def test_fewer_bad_parts_are_among_as_many_good_ones():
    rows = read_experiment(find_experiment("lea-net-imbalance")).rows
    there = {"retina": 337, "potato": 152, "plantvillage_cherry": 152}  # good ones, of which none are left out
    assert [row.category for row in rows] == [name for name in there for _ in range(2)]
    for row in rows:
        share = 100 * row.bad / (row.good + row.bad)
        assert row.good == there[row.category] and f", {share:.1f} % bad" in row.name
        assert row.own == (row.category == "plantvillage_cherry")
    for whole, half in zip(rows[::2], rows[1::2], strict=True):
        first, second = (row.bad / (row.good + row.bad) for row in (whole, half))
        assert second == pytest.approx(first / 2, abs=0.003) and not half.published
    assert [{name: number.text(False) for name, number in row.published.items()} for row in rows[:1]] == [
        {column.name: RETINA[column.name] for column in read_experiment(find_experiment("lea-net-imbalance")).columns}
    ]
