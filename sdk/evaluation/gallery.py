"""The pictures of a report: the images from which most can be learnt, with what the detector sees in them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.data.images import read_mask
from edgead.data.loading import load_images, read_sample
from edgead.data.samples import Sample
from edgead.evaluation.evaluate import Evaluation, Predict
from edgead.evaluation.heatmap import outline, overlay
from edgead.evaluation.judging import Judgement
from edgead.evaluation.markup import Markup, element, escape, join
from edgead.evaluation.thresholds import Thresholds

SIDE = 288  # pixels of the longer side of a picture
FOUND, PAINTED = (255, 140, 0), (0, 220, 255)  # RGB of the outlines; the style sheet has the same
_BATCH = 8


@dataclass(frozen=True)
class Shelf:
    """A row of the gallery: its heading, what it shows, and which images, by index."""

    heading: str
    note: str
    indices: tuple[int, ...]


def choose(evaluation: Evaluation, thresholds: Thresholds, count: int = 6) -> list[Shelf]:
    """The worst misses, the worst false rejects, the closest to the threshold and the clearest detections, each image
    once."""
    scores, bad = evaluation.scores.astype(np.float64), evaluation.labels
    distance = scores - thresholds.image.value
    rejected = distance >= 0
    shelves: list[Shelf] = []
    taken: set[int] = set()
    for heading, note, wanted, order in (
        ("Missed", "bad parts below the reject threshold, the lowest score first", bad & ~rejected, scores),
        (
            "Falsely rejected",
            "good parts above the reject threshold, the highest score first",
            ~bad & rejected,
            -scores,
        ),
        ("Borderline", "closest to the reject threshold, whatever they are", np.ones_like(bad), np.abs(distance)),
        ("Detected", "bad parts with the highest scores", bad & rejected, -scores),
    ):
        ranked = [int(index) for index in np.argsort(order, kind="stable") if wanted[index] and index not in taken]
        taken.update(ranked[:count])
        shelves.append(Shelf(heading, note, tuple(ranked[:count])))
    return shelves


def gallery(
    shelves: Sequence[Shelf], evaluation: Evaluation, judgement: Judgement, predict: Predict, height: int, width: int
) -> Markup:
    """The shelves as HTML; `predict` runs again for their images alone."""
    maps = _maps([index for shelf in shelves for index in shelf.indices], evaluation, predict, height, width)
    scale = heat_range(evaluation, judgement.thresholds)
    sections = []
    for shelf in shelves:
        cards = [_card(index, evaluation, judgement, maps[index], scale) for index in shelf.indices]
        inside = element("div", *cards, class_="cards") if cards else element("p", "None.", class_="none")
        heading = element("h3", shelf.heading, " ", element("small", shelf.note))
        sections.append(element("section", heading, inside, class_="shelf"))
    return join(sections)


def heat_range(evaluation: Evaluation, thresholds: Thresholds) -> tuple[float, float]:
    """The map's values shown as nothing and as the hottest, the same for all pictures."""
    good, bad = evaluation.peaks[~evaluation.labels], evaluation.peaks[evaluation.labels]
    return heat_scale(good, bad, thresholds.pixel.value)


def heat_scale(good: NDArray[np.float32], bad: NDArray[np.float32], threshold: float) -> tuple[float, float]:
    """The same from the highest values of the maps of good parts and of bad ones, and the value that makes a region.

    A good part's usual peak is faint, the peak of a usual bad one is hot.
    """
    usual = min(float(np.median(good)), threshold) if good.size else threshold
    reach = threshold - usual
    return usual - reach, max(float(np.median(bad)) if bad.size else threshold, threshold + reach)


def _maps(
    indices: Sequence[int], evaluation: Evaluation, predict: Predict, height: int, width: int
) -> dict[int, NDArray[np.float32]]:
    maps = {}
    for begin in range(0, len(indices), _BATCH):
        batch = indices[begin : begin + _BATCH]
        answer = predict(load_images([evaluation.samples[index] for index in batch], height, width))["anomaly_map"]
        maps.update({index: anomaly_map.copy() for index, anomaly_map in zip(batch, answer, strict=True)})
    return maps


def _card(
    index: int,
    evaluation: Evaluation,
    judgement: Judgement,
    anomaly_map: NDArray[np.float32],
    scale: tuple[float, float],
) -> Markup:
    sample, verdict = evaluation.samples[index], judgement.verdicts[index].value
    outlined = small = photo(sample)
    if sample.mask:
        outlined = outline(outlined, read_mask(sample.mask, *small.shape[:2]), PAINTED)
    outlined = outline(outlined, anomaly_map >= judgement.thresholds.pixel.value, FOUND)
    pictures = (
        picture(small, f"{sample.name}: the image"),
        picture(overlay(small, anomaly_map, *scale), f"{sample.name}: heat map"),
        picture(outlined, f"{sample.name}: regions"),
    )
    badge = element("span", verdict, class_=f"badge {verdict}")
    name = element("span", sample.name, class_="name")
    score = element("span", f"score {float(evaluation.scores[index]):.4g}", class_="score")
    caption = element("figcaption", element("div", badge, score, truth(sample), class_="line"), name)
    wrong = (verdict == "reject") != sample.anomalous
    return element("figure", element("div", *pictures, class_="pictures"), caption, class_="wrong" if wrong else None)


def photo(sample: Sample) -> NDArray[np.uint8]:
    """The image of a sample at the size of a picture, uint8 [h, w, 3] RGB. A smaller image stays as it is."""
    image = read_sample(sample)
    ratio = min(1.0, SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def truth(sample: Sample) -> Markup:
    """What is known of the part."""
    return element("span", f"bad part: {sample.defect}" if sample.anomalous else "good part", class_="truth")


def picture(image: NDArray[np.uint8], description: str) -> Markup:
    """uint8 [h, w, 3] RGB as an element that holds the image itself."""
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    source = f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
    return element("img", src=source, alt=escape(description), width=image.shape[1], height=image.shape[0])
