"""UniAD's tensors: the authors' names and ours.

Both networks have the same layers. torch's own attention, which theirs is, keeps the projections into query, key and
value as one tensor, which is split in three here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from edgead.errors import TrainingError

Names = dict[str, tuple[str, ...]]
"""Their name of a tensor -> ours; three where theirs holds query, key and value."""


class Sizes(NamedTuple):
    """What the shapes tell. rows, columns: of the grid of tokens. encoder, decoder: how many layers."""

    channels: int
    hidden: int
    feed_forward: int
    rows: int
    columns: int
    encoder: int
    decoder: int


def sizes_of(state: Mapping[str, Tensor], where: object) -> Sizes:
    """The sizes of the authors' network. Raises TrainingError where the state dict is of no UniAD, or of a variant that
    edgead does not have."""
    if not any(name.startswith("pos_embed.") for name in state):
        if "input_proj.weight" in state:
            raise TrainingError(
                "the checkpoint has no learned positions; UniAD with sine positions (v2) is not supported",
                where,
                "train with pos_embed_type: learned",
            )
        raise TrainingError(
            "the checkpoint is of no UniAD: it has no input_proj.weight", where, "give one that UniAD's code has saved"
        )
    if "transformer.encoder.norm.weight" in state:
        raise TrainingError(
            "the checkpoint normalises before each layer, which is not supported",
            where,
            "train with normalize_before: False",
        )
    hidden, channels = _shape(state, "input_proj.weight", where)
    return Sizes(
        channels,
        hidden,
        _shape(state, "transformer.encoder.layers.0.linear1.weight", where)[0],
        _shape(state, "pos_embed.row_embed.weight", where)[0],
        _shape(state, "pos_embed.col_embed.weight", where)[0],
        *(_layers(state, part) for part in ("encoder", "decoder")),
    )


def _shape(state: Mapping[str, Tensor], name: str, where: object) -> tuple[int, int]:
    if name not in state or state[name].ndim != 2:
        what = f"the checkpoint lacks {name}" if name not in state else f"{name} is no matrix"
        raise TrainingError(what, where, "give one that UniAD's code has saved")
    rows, columns = state[name].shape
    return rows, columns


def _layers(state: Mapping[str, Tensor], part: str) -> int:
    found = (re.match(rf"transformer\.{part}\.layers\.(\d+)\.", name) for name in state)
    return len({match[1] for match in found if match})


def tensor_names(sizes: Sizes) -> Names:
    """Every tensor of the authors' network, and what it is called here."""
    modules = {"input_proj": "input", "output_proj": "output", "transformer.decoder.norm": "norm"}
    attentions: dict[str, str] = {}
    names: Names = {
        "pos_embed.row_embed.weight": ("positions.row",),
        "pos_embed.col_embed.weight": ("positions.column",),
    }
    for index in range(sizes.encoder):
        theirs, ours = f"transformer.encoder.layers.{index}", f"encoder.{index}"
        attentions |= {f"{theirs}.self_attn": f"{ours}.attention"}
        modules |= _feed_forward(theirs, ours)
        modules |= {f"{theirs}.norm1": f"{ours}.after_attention.norm"}
        modules |= {f"{theirs}.norm2": f"{ours}.after_feed_forward.norm"}
    for index in range(sizes.decoder):
        theirs, ours = f"transformer.decoder.layers.{index}", f"decoder.{index}"
        names |= {f"{theirs}.learned_embed.weight": (f"queries.{index}",)}
        attentions |= {f"{theirs}.self_attn": f"{ours}.first", f"{theirs}.multihead_attn": f"{ours}.second"}
        modules |= _feed_forward(theirs, ours)
        modules |= {f"{theirs}.norm1": f"{ours}.after_first.norm", f"{theirs}.norm2": f"{ours}.after_second.norm"}
        modules |= {f"{theirs}.norm3": f"{ours}.after_feed_forward.norm"}
    for theirs, ours in attentions.items():
        modules |= {f"{theirs}.out_proj": f"{ours}.output"}
        for leaf in ("weight", "bias"):
            names[f"{theirs}.in_proj_{leaf}"] = tuple(f"{ours}.{part}.{leaf}" for part in ("query", "key", "value"))
    for theirs, ours in modules.items():
        names |= {f"{theirs}.{leaf}": (f"{ours}.{leaf}",) for leaf in ("weight", "bias")}
    return names


def _feed_forward(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.linear1": f"{ours}.feed_forward.0", f"{theirs}.linear2": f"{ours}.feed_forward.3"}
