"""A run folder: what a training leaves behind, without pickle.

`run.json` (family, options, data, result), `model.safetensors` (the best weights), `history.jsonl` (a line an epoch)
and, until training is complete, `resume.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from edgead.atomic import write_atomic
from edgead.errors import TrainingError
from edgead.training.models import DetectorModule, build

VERSION = 1
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Run:
    """family, options: the model. fit: how it was trained. data: what it was trained on. result: how it ended; empty
    while it runs. root: where the data was, for the commands that come after; it stays in the run folder and enters no
    bundle."""

    family: str
    options: Mapping[str, Any]
    fit: Mapping[str, Any]
    data: Mapping[str, Any]
    result: Mapping[str, Any]
    root: str = ""

    def same_work(self, other: Run) -> bool:
        """Whether both describe the same training, so that one may go on where the other stopped."""
        mine, others = (
            json.loads(json.dumps([r.family, dict(r.options), dict(r.fit), dict(r.data)])) for r in (self, other)
        )
        return bool(mine == others)

    def write(self, folder: Path) -> None:
        document = {"version": VERSION, "family": self.family, "options": dict(self.options), "fit": dict(self.fit)}
        document |= {"data": dict(self.data), "result": dict(self.result), "root": self.root}
        write_atomic(folder / "run.json", json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_run(folder: Path) -> Run:
    """Read `run.json`. Raises TrainingError where the folder is no run."""
    path = folder / "run.json"
    try:
        document = json.loads(path.read_text())
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']}")
        return Run(*(document[key] for key in ("family", "options", "fit", "data", "result", "root")))
    except FileNotFoundError as error:
        raise TrainingError(
            "no run.json inside; this is no run folder", folder, "give the folder that `edgead train -o` wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"the run is damaged ({error})", path, "train again") from error


def write_weights(folder: Path, model: DetectorModule) -> None:
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(state))


def load_model(folder: Path, score: str | None = None) -> DetectorModule:
    """The trained detector of a run, in eval mode. score: another image score than it was trained with; no weight
    depends on it. Raises TrainingError where the run is not complete or damaged."""
    run, path = read_run(folder), folder / WEIGHTS
    if not run.result:
        raise TrainingError("the training did not finish", folder, "run `edgead train` again with --resume")
    model = build(run.family, {**run.options, **({"score": score} if score else {})})
    try:
        model.load_state_dict(load(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise TrainingError(f"the weights do not load ({error})", path, "train again") from error
    return model.eval()


def origin(run: Run) -> dict[str, Any]:
    """What a bundle's manifest tells of a run: no paths, nothing of the machine."""
    training = {
        "name": run.data["name"],
        "train_images": run.data["train_images"],
        "validation_images": run.data["validation_images"],
        "sha256": run.data["sha256"],
        "seed": run.fit["seed"],
        "validation": run.fit["validation"],
        "epochs": run.result["epochs"],
        "best_epoch": run.result["best_epoch"],
    }
    return {"family": run.family, "options": run.options, "classes": tuple(run.data["classes"]), "training": training}
