"""Loss landscapes of several runs as one HTML file that needs nothing else, with every picture and number beside it."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgead
from edgead.atomic import write_atomic
from edgead.evaluation.markup import Markup, element
from edgead.evaluation.report import page
from edgead.experiments.landscape.pictures import contour, surface
from edgead.experiments.landscape.plane import RADIUS, Landscape, spread
from edgead.experiments.landscape.scale import Scale, number

_TITLE = "Loss landscapes"
_METHOD = (
    "Random directions, every filter as long as the model's own (Li et al. 2018): a step of 1 is as long as the "
    "weights themselves. Biases and batch norm stay as they are. All models have the same draws, axes and scale; the "
    "scale is logarithmic where all losses are positive. The pictures are those of the first pair of directions; the "
    "cross is the model itself."
)
_RISE = (
    f"Rise: by how much the mean loss on the dotted circle, {RADIUS:g} of a filter's length away, exceeds the model's "
    "own loss, as a part of it. Curvature: the larger eigenvalue of the loss's Hessian in the plane. Both: mean and "
    "standard deviation over pairs of directions."
)
_KINDS = "These models have losses of different kinds: compare the shapes and the rise, and no heights."


@dataclass(frozen=True)
class Portrait:
    """The landscape of one run.

    name: of the run, unique among those shown together. trained_with: the loss that its training minimised. kind: the
    loss that is drawn. Losses of one kind can be compared.
    """

    name: str
    trained_with: str
    batch_size: int
    epochs: int
    kind: str
    landscape: Landscape

    @property
    def figures(self) -> tuple[str, str, str]:
        """The loss at the model's weights, the rise and the curvature, for people."""
        sharpness = self.landscape.sharpness
        return number(self.landscape.centre), plus_minus(sharpness.rise), plus_minus(sharpness.curvature)

    def to_json(self) -> dict[str, Any]:
        facts = {name: value for name, value in vars(self).items() if name != "landscape"}
        return {**facts, **self.landscape.to_json()}


@dataclass(frozen=True)
class Album:
    """Landscapes that share a scale. data: the name of the data. images: how many of its images gave the losses."""

    portraits: tuple[Portrait, ...]
    data: str
    images: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        facts = {"data": self.data, "images": self.images, "seed": self.seed}
        return {**facts, "runs": [portrait.to_json() for portrait in self.portraits]}


def write_album(album: Album, folder: Path) -> None:
    """Write `landscape.html`, `landscape.json`, and `contour-<run>.svg` and `surface-<run>.svg` of every run, each
    whole or not at all."""
    scale = Scale.of([portrait.landscape for portrait in album.portraits])
    sheets = [_Sheet(portrait, scale) for portrait in album.portraits]
    for stem, sheet in zip(_stems(album.portraits), sheets, strict=True):
        write_atomic(folder / f"contour-{stem}.svg", _alone(sheet.contour))
        write_atomic(folder / f"surface-{stem}.svg", _alone(sheet.surface))
    write_atomic(
        folder / "landscape.json", json.dumps(album.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    )
    words = f"{album.images} good images of {album.data}, {len(sheets)} run{'s' if len(sheets) > 1 else ''}."
    header = element("header", element("h1", _TITLE), element("p", words))
    footer = element("footer", f"edgead {edgead.__version__}, seed {album.seed}.")
    main = element("main", header, *(sheet.card() for sheet in sheets), _table(album), footer)
    write_atomic(folder / "landscape.html", page(_TITLE, main, _style()).encode("utf-8", "replace"))


class _Sheet:
    """A run's two pictures, and its place in the report."""

    def __init__(self, portrait: Portrait, scale: Scale) -> None:
        self._portrait = portrait
        self.contour = contour(f"{portrait.name}: iso-lines of the loss", portrait.landscape, scale)
        self.surface = surface(f"{portrait.name}: surface of the loss", portrait.landscape, scale)

    def card(self) -> Markup:
        portrait = self._portrait
        loss, rise, curvature = portrait.figures
        words = (
            f"Trained with {portrait.trained_with}, batch size {portrait.batch_size}. At its weights: {portrait.kind} "
            f"{loss}, rise {rise}, curvature {curvature}."
        )
        pictures = element("div", element("div", self.contour), element("div", self.surface), class_="halves")
        line = element("p", words, class_="soft sharpness")
        return element("section", element("h2", portrait.name), line, pictures, class_="card")


def _table(album: Album) -> Markup:
    heads = ("run", "trained with", "batch size", "epochs", "loss drawn", "its value", "rise", "curvature")
    rows = []
    for one in album.portraits:
        cells = (one.name, one.trained_with, one.batch_size, one.epochs, one.kind, *one.figures)
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    head = element("thead", element("tr", *(element("th", name) for name in heads)))
    body = element("table", head, element("tbody", *rows), class_="runs")
    notes = [_METHOD, _RISE]
    if len({portrait.kind for portrait in album.portraits}) > 1:
        notes.append(_KINDS)
    inside = (element("div", body, class_="scroll"), *(element("p", note, class_="soft") for note in notes))
    return element("section", element("h2", "How sharp"), *inside, class_="card")


def plus_minus(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    mean, deviation = spread(values)
    return number(mean) if len(values) == 1 else f"{number(mean)} ± {number(deviation)}"


def _stems(portraits: Sequence[Portrait]) -> list[str]:
    """The runs' names as parts of file names; where two become one, with a number."""
    plain = [re.sub(r"[^\w.-]+", "-", portrait.name) for portrait in portraits]
    return [stem if plain.count(stem) == 1 else f"{stem}-{index}" for index, stem in enumerate(plain, 1)]


def _alone(picture: Markup) -> bytes:
    """A picture that brings the page's colours and background along."""
    size = dict(re.findall(r'(viewBox|xmlns)="([^"]*)"', picture[: picture.index(">")]))
    paper = element("rect", class_="paper", width="100%", height="100%")
    sheet = (importlib.resources.files("edgead.evaluation") / "report.css").read_text("utf-8") + _style()
    return element("svg", element("style", Markup(sheet)), paper, picture, **size).encode("utf-8", "replace")


def _style() -> str:
    return (importlib.resources.files("edgead.experiments.landscape") / "landscape.css").read_text("utf-8")
