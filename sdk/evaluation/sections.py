"""The sections of a report, each as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import edgead
from edgead.evaluation import charts
from edgead.evaluation.evaluate import Evaluation, Metrics
from edgead.evaluation.judging import Group, Judgement
from edgead.evaluation.markup import Markup, element, escape, join
from edgead.evaluation.thresholds import Thresholds

_IMAGE = {"image AUROC": "image_auroc", "image AP": "image_ap", "image F1-max": "image_f1_max"}
_PIXEL = {
    "pixel AUROC": "pixel_auroc",
    "pixel AP": "pixel_ap",
    "pixel F1-max": "pixel_f1_max",
    "pixel AUPRO": "pixel_aupro",
}


def header(evaluation: Evaluation, title: str) -> Markup:
    """The title, and what was looked at."""
    bad = int(evaluation.labels.sum())
    categories = ", ".join(sorted(evaluation.categories))
    words = f"{len(evaluation.samples)} images, {len(evaluation.samples) - bad} good and {bad} bad: {categories}"
    return element("header", element("h1", title), element("p", words))


def in_words(judgement: Judgement) -> Markup:
    """What happened to the good parts and to the bad ones."""
    good, bad = judgement.good, judgement.bad
    words: list[Markup] = []
    if good.images:
        words += _sentence(good, "good", (("rejected", good.rejected), ("set aside for a look", good.warned)))
    if bad.images:
        words += _sentence(
            bad, "bad", (("rejected", bad.rejected), ("set aside for a look", bad.warned), ("missed", bad.accepted))
        )
    return element("p", *words, class_="card summary")


def _sentence(group: Group, kind: str, parts: Sequence[tuple[str, int]]) -> list[Markup]:
    begin = f"Of {group.images} {kind} {'part' if group.images == 1 else 'parts'}, "
    phrases = [
        join(
            [
                element("b", f"{count} {'is' if count == 1 else 'are'} {what}"),
                escape(f" ({_percent(count, group.images)})"),
            ]
        )
        for what, count in parts
    ]
    listed = [
        join([phrase, escape(", " if index < len(phrases) - 2 else " and ")])
        for index, phrase in enumerate(phrases[:-1])
    ]
    return [escape(begin), *listed, phrases[-1], escape(". ")]


def tiles(mean: Metrics) -> Markup:
    """The metrics, large."""
    shown = {**_IMAGE, **(_PIXEL if mean.masked else {})}
    return element(
        "div",
        *(
            element("div", element("b", _number(getattr(mean, field))), element("span", name), class_="tile")
            for name, field in shown.items()
        ),
        class_="tiles",
    )


def model(facts: Mapping[str, str]) -> Markup:
    """What is known of the model."""
    rows = [join([element("dt", name), element("dd", value)]) for name, value in facts.items()]
    return element("section", element("h2", "Model"), element("dl", *rows), class_="card")


def origins(thresholds: Thresholds) -> Markup:
    """The thresholds, and how each was found."""
    rows = [
        join(
            [
                element("dt", name),
                element("dd", f"from {threshold.value:.5g}, ", element("span", threshold.describe(), class_="soft")),
            ]
        )
        for name, threshold in (("reject", thresholds.image), ("warn", thresholds.warn), ("region", thresholds.pixel))
    ]
    return element("section", element("h2", "Where the thresholds come from"), element("dl", *rows), class_="card")


def score_charts(evaluation: Evaluation, thresholds: Thresholds) -> Markup:
    """The histogram and the ROC curve."""
    labels, scores = evaluation.labels, evaluation.scores
    end = charts.clipped_above(scores, thresholds)
    key = [_key("good", "good parts"), _key("bad", "bad parts, each as a share of its kind")]
    if end is not None:
        key.append(element("span", f"scores above {end:.4g} are in the last bar"))
    left = element(
        "section",
        element("h2", "Scores"),
        charts.histogram(labels, scores, thresholds),
        element("div", *key, class_="key"),
        class_="card",
    )
    if labels.any() and not labels.all():
        key = [_key("point", "the reject threshold")]
        if len(evaluation.categories) > 1:
            key.append(element("span", "all classes pooled"))
        inside = [
            element("div", charts.roc(labels, scores, thresholds), class_="roc"),
            element("div", *key, class_="key"),
        ]
    else:
        inside = [element("p", "A curve needs good and bad parts.", class_="none")]
    return element("div", left, element("section", element("h2", "ROC"), *inside, class_="card"), class_="pair")


def by_defect(judgement: Judgement) -> Markup:
    """The verdicts on each defect and on good parts."""
    several = len({row.category for row in judgement.defects}) > 1
    heads = ["images", "AUROC", "accepted", "warned", "rejected", ""]
    rows = []
    for row in judgement.defects:
        counts = row.verdicts
        name = f"{row.category} / {row.defect}" if several else row.defect
        cells = (counts.images, _number(row.image_auroc), counts.accepted, counts.warned, counts.rejected)
        bar = charts.share_bar(counts.accepted, counts.warned, counts.rejected)
        rows.append(
            element(
                "tr", element("td", name, class_="text"), *(element("td", cell) for cell in cells), element("td", bar)
            )
        )
    key = (_key(kind, f"{kind}ed") for kind in ("accept", "warn", "reject"))
    return element(
        "section",
        element("h2", "By defect"),
        _table(["defect", *heads], rows),
        element("div", *key, element("span", "AUROC: against the good parts of its class"), class_="key"),
        class_="card",
    )


def verdicts(judgement: Judgement) -> Markup:
    """Good and bad against accepted, warned and rejected."""
    rows = []
    for kind, group, looks in (
        ("good", judgement.good, ("right", "close", "wrong")),
        ("bad", judgement.bad, ("wrong", "close", "right")),
    ):
        cells = [
            element(
                "td",
                element("b", count),
                element("small", _percent(count, group.images)),
                class_=look if count else "empty",
            )
            for count, look in zip((group.accepted, group.warned, group.rejected), looks, strict=True)
        ]
        rows.append(element("tr", element("th", kind), *cells))
    heads = element("tr", *(element("th", name) for name in ("", "accept", "warn", "reject")))
    regions = judgement.good, judgement.bad
    words = "Regions are shown on " + " and ".join(
        f"{group.with_regions} of {group.images} {kind}" for group, kind in zip(regions, ("good", "bad"), strict=True)
    )
    return element(
        "section",
        element("h2", "Verdicts"),
        element("table", element("thead", heads), element("tbody", *rows), class_="matrix"),
        element("p", f"{words} parts.", class_="soft"),
        class_="card",
    )


def by_category(evaluation: Evaluation) -> Markup:
    """The metrics of each class; nothing where there is only one."""
    if len(evaluation.categories) == 1:
        return Markup()
    columns = {**_IMAGE, **(_PIXEL if evaluation.mean.masked else {})}

    def row(name: str, metrics: Metrics, look: str | None = None) -> Markup:
        values = (_number(getattr(metrics, field)) for field in columns.values())
        cells = (element("td", cell) for cell in (metrics.good, metrics.bad, *values))
        return element("tr", element("td", name, class_="text"), *cells, class_=look)

    rows = [row(name, metrics) for name, metrics in sorted(evaluation.categories.items())]
    rows.append(row("mean", evaluation.mean, "mean"))
    return element(
        "section", element("h2", "By class"), _table(["class", "good", "bad", *columns], rows), class_="card"
    )


def _table(heads: Sequence[str], rows: Sequence[Markup]) -> Markup:
    first = element("th", heads[0], class_="text")
    head = element("tr", first, *(element("th", name) for name in heads[1:]))
    return element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def gallery_key() -> Markup:
    """What the pictures of the gallery show."""
    return element(
        "div",
        element("span", "Each: the image, the anomaly map over it, and outlined"),
        _key("found", "what the detector found"),
        _key("painted", "the painted mask, where there is one"),
        class_="key",
    )


def _key(kind: str, words: str) -> Markup:
    return element("span", element("i", class_=kind), words)


def footer(evaluation: Evaluation) -> Markup:
    """How it was measured."""
    mean = evaluation.mean
    words = [f"edgead {edgead.__version__}."]
    if mean.masked:
        without = f" ({mean.bad - mean.masked} have none)" if mean.bad > mean.masked else ""
        words.append(
            f"Pixels are measured at {evaluation.height} x {evaluation.width}, on good images and the {mean.masked} "
            f"bad ones with a mask{without}; AUPRO up to a false positive rate of 0.3."
        )
    if len(evaluation.categories) > 1:
        words.append("The figures on top are means over the classes.")
    return element("footer", " ".join(words))


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}\u00a0%" if total else "–"
