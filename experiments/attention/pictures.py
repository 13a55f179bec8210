"""What LEA-Net makes of images, as pictures: recoloured photographs (the paper's Figure 3), and the classifier's
features before and after attention (Figure 5)."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

import edgead
from edgead.data.samples import Sample
from edgead.evaluation.gallery import SIDE, picture, truth
from edgead.evaluation.markup import Markup, element
from edgead.evaluation.report import page
from edgead.experiments.landscape.scale import colour

_TITLE = "What LEA-Net sees"
_COLOURS = (
    "Colours: the photograph as the network reads it, the same lightness in the colours that the U-Net expects of a "
    "good part, and how far both are apart (CIEDE2000, on one scale for all images)."
)
_POINTS = (
    "Attention point: the classifier's features before attention, the attention M, and the features after it, which "
    "are (1 + M) times those before. Features are means over their channels; those before and after, of all images, "
    "share a scale, so that what attention adds is brighter. Attention of one colour strengthens every place alike. "
    "Under each picture stand its scale, and its lowest and highest values."
)
_NO_POINTS = "This classifier takes in no attention between its layers."
_PALETTE = "linear-gradient(90deg, " + ", ".join(colour(step / 16) for step in range(17)) + ")"

Span = tuple[float, float]
Values = NDArray[np.float32]
Number = TypeVar("Number", np.uint8, np.float32)


@dataclass(frozen=True)
class AtPoint:
    """What attention does to one image at one point, each float32 [h, w]: the features before and after, as means over
    their channels, and the attention between them."""

    point: int
    before: Values
    attention: Values
    after: Values


@dataclass(frozen=True)
class Seen:
    """What a LEA-Net makes of one image.

    probability: of being bad. photograph, recoloured: uint8 [H, W, 3] RGB. difference: float32 [H, W], CIEDE2000
    between the two. points: shallow to deep, the same for all images that are shown together; none where nothing is
    attended.
    """

    sample: Sample
    probability: float
    photograph: NDArray[np.uint8]
    recoloured: NDArray[np.uint8]
    difference: Values
    points: tuple[AtPoint, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One picture, uint8 [h, w, 3] RGB. name: part of its file's name. scale: the values of the darkest and of the
    brightest colour; values: the lowest and the highest that there are; None in a photograph."""

    name: str
    title: str
    image: NDArray[np.uint8]
    scale: Span | None = None
    values: Span | None = None


@dataclass(frozen=True)
class Row:
    """The pictures of one image: the colours first, then each point, three panels each, under a heading."""

    seen: Seen
    triples: tuple[tuple[str, tuple[Panel, ...]], ...]


def draw(images: Sequence[Seen]) -> list[Row]:
    """A row for each image. CIEDE2000 has one scale in all of them, and so have the features at each point."""
    furthest = _scale([seen.difference for seen in images])
    features: dict[int, list[Values]] = {}
    for seen in images:
        for at in seen.points:
            features.setdefault(at.point, []).extend((at.before, at.after))
    scales = {point: _scale(values) for point, values in features.items()}
    return [
        Row(seen, (_colours(seen, furthest), *(_at(at, seen, scales[at.point]) for at in seen.points)))
        for seen in images
    ]


def attention_page(rows: Sequence[Row], words: str, seed: int) -> str:
    """The rows as an HTML page that needs nothing else. words: which run and which images they are of."""
    explained = (_COLOURS, _POINTS if any(row.seen.points for row in rows) else _NO_POINTS)
    header = element("header", element("h1", _TITLE), *(element("p", each) for each in (words, *explained)))
    footer = element("footer", f"edgead {edgead.__version__}, seed {seed}.")
    main = element("main", header, *(_card(row) for row in rows), footer)
    style = (importlib.resources.files("edgead.experiments.attention") / "attention.css").read_text("utf-8")
    return page(_TITLE, main, f"{style}.bar i {{ background: {_PALETTE}; }}\n")


