"""The README's commands and code are run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgead.synthetic import write_video
from tests.lenient import OPTIONS

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(parts, tmp_path):
    """The reader's folder: photos, a photo, a line video."""
    shutil.copytree(parts, tmp_path / "photos")
    shutil.copytree(parts / "test/spot", tmp_path / "bad")
    shutil.copy(parts / "test/spot/000.png", tmp_path / "photo.png")
    write_video(tmp_path / "line.mp4", frames=4, size=64)
    return tmp_path


def test_commands_and_code_run_as_printed(desk):
    """Smaller than printed (two epochs, a rendered camera, a generous budget), and otherwise word for word."""
    commands, other, third = blocks("bash")
    small = commands.replace("-o run\n", "-o run --epochs 2 --height 64 --width 64 --base-width 4\n")
    small = small.replace("--camera 0", "--camera 'synthetic://?frames=3&size=64'")
    small = small.replace("--calib-data photos", f"--calib-data photos {' '.join(OPTIONS)}")
    assert small.count("\n") == commands.count("\n") == 5 and small != commands
    grid = "--height 64 --width 64 --feature-height 4 --feature-width 4 --neighbor-height 3 --neighbor-width 3"
    tiny = other.replace("-o line ", f"-o line --weights none {grid} ").replace("--epochs 100", "--epochs 1")
    assert tiny.count("edgead") == other.count("edgead") == 3 and tiny != other
    leaf = third.replace("128", "64").replace("-width 16", "-width 4").replace("epochs 60", "epochs 1")
    leaf = leaf.replace("epochs 20", "epochs 1")
    assert leaf.count("edgead") == third.count("edgead") == 2 and leaf != third
    small += tiny + leaf
    environment = {
        **os.environ,
        "EDGEAD_CACHE": str(desk / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    run = ["bash", "-euc", small]
    done = subprocess.run(run, cwd=desk, env=environment, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr
    for name in (
        "part.edgead",
        "line.edgead",
        "report.html",
        "results.sqlite",
        "annotated.mp4",
        "pictures/attention.html",
    ):
        assert (desk / name).stat().st_size > 1000

    (code,) = blocks("python")
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=desk, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("accept", "warn", "reject")
    assert (desk / "results.jsonl").read_text().count("\n") >= 4


def test_the_pictures_of_the_readme_are_there():
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text()):
        assert (README.parent / name).stat().st_size > 10_000
