"""A run as an SVG: the latency of every engine, and its throughput by batch."""

from __future__ import annotations

from typing import Any

from edgead.bench.report import Report
from edgead.evaluation.charts import coordinate, ticks
from edgead.evaluation.markup import Markup, element, join

_WIDE, _RIGHT, _ROW, _HEAD, _GAP = 880, 100, 24, 46, 30
_LONGEST = 54  # letters of a name; of a longer one the end is shown
_LETTER = 7.4  # pixels of a letter, on average
_INK, _FAINT, _BAR, _MARK = "#24292f", "#d0d7de", "#2f6f9f", "#b35900"


def draw(report: Report) -> Markup:
    """A drawing on white, so that it can be read on any page."""
    latency, foot = _Panel(report, _HEAD).latency()
    throughput, foot = _Panel(report, foot + _HEAD).throughput()
    runs_on = report.engines[0].device
    note = _text(f"{runs_on}; {report.rounds} rounds by turns", _WIDE - 12, foot + 14, text_anchor="end", fill=_INK)
    high = foot + 28
    ground = element("rect", width=_WIDE, height=high, fill="#ffffff")
    title = element("title", "Latency and throughput of engines")
    size = {"viewBox": f"0 0 {_WIDE} {high}", "font_family": "sans-serif", "font_size": 13, "role": "img"}
    return element("svg", title, ground, latency, throughput, note, xmlns="http://www.w3.org/2000/svg", **size)


class _Panel:
    """Rows of bars below each other, from `top` on, on an axis that starts at nothing."""

    def __init__(self, report: Report, top: int) -> None:
        self._engines, self._top, self._y = report.engines, top, top
        longest = max(len(engine.name) for engine in report.engines)
        self._left = 24 + round(_LETTER * min(longest, _LONGEST))
        self._most = 1.0
        self._parts: list[Markup] = []

    def latency(self) -> tuple[Markup, int]:
        """Bars to the median call of one image, whiskers on to the 99th percentile, with a mark at the 95th."""
        self._most = max(engine.timed.percentile(99) for engine in self._engines)
        for engine in self._engines:
            half, late, latest = (engine.timed.percentile(percent) for percent in (50, 95, 99))
            y = self._bar(engine.name, half, f"p50 {half:.3g} ms", self._x(latest))
            for x1, x2, up in ((half, latest, 0), (late, late, 5), (latest, latest, 5)):
                place = {"x1": self._at(x1), "x2": self._at(x2), "y1": y - up, "y2": y + up}
                self._parts.append(element("line", stroke=_MARK, stroke_width=1.5, **place))
        return self._finish("milliseconds of a call of one image: p50, with p95 and p99")

    def throughput(self) -> tuple[Markup, int]:
        """Of every engine, a bar for every batch."""
        self._most = max(engine.timed.rate(batch) for engine in self._engines for batch in engine.timed.batches)
        for engine in self._engines:
            for batch in engine.timed.batches:
                name = engine.name if batch == engine.timed.batches[0] else ""
                rate = engine.timed.rate(batch)
                self._bar(name, rate, f"{rate:.4g} in batches of {batch}", self._x(rate))
            self._y += 6
        return self._finish("images a second")

    def _bar(self, name: str, value: float, words: str, end: float) -> int:
        """The height of its middle. end: where what is drawn ends, and the words begin, or stop where they would leave
        the picture."""
        y = self._y + _ROW // 2
        self._y += _ROW
        fits = end + 8 + _LETTER * len(words) < _WIDE
        at = {"x": coordinate(end + 8)} if fits else {"x": coordinate(end - 8), "text_anchor": "end"}
        shown = name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
        self._parts += [
            _text(shown, self._left - 12, y + 5, text_anchor="end", fill=_INK),
            element("rect", x=self._left, y=y - 8, width=self._at(value, self._left), height=16, fill=_BAR),
            _text(words, y=y + 5, fill=_INK if fits else "#ffffff", **at),
        ]
        return y

    def _finish(self, what: str) -> tuple[Markup, int]:
        """The panel with its axis, and where it ends."""
        axis = []
        for tick in ticks(0.0, self._most):
            x = self._at(tick)
            axis.append(element("line", x1=x, x2=x, y1=self._top - 6, y2=self._y + 4, stroke=_FAINT))
            axis.append(_text(f"{tick:.6g}", x, self._y + 20, text_anchor="middle", fill=_INK))
        title = _text(what, 12, self._top - 16, font_weight="bold", fill=_INK)
        return join([title, *axis, *self._parts]), self._y + _GAP

    def _x(self, value: float) -> float:
        return self._left + value / self._most * (_WIDE - _RIGHT - self._left)

    def _at(self, value: float, origin: float = 0.0) -> str:
        return coordinate(self._x(value) - origin)


def _text(words: str, x: object, y: object, **attributes: Any) -> Markup:
    return element("text", words, x=x, y=y, **attributes)
