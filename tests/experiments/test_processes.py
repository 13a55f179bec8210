"""Several processes: who does what, that Lightning does not notice, and what becomes of a table when one is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgead.errors import TrainingError
from edgead.experiments.cells.processes import Processes, beating, wait_for_others

TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1", "MASTER_ADDR": "a",
    "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x",
}  # fmt: skip


def test_ranks_are_taken_out_of_the_environment():
    environment = {**TORCHRUN, "HOME": "/root"}
    assert Processes.taken_from(environment) == Processes(3, 4, 1, 2)
    assert environment == {"HOME": "/root"}
    assert Processes.taken_from({}) == Processes(0, 1, 0)


@pytest.mark.parametrize("wrong", [{"RANK": "x"}, {"RANK": "4"}, {"RANK": "-1"}])
def test_ranks_that_cannot_be_are_refused(wrong):
    with pytest.raises(TrainingError, match="torchrun"):
        Processes.taken_from({**TORCHRUN, **wrong})


@pytest.mark.parametrize(
    ("processes", "visible", "gpus", "found"),
    [
        (Processes(3, 4, 1), None, 2, "1"),
        (Processes(3, 4, 1), "5,7", 2, "7"),
        (Processes(3, 4, 3), "5,7", 2, "7"),  # more processes than GPUs share them
        (Processes(3, 4, 1), None, 0, None),
        (Processes(), None, 2, None),
    ],
)
def test_each_process_sees_its_own_gpu(processes, visible, gpus, found):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    processes.take_gpu(environment, lambda: gpus)
    assert environment.get("CUDA_VISIBLE_DEVICES") == found


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    found = [Processes(0, 6, 0, size).threads for size in (1, 2, 3, 8, 20)]
    assert found == [0, 4, 2, 1, 1]  # 0: all of them
    assert Processes().threads == 0


def test_groups_are_shared_out_and_stay_together():
    cells = [SimpleNamespace(name=name, group=name[0]) for name in ("a1", "a2", "b1", "c1", "c2", "d1", "a3")]
    shares = [[cell.name for cell in Processes(rank, 2).share(cells)] for rank in (0, 1)]
    assert shares == [["a1", "a2", "c1", "c2", "a3"], ["b1", "d1"]]
    assert Processes().share(cells) == cells


def test_a_process_says_that_it_is_there_until_it_ends(tmp_path):
    with beating(Processes(1, 2), tmp_path):
        assert (tmp_path / ".process-1").exists()
    assert not list(tmp_path.iterdir())
    with beating(Processes(), tmp_path / "alone"):
        assert not (tmp_path / "alone").exists()


def test_the_first_waits_until_the_others_are_done(tmp_path):
    left, told = {1: ["a", "b"], 2: []}, []
    timer = threading.Timer(0.2, left[1].clear)
    timer.start()
    others = [Processes(1, 3), Processes(2, 3)]
    wait_for_others(tmp_path, others, lambda one: left[one.rank], told.append, lost_s=30, pause_s=0.02)
    assert not left[1] and told == ["waiting for process 1: 2 cells to do"]
    timer.join()


def test_a_lost_process_ends_the_wait_with_its_number(tmp_path):
    with pytest.raises(TrainingError, match="process 1 has not been heard of") as caught:
        wait_for_others(tmp_path, [Processes(1, 2)], lambda one: ["a-seed0"], print, lost_s=0.1, pause_s=0.02)
    assert "a-seed0" in str(caught.value) and "again" in str(caught.value)


def test_a_process_that_is_heard_of_is_waited_for(tmp_path):
    """For longer than it may be silent."""
    left, began = ["a"], time.monotonic()

    def beat():
        for _ in range(20):
            (tmp_path / ".process-1").write_text("")
            os.utime(tmp_path / ".process-1", ns=(time.time_ns(), time.time_ns()))
            time.sleep(0.05)
        left.clear()

    thread = threading.Thread(target=beat)
    thread.start()
    wait_for_others(tmp_path, [Processes(1, 2)], lambda one: left, lambda line: None, lost_s=0.5, pause_s=0.02)
    assert time.monotonic() - began > 0.9
    thread.join()


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, "-m", "edgead.cli.main", "experiment", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


SMALL = ["--set", "height=32", "--set", "width=32", "--set", "stages=2", "--set", "base_width=4", "--set", "threads=1"]


@pytest.mark.slow
def test_two_processes_of_torchrun_share_the_cells(two, tmp_path):
    arguments = ["lamp-mvtec", "--data", two, "-o", tmp_path / "out", "--epochs", 1, *SMALL]
    ended = torchrun(*arguments, "--only", "l2-adam-*", "--only", "lamp-l2-adam-*", "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)  # one process alone has printed
    cells = {cell["cell"]: cell for cell in document["cells"]}
    expected = [f"{name}-{row}-seed0" for name in ("l2-adam", "lamp-l2-adam") for row in ("bottle", "screw")]
    assert sorted(cells) == sorted(expected) and document["cells_planned"] == 36
    assert document == json.loads((tmp_path / "out" / "table.json").read_text())
    assert not list((tmp_path / "out").glob(".process-*"))
    # Each trained alone: on all of its images, in one process.
    for cell in cells.values():
        run = json.loads((tmp_path / "out" / cell["cell"] / "run" / "run.json").read_text())
        assert run["result"]["epochs"] == 1 and run["fit"]["devices"] == "1"
    assert Path(tmp_path / "out" / "l2-adam-screw-seed0" / "run" / "model.safetensors").exists()


@pytest.mark.slow
def test_a_process_that_fails_says_what_and_which(two, tmp_path):
    out = tmp_path / "out"
    arguments = ["lamp-mvtec", "--data", two, "-o", out, "--epochs", 1, *SMALL]
    (out / "l2-adam-screw-seed0" / "run").mkdir(parents=True)
    (out / "l2-adam-screw-seed0" / "run" / "notes.txt").write_text("somebody's")
    ended = torchrun(*arguments, "--only", "l2-adam-*")
    assert ended.returncode != 0 and ended.stdout == ""
    assert "error: process 1: the folder is not empty" in ended.stderr
