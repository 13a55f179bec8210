"""What INT8 costs each layer, as a drawing: one row a layer, from the pixels down to the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgead.evaluation.markup import Markup, element, join

_WIDE, _RIGHT, _ROW, _HEAD = 880, 70, 16, 64
_LEAST, _MOST = 1e-4, 10.0  # the ends of the axis, which is logarithmic
_LONGEST, _LETTER = 44, 6.4
_INK, _FAINT = "#24292f", "#d0d7de"
_INT8, _FLOAT, _OWN = "#2f6f9f", "#b35900", "#57606a"


def layer_picture(layers: Sequence[Mapping[str, Any]]) -> Markup:
    """An SVG on white. A bar reaches to what the layer alone, in INT8, changes of the anomaly map; a dot stands at what
    INT8 changes of its own answer. Layers that keep float are of another colour.

    layers: rows of a table, in the order of the graph, as calibration records and `edgead sensitivity` have them.
    """
    labels = [layer["module"] or layer["name"] for layer in layers]
    left = 24 + round(_LETTER * max([8, *(min(len(label), _LONGEST) for label in labels)]))
    foot = _HEAD + _ROW * len(layers)

    def x_of(share: float) -> float:
        place = math.log(min(max(share, _LEAST), _MOST) / _LEAST) / math.log(_MOST / _LEAST)
        return round(left + place * (_WIDE - left - _RIGHT), 1)

    parts = []
    for tick in (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0):
        x = x_of(tick)
        parts.append(element("line", x1=x, x2=x, y1=_HEAD - 12, y2=foot, stroke=_FAINT))
        parts.append(_text(f"{tick:.4g}", x, _HEAD - 18, text_anchor="middle"))
    for row, (label, layer) in enumerate(zip(labels, layers, strict=True)):
        y = _HEAD + row * _ROW + 8
        name = label if len(label) <= _LONGEST else "…" + label[-_LONGEST + 1 :]
        colour = _FLOAT if layer.get("float") else _INT8
        parts.append(_text(name, left - 10, y + 4, text_anchor="end", fill=colour if layer.get("float") else _INK))
        error = layer["map_error"]
        if error is not None:
            wide = max(1.0, x_of(error) - left)
            parts.append(element("rect", x=left, y=y - 4, width=wide, height=9, fill=colour))
            parts.append(_text(f"{error:.2%}", x_of(max(error, layer["rounding"])) + 8, y + 4, fill=_INK))
        parts.append(element("circle", cx=x_of(layer["rounding"]), cy=y, r=3.5, fill="#ffffff", stroke=_OWN))
    title = (
        "What INT8 changes where only this layer has it, as a share: bar, of the anomaly map; ring, of its own answer"
    )
    kept = sum(1 for layer in layers if layer.get("float"))
    note = f"{len(layers)} layers" + (f", {kept} keep float (orange)" if kept else "")
    heads = [_text(title, 12, 18, fill=_INK), _text(note, 12, 34)]
    ground = element("rect", width=_WIDE, height=foot + 12, fill="#ffffff")
    size = {"viewBox": f"0 0 {_WIDE} {foot + 12}", "font_family": "sans-serif", "font_size": 11, "role": "img"}
    content = join([element("title", "Sensitivity of the layers to INT8"), ground, *heads, *parts])
    return element("svg", content, xmlns="http://www.w3.org/2000/svg", **size)


def _text(words: str, x: float, y: float, **attributes: Any) -> Markup:
    return element("text", words, x=x, y=y, **{"fill": _OWN, **attributes})
