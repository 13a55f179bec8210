"""Results to write, and disks that refuse."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgead.frame import Frame, LostFrame
from edgead.result import Region, Result, Verdict

Make = Callable[..., tuple[Result, Frame]]


@pytest.fixture
def make_result() -> Make:
    def make(
        frame_id: int = 0, verdict: Verdict = Verdict.REJECT, height: int = 96, width: int = 128
    ) -> tuple[Result, Frame]:
        anomaly_map = np.zeros((32, 32), np.float32)
        anomaly_map[8:12, 8:16] = 2.0
        frame = Frame(
            np.full((height, width, 3), 90, np.uint8), frame_id, "rtsp://cell-4/top", 1_700_000_000.25 + frame_id
        )
        regions = (Region((32, 24, 32, 12), 384, 2.0),) if verdict is Verdict.REJECT else ()
        score = 0.9 if verdict is Verdict.REJECT else 0.1
        timing = {"infer": 1.23456, "total": 9.5}
        result = Result(
            score, verdict is Verdict.REJECT, anomaly_map, anomaly_map > 1, 2 * score, verdict, regions, frame_id,
            frame.source, frame.captured_at, timing, "ab" * 32, engine="cd" * 32,
        )  # fmt: skip
        return result, frame

    return make


@pytest.fixture
def lost() -> LostFrame:
    return LostFrame(7, "rtsp://cell-4/top", 1_700_000_007.5, "no frame could be decoded")


def _mount(folder: Path, options: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "edgead-test", folder], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of its own of the size given."""
    folder = tmp_path / "small"

    def mount(size: str) -> Path:
        folder.mkdir()
        _mount(folder, f"size={size}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def locked_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that may not be written to; for root, who may write anywhere else, a disk mounted read-only."""
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:
        _mount(folder, "ro,size=64k")
    folder.chmod(0o555) if os.geteuid() else None
    yield folder
    if folder.is_mount():
        subprocess.run(["umount", "-l", folder], check=True)
    else:
        folder.chmod(0o755)
