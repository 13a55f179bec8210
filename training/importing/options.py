"""What has to be known of a UniAD checkpoint, from its tensors, its settings and its user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgead.errors import TrainingError
from edgead.training.backbones import BACKBONES
from edgead.training.importing.checkpoint import RESAVE, Checkpoint
from edgead.training.importing.efficientnet import BACKBONE
from edgead.training.importing.names import Sizes
from edgead.training.models.uniad import UniadOptions

Value = TypeVar("Value")

_STRIDE = 16
_THEIRS = "efficientnet_b4"
"""What the authors' settings call the network that is `BACKBONE` here; ours of that name pads another way."""
_TAPS = {272: (1, 2, 3, 5), 720: (1, 2, 3, 5, 7)}
"""Channels of the authors' feature tokens -> the stages of EfficientNet-B4 that they come from."""


@dataclass(frozen=True)
class ImportOptions:
    """What the shapes of a checkpoint's tensors do not tell. None is what the settings in the checkpoint say, or the
    authors' value where it has none."""

    backbone: str = field(
        default=BACKBONE,
        metadata={"help": f"the feature extractor; {BACKBONE} is the authors' own", "choices": tuple(BACKBONES)},
    )
    taps: str = field(
        default="auto", metadata={"help": "where features are taken, comma-separated; auto: by the number of channels"}
    )
    height: int | None = field(
        default=None, metadata={"help": "height of the input, pixels; by default as trained, or 16 a token"}
    )
    width: int | None = field(
        default=None, metadata={"help": "width of the input, pixels; by default as trained, or 16 a token"}
    )
    heads: int | None = field(default=None, metadata={"help": "heads of every attention; by default as trained, or 8"})
    neighbor_height: int | None = field(
        default=None, metadata={"help": "rows of the window that attention may not see; by default as trained, or 7"}
    )
    neighbor_width: int | None = field(
        default=None, metadata={"help": "columns of that window; by default as trained, or 7"}
    )
    mask_encoder: bool | None = field(
        default=None, metadata={"help": "mask the window in the encoder; by default as trained, or yes"}
    )
    mask_memory: bool | None = field(default=None, metadata={"help": "mask it where the decoder asks the encoder"})
    mask_previous: bool | None = field(default=None, metadata={"help": "mask it where it asks its previous layer"})
    score: str = field(
        default="max",
        metadata={
            "help": "image score: the maximum of the average-pooled map, or its mean as for CIFAR-10",
            "choices": ("max", "mean"),
        },
    )
    validation: float = field(
        default=0.2, metadata={"help": "share of the normal images on which the thresholds are fitted"}
    )
    seed: int = field(default=0, metadata={"help": "seed of the choice of these images"})


def uniad_options(checkpoint: Checkpoint, sizes: Sizes, given: ImportOptions) -> UniadOptions:
    """The model that a checkpoint belongs to. Raises TrainingError for one that edgead's UniAD cannot be."""
    said = _Said(checkpoint)
    said.check(given.backbone)
    stride, (rows, columns) = said.stride, said.window
    encoder, memory, previous = said.masks
    taps = _TAPS.get(sizes.channels) if given.backbone in (BACKBONE, _THEIRS) and given.taps == "auto" else None
    return UniadOptions(
        height=_first(given.height, stride * sizes.rows),
        width=_first(given.width, stride * sizes.columns),
        backbone=given.backbone,
        taps=",".join(f"features.{index}" for index in taps) if taps else given.taps,
        feature_height=sizes.rows,
        feature_width=sizes.columns,
        feature_resize="point",
        standardise="off",
        score=given.score,
        hidden=sizes.hidden,
        encoder_layers=sizes.encoder,
        decoder_layers=sizes.decoder,
        heads=_first(given.heads, said.heads),
        feed_forward=sizes.feed_forward,
        neighbor_height=_first(given.neighbor_height, rows),
        neighbor_width=_first(given.neighbor_width, columns),
        mask_encoder=_first(given.mask_encoder, encoder),
        mask_memory=_first(given.mask_memory, memory),
        mask_previous=_first(given.mask_previous, previous),
    )


def _first(given: Value | None, otherwise: Value) -> Value:
    return otherwise if given is None else given


class _Said:
    """The settings in a checkpoint, or the authors' values where it has none."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._path, parts = checkpoint.path, checkpoint.settings
        own: Mapping[str, Any] = parts.get("reconstruction", {})
        try:
            self.backbone = str(parts.get("backbone", {}).get("type") or "").rpartition(".")[2]
            self.stride = int(parts.get("neck", {}).get("outstrides", [_STRIDE])[0])
            self.heads = int(own.get("nhead", 8))
            self.positions, self.activation = own.get("pos_embed_type", "learned"), own.get("activation", "relu")
            mask = own.get("neighbor_mask", {"neighbor_size": [7, 7], "mask": [True, True, True]})
            # Their window reaches half its side, rounded down, to both sides of the query.
            self.window = tuple(2 * (int(side) // 2) + 1 for side in mask["neighbor_size"]) if mask else (7, 7)
            self.masks = tuple(map(bool, mask["mask"])) if mask else (False, False, False)
            if len(self.window) != 2 or len(self.masks) != 3:
                raise ValueError("neighbor_mask")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"the checkpoint's settings cannot be read ({error})", self._path, RESAVE) from error

    def check(self, backbone: str) -> None:
        """Raise TrainingError for settings that edgead's UniAD does not have."""
        if self.positions not in ("v3", "learned"):
            raise TrainingError(
                f"positions of type {self.positions} are not supported", self._path, "train with learned positions"
            )
        if self.activation != "relu":
            raise TrainingError(
                f"activation {self.activation} is not supported", self._path, "train with activation relu"
            )
        ours = BACKBONE if self.backbone == _THEIRS else self.backbone
        if self.backbone and backbone not in (ours, self.backbone):
            raise TrainingError(
                f"the checkpoint was trained on {self.backbone}, not {backbone}",
                self._path,
                f"give --backbone {ours} and --taps",
            )
