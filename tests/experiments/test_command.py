"""`edgead experiment`: what it prints, and how it refuses."""

from __future__ import annotations

import json
import shutil

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
    names = sorted(path.name for path in (tmp_path / "mvtec-detection").iterdir())
    assert names == ["report.html", "separate-bottle", "separate-screw", "table.json", "table.md", "unified"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mvtec-detecton"], ["no such experiment", "mvtec-detecton", "mvtec-detection"]),
        (["nowhere.toml"], ["cannot be read", "nowhere.toml"]),
        (["mvtec-detection", "--data", "nowhere"], ["does not exist", "nowhere"]),
        (["mvtec-detection", "--set", "hiden=3"], ["no option 'hiden'", "--set"]),
        (["mvtec-detection", "--set", "epochs=none"], ["epochs is 'none'"]),
        (["mvtec-detection", "--train", "1"], ["1 training images"]),
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


def test_help_names_what_comes_with_it(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for name in ("mvtec-localization", "cifar10", "shortcut"):
        assert name in out
