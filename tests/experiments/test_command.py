"""`edgead experiment`: what it prints, and how it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from edgead.cli.main import main


def call(capsys, *arguments):
    """(exit code, standard output, standard error) of one call in this process."""
    with pytest.raises(SystemExit) as ended:
        main(["experiment", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def tiny(work):
    """The options of a tiny run."""
    sets = work(window=True).overrides.changes.items()
    pairs = [word for name, value in sets for word in ("--set", f"{name.replace('_', '-')}={value}")]
    return ["--backbone", "mobilenet_v3_small", "--weights", "none", "--epochs", "1", *pairs]


def test_a_table_is_printed_and_its_files_are_named(capsys, filled, two, tiny, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(filled[1], output)
    code, out, err = call(capsys, "mvtec-detection", "--data", two, "-o", output, *tiny)
    assert code == 0, err
    assert "UniAD: anomaly detection on MVTec AD" in out and "no data" in out and "87.5" in out
    assert f"report  {output / 'report.html'}" in out
    code, out, err = call(capsys, "mvtec-detection", "--data", two, "-o", output, *tiny, "--json")
    assert code == 0, err
    assert json.loads(out) == json.loads((output / "table.json").read_text())


def test_a_figure_is_printed(capsys, drawn, two, work, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(drawn[1], output)
    sets = [word for pair in work().overrides.changes.items() for word in ("--set", "=".join(pair))]
    options = ["--backbone", "mobilenet_v3_small", "--weights", "none", "--epochs", 5, "--every", 2, *sets]
    code, out, err = call(capsys, "shortcut", "--data", two, "-o", output, *options)
    assert code == 0, err
    assert "MLP, separate" in out and "image AUROC" in out


def test_the_folder_is_called_like_the_experiment(capsys, two, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("mvtec-detection", "--data", two, *tiny, "--train", 8, "--test", 8, "--seed", 2)
    code, _, err = call(capsys, *arguments)
    assert code == 0, err
    names = sorted(path.name for path in (tmp_path / "experiments" / "results" / "mvtec-detection").iterdir())
    cells = ["separate-bottle-seed2", "separate-screw-seed2", "unified-seed2"]
    assert names == sorted(["report.html", "table.json", "table.md", *cells])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mvtec-detecton"], ["no such experiment", "mvtec-detecton", "mvtec-detection"]),
        (["nowhere.toml"], ["cannot be read", "nowhere.toml"]),
        (["mvtec-detection", "--data", "nowhere"], ["does not exist", "nowhere"]),
        (["mvtec-detection", "--set", "hiden=3"], ["no option 'hiden'", "--set"]),
        (["mvtec-detection", "--set", "epochs=none"], ["epochs is 'none'"]),
        (["mvtec-detection", "--train", "1"], ["1 training images"]),
        (["mvtec-detection", "--fast", "--backbone", "vgg11"], ["no fast run", "mvtec-detection"]),
        (["mvtec-detection", "--backbone", "vgg11"], ["no backbone 'vgg11'", "vgg16"]),
        (["mvtec-detection", "--seed", "1", "--seed", "1"], ["twice", "--seed"]),
        (["mvtec-detection", "--weights", "nowhere.pth"], ["nowhere.pth", "weights"]),
        (["cifar10"], ["there are no"]),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing_behind(capsys, two, tmp_path, arguments, words):
    data = [] if "--data" in arguments else ["--data", two / "screw" / "train"]
    if "--train" in arguments:
        data = ["--data", two]
    if "--weights" in arguments:
        data = ["--data", two]
    code, out, err = call(capsys, *arguments, *data, "-o", tmp_path / "out")
    assert code == 1 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["hidden", "=3", "hidden=3 --set hidden=4"])
def test_wrong_usage_is_exit_code_2(capsys, two, tmp_path, change):
    words = [word for pair in change.split(" --set ") for word in ("--set", pair)]
    assert call(capsys, "mvtec-detection", "--data", two, "-o", tmp_path / "out", *words)[0] == 2


def test_cells_are_listed_and_nothing_is_done(capsys, filled, two, tiny, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(filled[1], output)
    shutil.rmtree(output / "separate-screw-seed0")
    before = sorted(output.rglob("*"))
    code, out, err = call(capsys, "mvtec-detection", "--data", two, "-o", output, *tiny, "--list")
    assert code == 0, err
    states = [line.split() for line in out.splitlines()]
    assert states == [
        ["done", "unified-seed0"],
        ["done", "separate-bottle-seed0"],
        ["to", "do", "separate-screw-seed0"],
    ]
    code, out, err = call(capsys, "mvtec-detection", "--data", two, "-o", output, *tiny, "--list", "--json")
    assert json.loads(out)[2] == {"cell": "separate-screw-seed0", "state": "to do"}
    only = ("--only", "separate-s*", "--list")
    code, out, err = call(capsys, "mvtec-detection", "--data", two, "-o", output, *tiny, *only)
    assert code == 0 and out == "to do  separate-screw-seed0\n", err
    assert sorted(output.rglob("*")) == before


def test_a_part_of_the_cells_is_done_and_said(capsys, two, tiny, tmp_path):
    arguments = ("mvtec-detection", "--data", two, "-o", tmp_path / "out", *tiny, "--seed", 1, "--seed", 2)
    code, out, err = call(capsys, *arguments, "--only", "separate-s*-seed2")
    assert code == 0, err
    assert "1 of 6 cells are done." in " ".join(out.split())
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["separate-screw-seed2"]


def test_the_command_is_there_before_lightning_is():
    """Lightning reads ranks when it is imported, and they have to be taken from the environment before that."""
    program = (
        "import sys, edgead.cli.experiment, edgead.experiments.cells.processes; "
        "print({'lightning', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_help_names_what_comes_with_it(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for name in ("mvtec-localization", "cifar10", "shortcut"):
        assert name in out
