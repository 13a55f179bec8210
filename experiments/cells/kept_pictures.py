"""The exhibits of a cell, kept in a file, so that a report needs no model."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgead.atomic import atomic_path
from edgead.data.samples import Sample
from edgead.experiments.cells.pictures import Exhibit

PICTURES = "pictures.npz"
_LEVELS = 255
"""A map is kept in as many steps between what is shown as nothing and as the hottest; a screen has no more."""
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def keep(folder: Path, shown: Sequence[Exhibit]) -> None:
    """Write the exhibits of one model, all of one size, whole or not at all."""
    maps = []
    for exhibit in shown:
        low, high = exhibit.scale
        share = (exhibit.anomaly_map - low) / max(high - low, float(np.finfo(np.float32).tiny))
        maps.append(np.rint(share.clip(0, 1) * _LEVELS).astype(np.uint8))
    with atomic_path(folder / PICTURES) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array([exhibit.sample.name for exhibit in shown], np.str_),
            scores=np.array([exhibit.score for exhibit in shown], np.float64),
            scales=np.array([exhibit.scale for exhibit in shown], np.float64),
            maps=np.array(maps),
        )


def kept(folder: Path, samples: Sequence[Sample]) -> list[Exhibit]:
    """The exhibits of a model that was tested on these images; none where none were kept."""
    by_name = {sample.name: sample for sample in samples}
    try:
        with np.load(folder / PICTURES, allow_pickle=False) as file:
            names, scores, scales, maps = (file[key] for key in ("names", "scores", "scales", "maps"))
        found = []
        for name, score, (low, high), levels in zip(names.tolist(), scores, scales, maps, strict=True):
            anomaly_map = (low + levels / _LEVELS * (high - low)).astype(np.float32)
            found.append(Exhibit(by_name[name], float(score), anomaly_map, (float(low), float(high))))
    except _DAMAGED:
        return []
    return found
