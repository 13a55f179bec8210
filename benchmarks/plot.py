"""Draws benchmarks/results/*.json of the kernels on a CPU as docs/images/kernels.svg: how many times the time of ours
others take.

python benchmarks/plot.py
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from edgead.evaluation.markup import Markup, element, join

ROOT = Path(__file__).parents[1]
RESULTS, PICTURE = ROOT / "benchmarks/results", ROOT / "docs/images/kernels.svg"
WIDE, LABELS, ROW, GAP, HEAD = 880, 400, 22, 34, 40
LEAST, MOST = 0.5, 64.0  # the ends of the axis, which is logarithmic
INK, FAINT, BAR = "#24292f", "#d0d7de", "#2f6f9f"

Rows = list[tuple[str, float]]


def read(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return figures


def groups() -> dict[str, Rows]:
    """Of each kernel: what else one would call, and how many times its time that takes; two threads for both."""
    return {
        "CIEDE2000 of a million colours": colours(read("ciede2000")["times_scikit_image_float32"]),
        "A frame of 1920 x 1080 to 256 x 256": frames(read("preprocess")["milliseconds"]),
        "Neighbour-masked attention, 8 heads of 32": attention(read("neighbor_masked_attention")["measured"]),
        "An anomaly map of 256 x 256": maps(read("postprocess")["milliseconds"]),
    }


def colours(times: dict[str, float]) -> Rows:
    ours = times["planar, 2 threads"]
    return [("scikit-image, float32", ours), ("the formula in torch", ours / times["formula in torch, 2 threads"])]


def frames(taken: dict[str, float]) -> Rows:
    return [
        (f"{layout}: OpenCV, cvtColor and INTER_AREA", taken[f"{key}, 2 threads, OpenCV"] / taken[f"{key}, 2 threads"])
        for layout, key in (("BGR", "bgr"), ("gray", "gray"), ("NV12", "nv12"), ("YUYV", "yuyv"))
    ]


def attention(cells: list[dict[str, Any]]) -> Rows:
    rows = []
    for cell in cells:
        if cell["threads"] != 2 or cell["channels_of_a_head"] != 32 or cell["type"] != "float32":
            continue
        taken, grid = cell["milliseconds"], "x".join(map(str, cell["grid"]))
        best = min(time for name, time in taken.items() if name.startswith("SDPA"))
        rows.append((f"{cell['images']} of {grid} tokens: torch's fused attention with a mask", best / taken["edgead"]))
    return rows


def maps(taken: dict[str, float]) -> Rows:
    drawn = "overlay and outline, rgb"
    return [
        ("regions: OpenCV and NumPy", taken["regions of smooth, OpenCV"] / taken["regions of smooth"]),
        ("overlay with outlines on 1080p: OpenCV and NumPy", taken[f"{drawn}, OpenCV"] / taken[f"{drawn}, 2 threads"]),
    ]


def x_of(times: float) -> float:
    share = math.log(min(max(times, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return round(LABELS + share * (WIDE - LABELS - 60), 1)


def text(words: str, x: float, y: float, **attributes: Any) -> Markup:
    return element("text", words, x=x, y=y, fill=INK, **attributes)


def draw() -> Markup:
    parts, y = [], HEAD
    for title, rows in groups().items():
        parts.append(text(title, 12, y + 2, font_weight="bold"))
        for name, times in rows:
            y += ROW
            left, right = sorted((x_of(1.0), x_of(times)))
            parts.append(text(name, LABELS - 12, y + 2, text_anchor="end"))
            parts.append(element("rect", x=left, y=y - 11, width=max(1.0, round(right - left, 1)), height=16, fill=BAR))
            parts.append(text(f"{times:.1f}", right + 6, y + 2))
        y += GAP
    lines = [
        element("line", x1=x_of(tick), x2=x_of(tick), y1=HEAD - 14, y2=y - GAP + 10, stroke=INK if tick == 1 else FAINT)
        for tick in (1, 2, 4, 8, 16, 32, 64)
    ]
    ticks = [text(f"{tick}", x_of(tick), y, text_anchor="middle") for tick in (1, 2, 4, 8, 16, 32, 64)]
    note = text("times the time of ours, 2 threads for both", WIDE - 12, HEAD - 24, text_anchor="end")
    ground = element("rect", width=WIDE, height=y + 16, fill="#ffffff")
    content = join([ground, *lines, *parts, *ticks, note])
    size = {"viewBox": f"0 0 {WIDE} {y + 16}", "font_family": "sans-serif", "font_size": 13}
    return element("svg", content, xmlns="http://www.w3.org/2000/svg", **size)


if __name__ == "__main__":
    PICTURE.write_text(f"{draw()}\n")
    print(PICTURE)
