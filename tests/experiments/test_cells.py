"""Cells: one for each training, each done once, any part of them, and a spread over seeds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from edgead.errors import TrainingError
from edgead.experiments.cells import device
from edgead.experiments.cells.lock import held
from edgead.experiments.cells.processes import Processes
from edgead.experiments.experiment import Work, prepare, run_experiment
from edgead.experiments.reading.number import Number
from edgead.experiments.reading.overrides import Overrides

FILE = """
title = "Small"
family = "lamp"
seeds = [0, 1]
[source]
paper = "A paper"
place = "table 1"
[options]
height = 32
width = 32
stages = 2
base_width = 4
[fit]
epochs = 2
keep = "last"
threads = 1
batch_size = 4
[fast]
seeds = [3]
train = 6
test = 6
rows = ["screw"]
options = { base_width = 2 }
fit = { epochs = 1 }
[series.all]
protocol = "unified"
[series.own]
protocol = "separate"
options = { amplified = false }
[columns]
all = { series = "all", measure = "image_auroc", mean = "80.5 ± 1.5" }
own = { series = "own", measure = "image_auroc" }
[rows]
bottle = { published = { all = "81.0 ± 2.0", own = 77 } }
screw = { published = { all = 80 } }
"""
CELLS = ["all-seed0", "own-bottle-seed0", "own-screw-seed0", "all-seed1", "own-bottle-seed1", "own-screw-seed1"]


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "small.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="session")
def seeded(path, two, tmp_path_factory):
    """(table, folder) of two seeds."""
    output = tmp_path_factory.mktemp("seeded") / "out"
    return run_experiment(path, two, output, Work()), output


def auroc(folder, name, category):
    return 100 * json.loads((folder / name / "result.json").read_text())["categories"][category]["image_auroc"]


def test_every_training_has_a_folder_with_what_came_out(seeded):
    table, output = seeded
    assert sorted(path.parent.name for path in output.glob("*/result.json")) == sorted(CELLS)
    assert [record.cell for record in table.records] == CELLS
    record = json.loads((output / "own-screw-seed1" / "result.json").read_text())
    assert (record["series"], record["row"], record["fold"], record["seed"]) == ("own", "screw", None, 1)
    assert record["images"] == {"train": 6, "validation": 2, "defects": 0, "test": 8}
    assert (record["epochs"], record["best_epoch"], record["threads"]) == (2, 1, 1)
    assert record["training"] > 0 and record["measuring"] > 0 and record["device"]
    assert record["commit"] == "release" or len(record["commit"].removesuffix("+changes")) == 40
    run = json.loads((output / "own-screw-seed1" / "run" / "run.json").read_text())
    assert run["fit"]["seed"] == 1 and run["options"]["amplified"] is False


def test_numbers_are_means_over_seeds_with_their_deviation(seeded):
    table, output = seeded
    for line, category in zip(table.lines, ("bottle", "screw"), strict=True):
        for column, name in (("all", "all-seed{}"), ("own", f"own-{category}-seed{{}}")):
            values = [auroc(output, name.format(seed), category) for seed in (0, 1)]
            number = line.measured[column]
            assert (number.count, number.planned) == (2, 2)
            assert number.mean == pytest.approx(np.mean(values))
            assert number.spread == pytest.approx(np.std(values, ddof=1))


def test_the_mean_is_over_rows_for_each_seed_and_its_spread_over_seeds(seeded):
    table, output = seeded
    means = [np.mean([auroc(output, f"own-{row}-seed{seed}", row) for row in ("bottle", "screw")]) for seed in (0, 1)]
    found = table.means[0].measured["own"]
    assert found.mean == pytest.approx(np.mean(means)) and found.spread == pytest.approx(np.std(means, ddof=1))
    assert table.means[0].published["all"] == Number(80.5, 1.5)


def test_the_files_show_the_spread(seeded):
    table, output = seeded
    markdown = (output / "table.md").read_text()
    number = table.lines[0].measured["all"]
    assert f"| bottle | 10 | 4 | 4 | 81.0 ± 2.0 | {number.mean:.1f} ± {number.spread:.1f} (2) | 77.0 |" in markdown
    assert "deviation over (so many) seeds" in markdown and "cells are done" not in markdown
    document = json.loads((output / "table.json").read_text())
    assert document == json.loads(json.dumps(table.to_json()))
    assert [cell["cell"] for cell in document["cells"]] == CELLS and document["seeds"] == [0, 1]
    assert all(
        {"seed", "commit", "device", "training", "measuring", "categories"} <= set(cell) for cell in document["cells"]
    )
    assert f"{number.mean:.1f} ± {number.spread:.1f} (2)" in (output / "report.html").read_text()


def test_a_finished_table_trains_and_measures_nothing(seeded, path, two, tmp_path, monkeypatch):
    output = shutil.copytree(seeded[1], tmp_path / "out")
    for name in ("fit", "evaluate", "predictor"):
        monkeypatch.delattr(f"edgead.experiments.cells.runner.{name}")
    shutil.rmtree(output / "own-screw-seed1" / "run")  # the weights are not looked at
    assert run_experiment(path, two, output, Work()).to_json() == seeded[0].to_json()
    assert (output / "report.html").read_bytes() == (seeded[1] / "report.html").read_bytes()


def test_a_run_that_was_not_measured_is_measured_and_not_trained(seeded, path, two, tmp_path, without_times):
    output = shutil.copytree(seeded[1], tmp_path / "out")
    (output / "all-seed1" / "result.json").unlink()
    weights = output / "all-seed1" / "run" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    table = run_experiment(path, two, output, Work())
    assert without_times(table) == without_times(seeded[0]) and weights.stat().st_mtime_ns == before
    (again,) = (record for record in table.records if record.training is None)  # nobody knows how long it took
    assert again.cell == "all-seed1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"changes": {"base_width": "2"}}, r"options.base_width"),
        ({"epochs": 3}, r"fit.epochs"),
    ],
)
def test_cells_of_other_work_are_refused_before_anything_is_trained(seeded, path, two, tmp_path, arguments, words):
    output = shutil.copytree(seeded[1], tmp_path / "out")
    (output / "all-seed0" / "result.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=f"other options or images \\({words}\\)"):
        run_experiment(path, two, output, Work(overrides=Overrides(**arguments)))
    assert before == {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}


def test_a_cell_that_this_call_would_not_do_is_refused_as_well(seeded, path, two, tmp_path):
    """The table is of all cells, so it could not be written when the training has ended."""
    output = tmp_path / "out"
    shutil.copytree(seeded[1] / "own-bottle-seed0", output / "own-bottle-seed0")
    work = Work(only=("own-screw-seed0",), overrides=Overrides(epochs=3))
    with pytest.raises(TrainingError, match=r"other options or images \(fit.epochs\)") as caught:
        run_experiment(path, two, output, work)
    assert "own-bottle-seed0" in str(caught.value)
    assert [folder.name for folder in output.iterdir()] == ["own-bottle-seed0"]


def test_threads_are_those_of_the_processes_unless_they_are_given(path, two, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    file = tmp_path / "open.toml"
    file.write_text(path.read_text().replace("threads = 1\n", ""))
    shared = Processes(0, 4, 0, 4)  # 2 of 8 cores
    output, only = tmp_path / "out", ("own-screw-seed0",)
    opened, given = prepare(file, two, output, Work(only=only)), prepare(path, two, tmp_path / "given", Work(only=only))
    before = torch.get_num_threads()
    try:
        opened.do(shared)
        given.do(shared)
    finally:
        torch.set_num_threads(before)
    threads = [
        json.loads((job.runner.output / only[0] / "result.json").read_text())["threads"] for job in (opened, given)
    ]
    assert threads == [2, 1]
    (cell,) = opened.chosen
    assert opened.runner.works.of(cell) == given.runner.works.of(given.chosen[0])
    # One that was interrupted goes on with as many, whatever there is now.
    run = output / cell.name / "run" / "run.json"
    (output / cell.name / "result.json").unlink()
    run.write_text(json.dumps({**json.loads(run.read_text()), "result": {}}))
    try:
        prepare(file, two, output, Work(only=only)).do()
    finally:
        torch.set_num_threads(before)
    document = json.loads((output / cell.name / "result.json").read_text())
    assert document["threads"] == 2 and document["training"] is None


def test_a_cell_that_another_process_is_doing_is_not_done_twice(path, two, tmp_path):
    work, output = Work(only=("own-screw-seed0",)), tmp_path / "out"
    with held(output / "own-screw-seed0"), pytest.raises(TrainingError, match="another process") as caught:
        run_experiment(path, two, output, work)
    assert "own-screw-seed0" in str(caught.value) and not output.exists()
    run_experiment(path, two, output, work)
    assert {file.name for file in (output / "own-screw-seed0").iterdir()} == {"run", "result.json"}


def test_the_commit_is_that_of_the_beginning(path, two, tmp_path, monkeypatch):
    """Somebody commits while the first cell trains."""
    head = ["a" * 40]
    monkeypatch.setattr("edgead.export.package.commit", lambda: head[0])
    monkeypatch.setattr("edgead.experiments.cells.runner.commit", cache(device.commit.__wrapped__))
    job = prepare(path, two, tmp_path / "out", Work(only=("own-*-seed0",)))
    job = replace(job, runner=replace(job.runner, progress=lambda *_: head.__setitem__(0, "b" * 40)))
    job.do()
    assert head == ["b" * 40] and [record.commit for record in job.write().records] == ["a" * 40] * 2


def test_other_threads_are_no_other_work(seeded, path, two, tmp_path):
    output = shutil.copytree(seeded[1], tmp_path / "out")
    again = run_experiment(path, two, output, Work(overrides=Overrides(changes={"threads": "2"})))
    assert again.lines == seeded[0].lines


def test_an_image_of_another_size_is_other_work(seeded, path, two, tmp_path):
    output, data = shutil.copytree(seeded[1], tmp_path / "out"), shutil.copytree(two, tmp_path / "data")
    image = next((data / "screw" / "train" / "good").iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(TrainingError, match=r"data.sha256"):
        run_experiment(path, data, output, Work())


def test_a_damaged_result_is_named(seeded, path, two, tmp_path):
    output = shutil.copytree(seeded[1], tmp_path / "out")
    (output / "all-seed0" / "result.json").write_text('{"version": 1}')
    with pytest.raises(TrainingError, match="damaged") as caught:
        run_experiment(path, two, output, Work())
    assert "all-seed0" in str(caught.value)


def test_any_part_of_the_grid_is_done(seeded, path, two, tmp_path):
    output = tmp_path / "out"
    job = prepare(path, two, output, Work(only=("own-*-seed0", "all-seed1")))
    assert [cell.name for cell in job.chosen] == ["own-bottle-seed0", "own-screw-seed0", "all-seed1"]
    assert job.states() == [(cell.name, "to do") for cell in job.chosen] and not output.exists()
    job.do()
    table = job.write()
    assert table.cells == (3, 6) and [state for _, state in job.states()] == ["done"] * 3
    whole = prepare(path, two, output, Work()).states()
    assert [name for name, _ in whole] == CELLS and [state for _, state in whole].count("done") == 3
    assert table.lines[0].measured["own"] == Number(auroc(seeded[1], "own-bottle-seed0", "bottle"), planned=2)
    markdown = (output / "table.md").read_text()
    assert "3 of 6 cells are done." in markdown and "[1 of 2]" in markdown
    rest = run_experiment(path, two, output, Work())  # the rest, and what is done stays
    assert rest.lines == seeded[0].lines and rest.means == seeded[0].means


def test_a_pattern_that_means_no_cell_is_refused(path, two, tmp_path):
    with pytest.raises(TrainingError, match="no cell is called 'none-\\*'"):
        prepare(path, two, tmp_path / "out", Work(only=("own-*", "none-*"))).do()


def test_states_tell_other_work(seeded, path, two):
    job = prepare(path, two, seeded[1], Work(overrides=Overrides(seeds=(1, 2), changes={"amplified": "off"})))
    assert dict(job.states()) == {
        "all-seed1": "other",
        "own-bottle-seed1": "done",
        "own-screw-seed1": "done",
        "all-seed2": "to do",
        "own-bottle-seed2": "to do",
        "own-screw-seed2": "to do",
    }


def test_a_fast_run_does_what_the_file_says_and_says_so(path, two, tmp_path):
    table = run_experiment(path, two, tmp_path / "out", Work(overrides=Overrides(fast=True)))
    assert [record.cell for record in table.records] == ["all-seed3", "own-screw-seed3"]
    for record in table.records:
        assert record.work["options"]["base_width"] == 2 and record.epochs == 1
        assert record.images["train"] + record.images["validation"] == 6 and record.images["test"] == 6
        assert list(record.categories) == ["screw"]
    assert [line.lacking for line in table.lines] == ["left out", ""]
    assert table.means[0].measured == {"all": None, "own": None}  # not over all rows
    facts = {fact.what: (fact.paper, fact.here) for fact in table.facts if fact.differs}
    assert facts["rows"] == ("all 2", "screw") and facts["base_width"] == ("4", "2") and facts["epochs"] == ("2", "1")
    assert facts["images to train at most"] == ("all", "6") and facts["seed"] == ("not stated; in the file 0, 1", "3")
    for name in ("table.md", "report.html"):
        assert "A fast run" in (tmp_path / "out" / name).read_text()
    assert table.to_json()["fast"] is True


def test_a_row_of_ones_own_is_in_no_mean_of_the_paper(seeded, path, two, tmp_path):
    output, file = shutil.copytree(seeded[1], tmp_path / "out"), tmp_path / "mine.toml"
    own = path.read_text().replace("screw = { published = { all = 80 } }", "screw = { own = true }")
    file.write_text(own)
    table = run_experiment(file, two, output, Work())
    (mean,) = table.means
    assert mean.measured["all"].mean == pytest.approx(table.lines[0].measured["all"].mean)
    assert table.lines[1].measured == seeded[0].lines[1].measured
    file.write_text(own.replace("[rows]\n", "[rows]\ncable = {}\n"))
    _, mean = run_experiment(file, two, output, Work()).means
    assert mean.name == "Mean of 1" and mean.published["all"] == Number(81.0)
    assert mean.measured["all"].mean == pytest.approx(table.lines[0].measured["all"].mean)
    fast = run_experiment(file, two, tmp_path / "fast", Work(overrides=Overrides(fast=True)))
    (rows,) = (fact for fact in fast.facts if fact.what == "rows")
    assert (rows.paper, rows.here) == ("all 2", "screw")
    assert [(mean.name, mean.measured["all"]) for mean in fast.means] == [("Mean", None)]


def test_what_is_given_counts_for_more_than_the_fast_run(path, two, tmp_path):
    overrides = Overrides(epochs=2, seeds=(5,), changes={"base_width": "3"}, fast=True)
    job = prepare(path, two, tmp_path / "out", Work(train=8, overrides=overrides))
    assert [cell.name for cell in job.chosen] == ["all-seed5", "own-screw-seed5"]
    for cell in job.plan.cells:
        assert cell.fit.epochs == 2 and cell.options["base_width"] == 3
        assert (len(cell.dataset.train), len(cell.dataset.test)) == (8, 6)
