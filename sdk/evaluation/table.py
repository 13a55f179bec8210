"""An evaluation on the terminal."""

from __future__ import annotations

import math

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgead.evaluation.evaluate import Evaluation, Metrics
from edgead.evaluation.judging import Judgement
from edgead.evaluation.thresholds import Thresholds

_IMAGE = {"image_auroc": "image\nAUROC", "image_ap": "\nAP", "image_f1_max": "\nF1-max"}
_PIXEL = {"pixel_auroc": "pixel\nAUROC", "pixel_ap": "\nAP", "pixel_f1_max": "\nF1-max", "pixel_aupro": "\nAUPRO"}


def table(evaluation: Evaluation, thresholds: Thresholds | None = None) -> RenderableType:
    """The metrics by category, and under thresholds the verdicts by defect; readable in 80 columns."""
    mean = evaluation.mean
    parts: list[RenderableType] = [_metrics(evaluation)]
    if 0 < mean.masked < mean.bad:
        parts.append(_note(f"{mean.bad - mean.masked} bad images without a mask are left out of the pixel metrics."))
    if thresholds is not None:
        parts.append(_verdicts(evaluation.judge(thresholds)))
        for name, threshold in (("reject", thresholds.image), ("warn", thresholds.warn), ("region", thresholds.pixel)):
            parts.append(_note(f"{name} from {threshold.value:.5g}: {threshold.describe()}"))
    return Group(*parts)


def _metrics(evaluation: Evaluation) -> Table:
    mean = evaluation.mean
    columns = {**_IMAGE, **(_PIXEL if mean.masked else {})}
    pixels = f", maps of {evaluation.height} x {evaluation.width}" if mean.masked else ""
    shown = _table(f"{mean.good} good and {mean.bad} bad images{pixels}", "\nclass", *columns.values())

    def cells(metrics: Metrics) -> list[str]:
        return [_number(getattr(metrics, field)) for field in columns]

    for name, metrics in sorted(evaluation.categories.items()):
        shown.add_row(Text(name), *cells(metrics))
    if len(evaluation.categories) > 1:
        shown.add_section()
        shown.add_row(Text("mean"), *cells(mean), style="bold")
    return shown


def _verdicts(judgement: Judgement) -> Table:
    several = len({row.category for row in judgement.defects}) > 1
    headings = ("\nimages", "image\nAUROC", "\naccept", "\nwarn", "\nreject", "with\nregions")
    shown = _table("verdicts", "\ndefect", *headings)
    for row in judgement.defects:
        counts = row.verdicts
        numbers = (counts.accepted, counts.warned, counts.rejected, counts.with_regions)
        name = f"{row.category}/{row.defect}" if several else row.defect
        shown.add_row(Text(name), str(counts.images), _number(row.image_auroc), *map(str, numbers))
    return shown


def _table(title: str, first: str, *others: str) -> Table:
    shown = Table(title=title, title_style="bold", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    shown.add_column(first, overflow="fold")
    for heading in others:
        shown.add_column(heading, justify="right", no_wrap=True)
    return shown


def _note(words: str) -> Text:
    return Text(words, style="dim")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
