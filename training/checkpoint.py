"""Checkpoints without pickle: tensors in safetensors, everything else as JSON in the same file's header."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from edgead.atomic import write_atomic
from edgead.errors import TrainingError

_STRUCTURE = "structure"  # the key of the JSON in the header of a safetensors file


def save_tree(path: Path, tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, numbers, strings, None and tensors, atomically."""
    tensors: dict[str, Tensor] = {}
    structure = _encode(tree, tensors)
    write_atomic(path, save(tensors, {_STRUCTURE: json.dumps(structure)}))


def load_tree(path: Path) -> Any:
    """Read what `save_tree` wrote, tensors on the CPU. Raises TrainingError for a missing or damaged file."""
    try:
        with safe_open(path, framework="pt") as opened:
            header = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return _decode(json.loads(header[_STRUCTURE]), tensors)
    except FileNotFoundError as error:
        raise TrainingError("no checkpoint", path, "check the path of the run") from error
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError, OSError) as error:
        raise TrainingError(f"the checkpoint is damaged ({error})", path, "train again") from error


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON for `value`: containers become {"kind": [..]}, so that tuples, int keys and tensors survive the way back."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        kind = "ordered" if isinstance(value, OrderedDict) else "dict"
        return {kind: [[_encode(key, tensors), _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"tuple" if isinstance(value, tuple) else "list": [_encode(item, tensors) for item in value]}
    if isinstance(value, (torch.device, torch.dtype, Path)):
        return str(value)
    raise TrainingError(
        f"a checkpoint cannot hold a {type(value).__name__}", "checkpoint", "store plain values and tensors"
    )


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind in ("dict", "ordered"):
        pairs = [(_decode(key, tensors), _decode(item, tensors)) for key, item in content]
        return OrderedDict(pairs) if kind == "ordered" else dict(pairs)
    items = [_decode(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


class SafetensorsIO(CheckpointIO):
    """Lets Lightning's trainer write and read its checkpoints through `save_tree`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        save_tree(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> Any:
        return load_tree(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
