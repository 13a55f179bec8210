"""A few test images of each category with what the detector sees in them, none of them chosen for its looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.data.images import read_mask
from edgead.data.loading import load_images
from edgead.data.samples import Sample
from edgead.evaluation.evaluate import Evaluation, Predict
from edgead.evaluation.gallery import heat_scale, photo, picture, truth
from edgead.evaluation.heatmap import OUTLINE, outline, overlay
from edgead.evaluation.markup import Markup, element

COUNT = 4
"""Images of a category."""


@dataclass(frozen=True)
class Exhibit:
    """A test image with its map, float32 [H, W], and the map's values that are shown as nothing and as the hottest."""

    sample: Sample
    score: float
    anomaly_map: NDArray[np.float32]
    scale: tuple[float, float]


def exhibits(evaluation: Evaluation, predict: Predict, count: int = COUNT) -> list[Exhibit]:
    """Up to `count` images of each category, in the order of categories. Of good parts and of each defect, by turns,
    the ones whose scores are nearest to the median of their kind: what usually happens. `predict` runs again for
    these."""
    found = []
    for category in sorted(evaluation.categories):
        members = [index for index, sample in enumerate(evaluation.samples) if sample.category == category]
        chosen = _choose(evaluation, members)[:count]
        good, bad = (
            evaluation.peaks[[index for index in members if evaluation.samples[index].anomalous == kind]]
            for kind in (False, True)
        )
        scale = heat_scale(good, bad, float(good.max()) if good.size else float(np.median(bad)))
        images = load_images([evaluation.samples[index] for index in chosen], evaluation.height, evaluation.width)
        maps = predict(images)["anomaly_map"]
        found += [
            Exhibit(evaluation.samples[index], float(evaluation.scores[index]), anomaly_map.copy(), scale)
            for index, anomaly_map in zip(chosen, maps, strict=True)
        ]
    return found


def _choose(evaluation: Evaluation, members: Sequence[int]) -> list[int]:
    """The members: the most usual one of each kind, then the next one of each, good parts first."""
    kinds: defaultdict[tuple[bool, str], list[int]] = defaultdict(list)
    for index in members:
        kinds[evaluation.samples[index].anomalous, evaluation.samples[index].defect].append(index)
    turns = []
    for kind, indices in sorted(kinds.items()):
        median = float(np.median(evaluation.scores[indices]))
        usual = sorted(indices, key=lambda index: (abs(float(evaluation.scores[index]) - median), index))
        turns += [(turn, kind, index) for turn, index in enumerate(usual)]
    return [index for _, _, index in sorted(turns)]


def by_category(shown: Sequence[Exhibit]) -> list[tuple[str, list[Exhibit]]]:
    """The exhibits of each category."""
    found: defaultdict[str, list[Exhibit]] = defaultdict(list)
    for exhibit in shown:
        found[exhibit.sample.category].append(exhibit)
    return sorted(found.items())


def row(shown: Sequence[Exhibit]) -> Markup:
    """Images as one row: each above its heat map, with the painted mask as a line in both."""
    return element("div", *map(_card, shown), class_="cards row")


def _card(exhibit: Exhibit) -> Markup:
    sample, image = exhibit.sample, photo(exhibit.sample)
    mask = read_mask(sample.mask, *image.shape[:2]) if sample.mask else None
    plain = image if mask is None else outline(image, mask, OUTLINE)
    heat = overlay(image, exhibit.anomaly_map, *exhibit.scale, mask)
    pictures = (picture(plain, f"{sample.name}: the image"), picture(heat, f"{sample.name}: heat map"))
    line = element("div", element("span", f"score {exhibit.score:.4g}", class_="score"), truth(sample), class_="line")
    caption = element("figcaption", line, element("span", sample.name, class_="name"))
    return element("figure", element("div", *pictures, class_="pictures"), caption)
