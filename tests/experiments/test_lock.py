"""A cell's folder is one process's, for as long as that lives."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from edgead.errors import TrainingError
from edgead.experiments.cells.lock import LOCK, held

HOLD = """
import sys, time
from pathlib import Path
from edgead.experiments.cells.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which has the folder `cell`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "cell")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_that_another_process_has_is_refused(other, tmp_path):
    with pytest.raises(TrainingError, match="another process is doing this cell") as caught, held(tmp_path / "cell"):
        pass
    assert str(tmp_path / "cell") in str(caught.value) and (tmp_path / "cell" / LOCK).exists()
    with held(tmp_path / "another"):
        pass


def test_a_process_that_was_killed_has_nothing(other, tmp_path):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "cell" / LOCK).exists()
    with held(tmp_path / "cell"), pytest.raises(TrainingError), held(tmp_path / "cell"):
        pass
    assert not (tmp_path / "cell" / LOCK).exists()


def test_only_what_was_put_into_it_stays(tmp_path):
    with pytest.raises(ValueError, match="weights"), held(tmp_path / "out" / "cell"):
        raise ValueError("no weights")
    assert not list(tmp_path.iterdir())
    with held(tmp_path / "out" / "cell"):
        (tmp_path / "out" / "cell" / "result.json").write_text("{}")
    assert [path.name for path in (tmp_path / "out" / "cell").iterdir()] == ["result.json"]
    (tmp_path / "empty").mkdir()
    with held(tmp_path / "empty" / "cell"):
        pass
    assert (tmp_path / "empty").exists() and not list((tmp_path / "empty").iterdir())
