"""A checkpoint file of the authors' code: its tensors and its settings. Nothing in it is run.

UniAD's code saves {"epoch", "arch", "state_dict", "best_metric", "optimizer"}, where `arch` is a list of `EasyDict`,
a dictionary of another package, and `best_metric` a NumPy number. torch's restricted unpickler refuses both. Here it
reads the one as a plain dictionary and skips the other: neither package is needed, or called.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgead.errors import TrainingError

RESAVE = (
    'where you trust it, save its tensors alone: torch.save(torch.load(OLD, weights_only=False)["state_dict"], NEW)'
)
COUNTER = ".num_batches_tracked"
"""How the names of tensors end that count a training's batches and decide nothing."""


class _Skipped:
    """Stands in for what is not needed, whatever it is made of."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (OrderedDict, "easydict.EasyDict"),
    (_Skipped, "numpy.core.multiarray.scalar"),
    (_Skipped, "numpy._core.multiarray.scalar"),
    (_Skipped, "numpy.dtype"),
]


@dataclass(frozen=True)
class Checkpoint:
    """state: tensors by name, without the `module.` of distributed training. settings: what the authors' configuration
    says of each part of the network, by the part's name; empty where the file does not tell. epoch: how many were
    trained; 0 where it does not tell. sha256: of the file."""

    path: Path
    state: Mapping[str, Tensor]
    settings: Mapping[str, Mapping[str, Any]]
    epoch: int
    sha256: str

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part of the network, as they are named inside it."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): tensor for key, tensor in self.state.items() if key.startswith(prefix)}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or a file with the state dict alone. Raises TrainingError for one that is missing or damaged,
    or cannot be read without running code that is in it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"the checkpoint cannot be read ({error.strerror})", path, "check the path") from error
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in the unpickler in any way there is
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            raise TrainingError(f"the checkpoint holds {foreign[1]}, which is never run", path, RESAVE) from error
        raise TrainingError("the checkpoint is damaged, or none of torch's files", path, "copy it again") from error
    if not isinstance(document, Mapping):
        raise TrainingError("the file holds no checkpoint", path, "give what the authors' training saved")
    state = document.get("state_dict", document)
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise TrainingError("the checkpoint holds no state dict", path, "give what the authors' training saved")
    tensors = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    epoch = document.get("epoch")
    return Checkpoint(
        path,
        tensors,
        _settings(document.get("arch")),
        epoch if isinstance(epoch, int) and epoch > 0 else 0,
        hashlib.sha256(content).hexdigest(),
    )


def _settings(arch: object) -> dict[str, dict[str, Any]]:
    """[{"name", "type", "kwargs"}, ...] -> by name, the type and the arguments; what is not like that tells nothing."""
    found = {}
    for part in arch if isinstance(arch, list) else []:
        if isinstance(part, Mapping) and isinstance(part.get("kwargs"), Mapping):
            found[str(part.get("name"))] = {"type": part.get("type"), **part["kwargs"]}
    return found


def check_state(
    state: Mapping[str, Tensor], wanted: Mapping[str, torch.Size], needed: Collection[str], where: object
) -> None:
    """Raise TrainingError unless a state dict has all names of `needed`, none that is not in `wanted`, the shapes that
    `wanted` gives, and finite floating-point numbers."""
    todo = "give the checkpoint of a network of this kind, or say what it is with the command's options"
    if foreign := _some(name for name in state if name not in wanted):
        raise TrainingError(f"the checkpoint has {foreign}, which belongs to no such network", where, todo)
    if missing := _some(name for name in needed if name not in state):
        raise TrainingError(f"the checkpoint lacks {missing}", where, todo)
    misshapen = (
        f"{name} {tuple(tensor.shape)} instead of {tuple(wanted[name])}"
        for name, tensor in state.items()
        if tensor.shape != wanted[name]
    )
    if found := _some(misshapen):
        raise TrainingError(f"wrong shapes in the checkpoint: {found}", where, todo)
    if broken := _some(name for name, tensor in state.items() if not _usable(name, tensor)):
        raise TrainingError(f"the values of {broken} are no finite floating-point numbers", where, "train it again")


def _usable(name: str, tensor: Tensor) -> bool:
    if tensor.layout != torch.strided or tensor.is_meta:
        return False
    return name.endswith(COUNTER) or (tensor.is_floating_point() and bool(tensor.float().isfinite().all()))


def _some(names: Iterable[str]) -> str:
    """Up to three names, and how many more there are; empty where there are none."""
    every = list(names)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
