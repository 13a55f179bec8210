"""Weights from a file or an address into a backbone: checked first, never unpickled."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.backbones.base import Backbone, whole
from edgead.training.backbones.download import Digest, download, file_name

_COUNTER = ".num_batches_tracked"
_PUBLISHED = "https://download.pytorch.org/models"
IMAGENET = "imagenet"
"""In place of a path or an address: the weights that torchvision publishes for the backbone."""
_SUFFIXES = (".pth", ".pt", ".safetensors")


def load_weights(backbone: Backbone, source: str, *, sha256: str | None = None, progress: Progress = silent) -> str:
    """Fill a backbone with published weights.

    source: a `.pth`, `.pt` or `.safetensors` file with the state dict of the whole network, or of a part that covers
    the backbone; an http or https address of one, which is kept in the cache folder; `imagenet` for the address of the
    weights that torchvision publishes; or `none`, which leaves the backbone as it is. sha256: the digest that the file
    must have, or its first 8 or more digits.

    Returns the file's SHA-256, or an empty string for `none`. Raises TrainingError where the file cannot be had, is not
    the one that was meant, or does not fit the network; the backbone is then unchanged.
    """
    if source == "none":
        return ""
    if source == IMAGENET:
        source = f"{_PUBLISHED}/{backbone.spec.weights}"
    wanted = [] if sha256 is None else [Digest.given(sha256)]
    remote = "://" in source
    if Path(file_name(source) if remote else source).suffix not in _SUFFIXES:
        raise TrainingError("no weights file that can be read", source, f"give one that ends in {', '.join(_SUFFIXES)}")
    path = download(source, wanted, progress) if remote else Path(source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainingError(
            f"the weights cannot be read ({error.strerror})", path, "give a file with --weights PATH"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    for digest in wanted:
        digest.check(found, path)
    try:
        state = _tensors(content, path)
    except TrainingError:
        if remote:
            path.unlink(missing_ok=True)  # such as an error page; kept, it would be found again next time
        raise
    _check(backbone, state, path)
    backbone.load_state_dict({name: state[name] for name in backbone.state_dict() if name in state}, strict=False)
    return found


def fingerprint(backbone: Backbone) -> str:
    """SHA-256 over everything that decides its features: the name, the taps, and every tensor. Two backbones with the
    same one have the same features."""
    return hashlib.sha256(repr((backbone.spec.name, backbone.taps, state_digest(backbone))).encode()).hexdigest()


def state_digest(network: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.endswith(_COUNTER):  # counts batches of a training, and enters no feature
            digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """The state dict of a file. Loading with weights_only builds tensors and containers, and runs nothing."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(content)
        document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in the unpickler in any way there is
        what = "the weights file is damaged, or holds more than tensors, which is never executed"
        raise TrainingError(what, path, "give a state dict saved with torch.save, or a .safetensors file") from error
    for key in ("state_dict", "model"):
        if isinstance(document, Mapping) and isinstance(document.get(key), Mapping):
            document = document[key]
    if not isinstance(document, Mapping) or not all(isinstance(tensor, Tensor) for tensor in document.values()):
        raise TrainingError("the file holds no state dict", path, "save the network's state_dict() alone")
    return {str(name): tensor for name, tensor in document.items()}


def _check(backbone: Backbone, state: Mapping[str, Tensor], path: Path) -> None:
    """Raises TrainingError unless a state dict covers the backbone, and holds nothing that its network does not."""
    name = backbone.spec.name
    known = {key: tensor.shape for key, tensor in whole(backbone.spec).state_dict().items()}
    needed = (key for key in backbone.state_dict() if not key.endswith(_COUNTER))
    todo = f"give weights of torchvision's {name}"
    if foreign := _some(key for key in state if key not in known):
        raise TrainingError(f"{name} has no {foreign}", path, todo)
    if missing := _some(key for key in needed if key not in state):
        raise TrainingError(f"the weights lack {missing}", path, todo)
    if misshapen := _some(key for key, tensor in state.items() if tensor.shape != known[key]):
        raise TrainingError(f"the shape of {misshapen} is not that of {name}", path, todo)
    if unusable := _some(key for key, tensor in state.items() if not _finite(key, tensor)):
        raise TrainingError(f"the values of {unusable} are no finite floating-point numbers", path, todo)


def _finite(key: str, tensor: Tensor) -> bool:
    if tensor.layout != torch.strided or tensor.is_meta:
        return False
    if key.endswith(_COUNTER):
        return not tensor.is_complex()
    return tensor.is_floating_point() and bool(tensor.float().isfinite().all())


def _some(names: Iterable[str]) -> str:
    """Up to three names, and how many more there are; empty where there are none."""
    every = list(names)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