def picture_files(rows: Sequence[Row]) -> dict[str, bytes]:
    """Every picture as a PNG, by the name of its file: the place of its image, the image, and what is shown."""
    digits, files = len(str(len(rows))), {}
    for index, row in enumerate(rows, 1):
        stem = f"{index:0{digits}}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', row.seen.sample.name)}"
        for _, panels in row.triples:
            files.update({f"{stem}-{panel.name}.png": _png(panel.image) for panel in panels})
    return files


def span(values: Values) -> Span:
    """The lowest and the highest of the values that are numbers."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _scale(values: Sequence[Values]) -> Span:
    """From 0, so that twice as much looks it, to the highest value."""
    spans = [span(each) for each in values]
    return min(0.0, *(low for low, _ in spans)), max(0.0, *(high for _, high in spans))


def _colours(seen: Seen, scale: Span) -> tuple[str, tuple[Panel, ...]]:
    size = _size(seen)
    panels = (
        Panel("photograph", "photograph", _resized(seen.photograph, size)),
        Panel("recoloured", "recoloured", _resized(seen.recoloured, size)),
        _coloured("difference", "CIEDE2000", _resized(seen.difference, size), scale, span(seen.difference)),
    )
    return "Colours", panels


def _at(at: AtPoint, seen: Seen, scale: Span) -> tuple[str, tuple[Panel, ...]]:
    size = _size(seen)
    panels = []
    for name, values, limits in (
        ("before", at.before, scale),
        ("attention", at.attention, (0.0, 1.0)),
        ("after", at.after, scale),
    ):
        cells = cv2.resize(values, size, interpolation=cv2.INTER_NEAREST)  # as coarse as they are
        panels.append(_coloured(f"point{at.point}-{name}", name, np.asarray(cells, np.float32), limits, span(values)))
    rows, columns = at.before.shape
    return f"Attention point {at.point}, {rows} × {columns} cells", tuple(panels)


def _size(seen: Seen) -> tuple[int, int]:
    """Width and height of an image's pictures, in pixels."""
    height, width = seen.difference.shape
    ratio = SIDE / max(height, width)
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _resized(values: NDArray[Number], size: tuple[int, int]) -> NDArray[Number]:
    how = cv2.INTER_AREA if size[0] < values.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size, interpolation=how), values.dtype)


def _coloured(name: str, title: str, values: Values, scale: Span, own: Span) -> Panel:
    """Values as colours; one that is not a number is as bright as the highest."""
    low, high = scale
    shares = np.clip((values.astype(np.float64) - low) / (high - low or 1.0), 0, 1)
    levels = (np.nan_to_num(shares, nan=1.0) * 255).round().astype(np.uint8)
    image = np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, :, ::-1])
    return Panel(name, title, np.asarray(image, np.uint8), scale, own)


def _card(row: Row) -> Markup:
    sample = row.seen.sample
    probability = element("span", "probability of being bad ", element("b", f"{row.seen.probability:.3f}"))
    line = element("p", element("b", truth(sample)), probability, class_="line")
    triples = []
    for heading, panels in row.triples:
        cells = element("div", *(_cell(panel, sample) for panel in panels), class_="panels")
        triples.append(element("div", element("h3", heading), cells))
    head = element("div", element("h2", sample.name), line, class_="head")
    return element("section", head, element("div", *triples, class_="triples"), class_="card")


def _cell(panel: Panel, sample: Sample) -> Markup:
    parts = [picture(panel.image, f"{sample.name}: {panel.title}"), element("figcaption", panel.title)]
    if panel.scale and panel.values:
        low, high = (element("span", f"{value:.3g}") for value in panel.scale)
        parts.append(element("div", low, element("i"), high, class_="bar"))
        parts.append(element("small", "{:.3g} to {:.3g}".format(*panel.values)))
    return element("figure", *parts)


def _png(image: NDArray[np.uint8]) -> bytes:
    encoded: bytes = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
    return encoded
