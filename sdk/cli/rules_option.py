"""The options that make rules: where to look, how large a defect is, how many frames it takes, what a part is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from edgead.detector import Detector
from edgead.errors import DataError
from edgead.verdicts import (
    AreaLimit,
    Hysteresis,
    Line,
    PartRule,
    Polygon,
    Rules,
    Ruling,
    Rulings,
    Scoring,
    TriggerAddress,
    parse_area,
)
from edgead.verdicts.areas import Area, AreaKind

_OPTIONS = (
    click.option(
        "--roi",
        "rois",
        metavar="AREA",
        multiple=True,
        help='Look only here: corners "x,y x,y x,y" in shares of the frame, or a mask painted in white; repeatable.',
    ),
    click.option("--ignore", "ignored", metavar="AREA", multiple=True, help="Do not look here; repeatable."),
    click.option(
        "--min-area", metavar="PIXELS|SHARE%", help="A defect has at least so many pixels of the frame, or 0.5%."
    ),
    click.option("--hysteresis", metavar="K/N", help="Reject once K of the last N frames are rejected."),
    click.option(
        "--trigger",
        metavar="stdin|line:x1,y1,x2,y2|URL",
        help="One verdict for each part: a line `part` or `part NAME` on standard input begins one, or something that "
        "crosses a line from the left to the right of who walks along it, in shares of the frame, or a message to an "
        "mqtt:// or mqtts:// topic, or an edge of a gpio:// line.",
    ),
)


def rules_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command gets them as `rules`, a Rules."""

    @functools.wraps(function)
    def command(
        *arguments: Any,
        rois: tuple[str, ...],
        ignored: tuple[str, ...],
        min_area: str | None,
        hysteresis: str | None,
        trigger: str | None,
        **named: Any,
    ) -> Any:
        rules = Rules(
            roi=tuple(map(parse_area, rois)),
            ignore=tuple(map(parse_area, ignored)),
            min_area=AreaLimit.parse(min_area) if min_area else None,
            hysteresis=Hysteresis.parse(hysteresis) if hysteresis else None,
            parts=_parts(trigger) if trigger else None,
        )
        return function(*arguments, rules=rules, **named)

    decorated: Callable[..., Any] = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def ruling_of(rules: Rules, detector: Detector, *, several: bool, changing: bool) -> Ruling | Rulings | None:
    """What applies the rules, to each camera by itself; None where there are none and none can come."""
    if rules == Rules() and not changing:
        return None
    scoring = Scoring.of(detector)
    return Rulings(rules, scoring) if several else Ruling(rules, scoring)


Drawn = tuple[Polygon | None, Callable[[Polygon | None], None] | None]
"""An area that the dashboard shows, and what carries out a change of it."""


def drawn_area(ruling: Ruling | Rulings | None) -> Drawn:
    """Where to look. The dashboard draws one polygon: what it cannot show it does not change."""
    return _drawn(ruling, "roi")


def drawn_ignored(ruling: Ruling | Rulings | None) -> Drawn:
    """Likewise where not to look."""
    return _drawn(ruling, "ignore")


def _drawn(ruling: Ruling | Rulings | None, kind: AreaKind) -> Drawn:
    if ruling is None:
        return None, None
    areas: tuple[Area, ...] = getattr(ruling.rules, kind)
    area = areas[0] if len(areas) == 1 and isinstance(areas[0], Polygon) else None
    if not ruling.scoring.kind or (areas and area is None):
        return area, None
    return area, lambda drawn: ruling.redraw(kind, () if drawn is None else (drawn,))


def _parts(trigger: str) -> PartRule:
    if trigger == "stdin":
        return PartRule("stdin")
    if "://" in trigger:
        return PartRule(TriggerAddress(trigger))
    kind, _, place = trigger.partition(":")
    if kind != "line":
        todo = "give stdin, line:x1,y1,x2,y2, or an address with mqtt://, mqtts:// or gpio://"
        shown = "" if "@" in kind else kind if "@" in trigger else trigger  # before an @ there may be a password
        raise DataError("there is no such trigger", shown, todo)
    return PartRule(Line.parse(place))
