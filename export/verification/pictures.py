"""The pictures of a comparison: the images on which two detectors differ, with what each sees in them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.data.samples import Sample
from edgead.evaluation.gallery import FOUND, PAINTED, heat_scale, photo, picture, truth
from edgead.evaluation.heatmap import outline, overlay
from edgead.evaluation.markup import Markup, element
from edgead.export.verification.side_by_side import Side, SideBySide

MOST, FEWER = 24, 8
"""Images shown at most: of those whose verdict changed, and of those whose maps differ where none did."""
_TINY = float(np.finfo(np.float32).tiny)


def chosen(found: SideBySide) -> tuple[list[int], str]:
    """Which images to show, and why those."""
    changed = found.changed
    if changed:
        shown = f"{MOST} of {len(changed)}" if len(changed) > MOST else str(len(changed))
        return changed[:MOST], f"Changed verdicts ({shown}), those between rejected and not first"
    if found.alike:
        maps = (found.reference.measured.answers.maps, found.judged.measured.answers.maps)
        apart, what = np.square(maps[1] - maps[0]).mean(axis=(1, 2)), "whose maps differ most"
    else:
        heats = [_peak_heats(side) for side in (found.reference, found.judged)]
        apart, what = np.abs(heats[1] - heats[0]), "whose highest values of the map differ most"
    if not apart.any():
        what = "that are first, as no map differs"
    order = np.argsort(-apart, kind="stable")[:FEWER]
    return [int(index) for index in order], f"No verdict changed; the {len(order)} images {what}"


def cards(found: SideBySide, indices: list[int]) -> Markup:
    """Each image with both heat maps, in one scale of colours, and what both say of it."""
    sides = (found.reference, found.judged)
    scales = _scales(found)
    return element("div", *(_card(found, index, sides, scales) for index in indices), class_="cards")


def _card(
    found: SideBySide, index: int, sides: tuple[Side, Side], scales: tuple[tuple[float, float], tuple[float, float]]
) -> Markup:
    name, sample, mask = found.names[index], found.samples[index], found.judged.held.masks[index]
    painted = found.comparison.painted and bool(found.judged.held.anomalous[index])
    image = _photo(sample, found.judged.held.images[index] if painted else None)
    pictures = [picture(outline(image, mask, PAINTED) if mask.any() else image, f"{name}: the image")]
    says = [element("div", element("span", "a painted defect") if painted else truth(sample))]
    for title, side, scale in zip(("reference", "judged"), sides, scales, strict=True):
        measured = side.measured
        anomaly_map = measured.answers.maps[index]
        heat = outline(overlay(image, anomaly_map, *scale), anomaly_map >= measured.thresholds.pixel.value, FOUND)
        pictures.append(picture(heat, f"{name}: heat map, {title}"))
        verdict = measured.verdicts[index].value
        badge = element("span", verdict, class_=f"badge {verdict}")
        score = element("span", f"{measured.answers.scores[index]:.5g}", class_="score")
        says.append(element("div", element("small", title), badge, score))
    before, after = found.verdicts(index)
    look = "wrong" if (before == "reject") != (after == "reject") else None
    caption = element("figcaption", element("div", *says, class_="says"), element("span", name, class_="name"))
    return element("figure", element("div", *pictures, class_="pictures"), caption, class_=look)


def _photo(sample: Sample, painted: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """uint8 [h, w, 3], at the size of a picture and in the shape of the photograph; painted: what to show of it where
    a defect was painted on it."""
    image = photo(sample)
    if painted is None:
        return image
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.resize(painted, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scales(found: SideBySide) -> tuple[tuple[float, float], tuple[float, float]]:
    """The maps' values shown as nothing and as the hottest, of the reference and of the other.

    In both, the threshold of pixels has the same colour, and so has what is as many times as far from it as a good
    part's usual peak is: only so are maps of different units in one scale.
    """
    (low, high), (other, _) = (_scale(side) for side in (found.reference, found.judged))
    above = (high - low) / (found.reference.measured.thresholds.pixel.value - low)
    return (low, high), (other, other + above * (found.judged.measured.thresholds.pixel.value - other))


def _scale(side: Side) -> tuple[float, float]:
    threshold = side.measured.thresholds.pixel.value
    peaks = side.measured.answers.maps.max(axis=(1, 2))
    low, high = heat_scale(peaks[~side.held.anomalous], peaks[side.held.anomalous], threshold)
    least = max(0.05 * abs(threshold), _TINY)  # where a usual peak is at the threshold, or above
    return min(low, threshold - least), max(high, threshold + least)


def _peak_heats(side: Side) -> NDArray[np.float64]:
    """The highest value of each map, with 0 for the threshold of pixels and -1 for what has no colour."""
    (low, _), threshold = _scale(side), side.measured.thresholds.pixel.value
    peaks = side.measured.answers.maps.max(axis=(1, 2))
    return np.asarray((peaks.astype(np.float64) - threshold) / (threshold - low))


def gallery(found: SideBySide) -> Markup:
    """The section of pictures, whole."""
    indices, why = chosen(found)
    key = element(
        "div",
        element("span", "Each: the image, the reference's heat map and that of the judged; outlined"),
        element("span", element("i", class_="found"), "what reaches each side's pixel threshold"),
        element("span", element("i", class_="painted"), "the defect, where it is known"),
        element("span", "The threshold has the same colour in all heat maps."),
        class_="key",
    )
    return element("section", element("h2", why), key, cards(found, indices), class_="card gallery")
