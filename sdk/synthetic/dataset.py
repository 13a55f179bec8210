"""A rendered data set in MVTec's layout."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgead.errors import DataError
from edgead.progress import Progress, silent
from edgead.synthetic.defects import DEFECTS
from edgead.synthetic.photograph import GOOD, check_size, photo

_TRAIN, _TEST_GOOD, _TEST_BAD = 0, 1, 2  # streams of seeds; each defect has its own from 2 on


@dataclass(frozen=True)
class _Shot:
    folder: str
    number: int
    defect: str
    seed: tuple[int, ...]


def write_dataset(
    root: Path,
    *,
    size: int = 256,
    train: int = 240,
    test_good: int = 40,
    per_defect: int = 8,
    seed: int = 0,
    progress: Progress = silent,
) -> Path:
    """Render `train/good`, `test/good`, `test/<defect>` and `ground_truth/<defect>` as PNG into the new folder `root`.

    The folder appears when it is complete, and not before. The same arguments give the same bytes. Raises DataError for
    a folder that holds something or cannot be written, and for sizes and counts that cannot be.
    """
    check_size(size)
    if train < 1 or min(test_good, per_defect, seed) < 0:
        raise DataError(
            "there has to be a training photograph, and no count or seed below 0", root, "change the counts"
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError("the folder is not empty", root, "give a new folder, or remove this one")
    shots = [_Shot("train/good", i, GOOD, (seed, _TRAIN, i)) for i in range(train)]
    shots += [_Shot("test/good", i, GOOD, (seed, _TEST_GOOD, i)) for i in range(test_good)]
    for kind, defect in enumerate(DEFECTS):
        shots += [_Shot(f"test/{defect}", i, defect, (seed, _TEST_BAD + kind, i)) for i in range(per_defect)]
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".partial", dir=root.parent))
        try:
            _render(partial, shots, size, progress)
            umask = os.umask(0)
            os.umask(umask)
            partial.chmod(0o777 & ~umask)  # mkdtemp gives 0700
            partial.replace(root)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # gone already, where all went well
    except OSError as error:
        raise DataError(
            f"the data set cannot be written ({error.strerror})", root, "check permissions and disk"
        ) from error
    return root


def _render(root: Path, shots: list[_Shot], size: int, progress: Progress) -> None:
    for folder in {shot.folder for shot in shots}:
        (root / folder).mkdir(parents=True)
        if not folder.endswith(GOOD):
            (root / folder.replace("test", "ground_truth")).mkdir(parents=True)
    pool = ThreadPoolExecutor(os.cpu_count())  # rendering releases the interpreter lock most of the time
    try:
        for done, _ in enumerate(pool.map(lambda shot: _write(root, shot, size), shots), 1):
            progress("rendering photographs", done, len(shots))
    finally:
        pool.shutdown(cancel_futures=True)


def _write(root: Path, shot: _Shot, size: int) -> None:
    image, mask = photo(shot.seed, size, shot.defect)
    (root / shot.folder / f"{shot.number:03}.png").write_bytes(_png(image[:, :, ::-1]))
    if shot.defect != GOOD:
        path = root / shot.folder.replace("test", "ground_truth", 1) / f"{shot.number:03}_mask.png"
        path.write_bytes(_png(mask * np.uint8(255)))


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()
