"""What commands refuse before they begin: numbers that are none, results that would destroy something, options that
contradict each other. Nothing is written then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgead.bundle import GRAPH
from edgead.cli.main import main
from edgead.cli.options import PRECISIONS, TARGETS, dataclass_options
from edgead.engines.targets import candidates
from edgead.export.verification.gate import Budget
from edgead.manifest import MAX_BATCH, schema


@pytest.fixture
def place(fp32_bundle, parts, run, tmp_path, monkeypatch):
    """A folder to work in: a bundle, the data, a run, an empty folder and a file that is none of these."""
    shutil.copy(fp32_bundle, tmp_path / "part.edgead")
    (tmp_path / "parts").symlink_to(parts)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("precious")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def refused(capsys, place, command: str, code: int) -> str:
    """The one line that says why a command was refused; it has changed nothing."""
    before = contents(place)
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    captured = capsys.readouterr()
    assert ended.value.code == code, captured.err
    assert contents(place) == before and not captured.out
    reason = captured.err.splitlines()[-1]
    assert reason.lower().startswith("error: ")
    return reason


RESULTS = [
    "evaluate part.edgead --data parts --report {}",
    "evaluate part.edgead --data parts -o {}",
    "verify part.edgead --data parts --report {}",
    "sensitivity part.edgead --picture {}",
    "bench part.edgead -o {}",
    "bench part.edgead --plot {}",
    "build-engine part.edgead --calib-data parts -o {}",
]


@pytest.mark.parametrize("command", RESULTS)
def test_no_result_is_written_over_the_bundle_it_is_of(capsys, place, command):
    assert "part.edgead, give another file" in refused(capsys, place, command.format("./part.edgead"), 1)


@pytest.mark.parametrize(
    "command",
    [*RESULTS, "export run -o {}", "calibrate part.edgead --data parts -o {}", "audit part.edgead --csv {}"],
)
def test_a_folder_in_a_file_s_place_is_named_before_the_work(capsys, place, command):
    assert "this is a folder, not a file, folder" in refused(capsys, place, command.format("folder"), 1)


@pytest.mark.parametrize(
    "command",
    [
        "demo --tiny -o {}",
        "train lamp --data parts -o {}",
        "import uniad file.txt --data parts -o {}",
        "experiment lamp-mvtec --data parts -o {}",
        "landscape run --data parts -o {}",
        "attention run --data parts -o {}",
    ],
)
def test_a_file_in_a_folder_s_place_is_named_before_the_work(capsys, place, command):
    assert "this is a file, not a folder, file.txt" in refused(capsys, place, command.format("file.txt"), 1)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("evaluate part.edgead --data parts --report x.html -o ./x.html", "another result goes there"),
        ("calibrate part.edgead --data parts --like part.edgead -o part.edgead", "it is read by the same command"),
        ("audit file.txt --csv file.txt", "it is read by the same command"),
        ("export run -o x.edgead --threshold probability", "the scores of lamp are no probabilities, run"),
        ("demo --tiny --data parts/train/good -o demo", "the demo needs labelled defects"),
    ],
)
def test_what_cannot_be_wanted_is_one_line(capsys, place, command, reason):
    assert reason in refused(capsys, place, command, 1)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("build-engine part.edgead --calib-data parts --labelled parts --threshold tail", "give one of them"),
        ("build-engine part.edgead --calib-data parts --precision fp16 --method mse", "nothing is INT8 in fp16"),
        ("calibrate part.edgead --data parts --like x --select coreset --size 3", "leave --select and --calib-size"),
        ("evaluate run --data parts --precision int8", "--precision choose among the engines of a bundle"),
        ("sensitivity part.edgead --images 4", "give --data, or leave it out"),
        ("bench part.edgead --no-pipeline --source 0", "leave it out, or --no-pipeline"),
        ("stream part.edgead --camera=", "--camera names no camera"),
        ("stream part.edgead --camera 0 --save a.jsonl --log ./a.jsonl", "name the same file"),
        ("stream part.edgead --camera 0 --log part.edgead", "a file that this run reads"),
        ("stream part.edgead --camera a.mp4 --video a.mp4", "a file that this run reads"),
        ("stream part.edgead --camera 0 --stall nan", "nan is no number to keep to"),
        ("verify part.edgead --data parts --max-changed nan", "nan is no number to keep to"),
        ("verify part.edgead --data parts --max-map-error inf", "inf is no number to keep to"),
        ("verify part.edgead --data parts --max-drop -1", "not in the range x>=0"),
        ("verify part.edgead --data parts --min-correlation 2", "not in the range -1<=x<=1"),
        ("calibrate part.edgead --data parts --max-layer-error nan", "nan is no number to keep to"),
        ("export run -o x.edgead --max-batch 0", "not in the range 1<=x<=1024"),
        ("demo --tiny --seed -1 -o demo", "not in the range x>=0"),
    ],
)
def test_wrong_usage_is_told_before_the_work(capsys, place, command, reason):
    assert reason in refused(capsys, place, command, 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--threads -1", "-1 threads"),
        ("--seed -1", "seed -1"),
        (f"--seed {10**30}", "is not in 0 to 4294967295"),
        ("--height -64 --width 64", "-64 x 64 pixels"),
        ("--height 0", "0 x 256 pixels"),
        ("--gradient-clip nan", "finite numbers"),
        ("--weight-decay nan", "finite numbers"),
        ("--learning-rate inf", "finite numbers"),
        ("--accelerator moon", "accelerator='moon'"),
        ("--devices moon", "devices"),
        ("--strategy moon", "strategy='moon'"),
        ("--num-nodes 0", "num_nodes"),
        ("--precision moon", "Precision 'moon'"),
    ],
)
def test_a_training_that_cannot_be_leaves_no_run(capsys, place, options, reason):
    assert reason in refused(capsys, place, f"train lamp --data parts -o new {options}", 1)


def test_the_system_s_own_refusal_is_one_line(capsys, place):
    name = 300 * "a"
    assert f"File name too long, {name}, check" in refused(capsys, place, f"export run -o {name}", 1)


def test_a_layer_may_change_without_limit(capsys):
    from edgead.cli.calibrate import calibrate_command

    context = calibrate_command.make_context("calibrate", ["x", "--data", "y", "--max-layer-error", "inf"])
    assert context.params["max_layer_error"] == float("inf")


def test_names_and_limits_are_those_of_bundles_and_engines():
    assert PRECISIONS == tuple(GRAPH) == tuple(schema()["$defs"]["precision"]["enum"])
    assert ["auto", *(candidate.target for candidate in candidates())] == list(TARGETS)
    assert schema()["properties"]["input"]["properties"]["max_batch"]["maximum"] == MAX_BATCH


def test_the_budget_tells_its_range():
    import click

    @click.command()
    @dataclass_options(Budget)
    def command(**budget: float) -> None:
        click.echo(str(Budget(**budget) == Budget()))

    told = CliRunner().invoke(command, ["--help"]).output
    assert "0<=x<=1" in told and "-1<=x<=1" in told
    assert CliRunner().invoke(command, []).output == "True\n"
