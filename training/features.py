"""The features of a frozen backbone, computed once: an epoch then costs what is trained and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgead.atomic import atomic_path
from edgead.engines.cache import cache_folder
from edgead.progress import Progress, silent
from edgead.training.models import DetectorModule
from edgead.training.pictures import Pictures, in_pieces

PIECE = 32
"""Images that are read, computed and kept together."""


class Inputs:
    """What training reads: float or uint8 [N, ...] in pieces, in memory or mapped from files."""

    def __init__(self, pieces: Sequence[NDArray[np.generic]], digest: str) -> None:
        self._pieces = list(pieces)
        self._starts = np.cumsum([0, *(len(piece) for piece in self._pieces)])
        self.digest = digest
        """SHA-256 of the images' pixels: says whether two runs saw the same."""

    def __len__(self) -> int:
        return int(self._starts[-1])

    def gather(self, indices: Sequence[int]) -> Tensor:
        """The rows at `indices`, in that order."""
        rows = []
        for index in indices:
            piece = int(np.searchsorted(self._starts, index, side="right")) - 1
            rows.append(self._pieces[piece][index - self._starts[piece]])
        return torch.from_numpy(np.stack(rows))

    def batches(self) -> Iterator[Tensor]:
        """Everything, piece by piece."""
        for piece in self._pieces:
            yield torch.from_numpy(np.array(piece))


def collect(
    model: DetectorModule,
    pictures: Pictures,
    where: str,
    *,
    device: torch.device | None = None,
    progress: Progress = silent,
) -> Inputs:
    """What `model.extract` makes of the images; with `where` "off", or where nothing is frozen, the images themselves.

    `memory` keeps it for this run, `disk` in the cache folder for later ones as well, keyed by the digest of weights,
    images and transform; work that was interrupted goes on where it stopped. Raises DataError for an image that cannot
    be read.
    """
    extract = model.frozen_features and where != "off"
    key = model.features_key() if extract and where == "disk" else ""
    pixels, pieces, done = hashlib.sha256(), [], 0
    mode = model.training
    model.eval().to(device)
    for images in in_pieces(pictures, PIECE):
        pixels.update(images.data)
        if not extract:
            piece: NDArray[np.generic] = images
        elif key:
            piece = _kept(key, images, model, device)
        else:
            piece = _extract(model, images, device)
        pieces.append(piece)
        done += len(images)
        progress("computing features" if extract else "reading images", done, len(pictures))
    model.train(mode).cpu()
    return Inputs(pieces, pixels.hexdigest())


def _extract(model: DetectorModule, images: NDArray[np.uint8], device: torch.device | None) -> NDArray[np.float32]:
    with torch.no_grad():
        features: NDArray[np.float32] = model.extract(torch.from_numpy(images).to(device)).float().cpu().numpy()
    return np.ascontiguousarray(features)


def _kept(
    key: str, images: NDArray[np.uint8], model: DetectorModule, device: torch.device | None
) -> NDArray[np.generic]:
    """The features of some images from the cache, computed where they are missing or damaged."""
    name = hashlib.sha256(f"{key}:{images.shape}:".encode() + images.tobytes()).hexdigest()
    path = cache_folder() / "features" / f"{name}.npy"
    found = _mapped(path)
    if found is None:
        features = _extract(model, images, device)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, features, allow_pickle=False)
            file.write(hashlib.sha256(features.data).digest())
        found = _mapped(path)
    return features if found is None else found


def _mapped(path: Path) -> NDArray[np.generic] | None:
    """The array in a file that ends with its digest; None where the file is missing or damaged."""
    try:
        found: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file:
            file.seek(-hashlib.sha256().digest_size, 2)
            whole = file.read() == hashlib.sha256(np.ascontiguousarray(found).data).digest()
    except (OSError, ValueError):
        return None
    return found if whole else None
