"""Everything that decides the result of a cell: kept with the result, so that no other result is taken for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgead.data.samples import Dataset, Sample
from edgead.experiments.cells.cell import AnyCell, BaseCell
from edgead.training.models import family
from edgead.training.options import FitOptions

MACHINE = ("accelerator", "compile", "devices", "features", "num_nodes", "strategy", "threads")
"""Options of the training that are no matter of the method. Machines may share an experiment."""
NONE = "none"


@dataclass
class Works:
    """Says what decides the results of cells. weights: those of the backbone, as `fit` takes them. every: how often a
    figure's models are measured, else 0."""

    weights: str
    every: int
    _data: dict[int, dict[str, Any]] = field(default_factory=dict)
    _sizes: dict[Path, int] = field(default_factory=dict)
    _source: str | None = None

    def of(self, cell: AnyCell) -> dict[str, Any]:
        """Family, options of the model and of the training, the images' names and sizes, the weights it starts with,
        when it is measured, and the same of its base; as JSON has it."""
        whole = dict(cell.options) if isinstance(cell, BaseCell) else cell.series.model_options()
        work = {"family": cell.family, "options": whole, "fit": method(cell.fit), "data": self._images(cell.dataset)}
        if isinstance(cell, BaseCell):
            return work
        work |= {"defects": self._digest(cell.defects)} if cell.defects else {}
        work |= {"base": digest(self.of(cell.base))} if cell.base else {}
        work |= {"weights": self._weights()} if starts_from_weights(cell.family) else {}
        return work | ({"every": self.every} if self.every else {})

    def _images(self, dataset: Dataset) -> dict[str, Any]:
        """Kept, since the cells of all series have the same data."""
        if id(dataset) not in self._data:
            train, test = dataset.train, dataset.test
            counts = {"train": len(train), "test": len(test)}
            self._data[id(dataset)] = {**counts, "sha256": self._digest((*train, *test))}
        return self._data[id(dataset)]

    def _digest(self, samples: Iterable[Sample]) -> str:
        found = hashlib.sha256()
        for sample in samples:
            size = self._sizes.get(sample.path)
            if size is None:
                size = self._sizes[sample.path] = sample.path.stat().st_size
            line = f"{sample.name}\n{sample.category}\n{sample.defect}\n{sample.mask is not None}\n{size}\n"
            found.update(line.encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def _weights(self) -> str:
        """The digest of a file, else what was asked for."""
        if self._source is None:
            path = Path(self.weights)
            self._source = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else self.weights
        return self._source


def starts_from_weights(name: str) -> bool:
    """Whether a family has a backbone with weights that somebody has published."""
    kind = family(name)
    return kind.frozen_features and not kind.founded_on


def method(fit: FitOptions) -> dict[str, Any]:
    """The options of a training that are a matter of the method."""
    return {name: value for name, value in asdict(fit).items() if name not in MACHINE}


def digest(work: Mapping[str, Any]) -> str:
    """SHA-256 of what decides a result."""
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()


def differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The names of what is not the same in both."""
    found = []
    for name in sorted({*one, *other}):
        mine, theirs = one.get(name), other.get(name)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            found += differences(mine, theirs, f"{name}.")
        elif mine != theirs:
            found.append(f"{prefix}{name}")
    return found
