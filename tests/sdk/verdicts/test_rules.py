from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edgead.errors import DataError
from edgead.verdicts import AreaLimit, Hysteresis, Line, MaskFile, PartRule, Polygon, Rules, TriggerAddress

TRIANGLE = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]


def test_a_whole_table(tmp_path):
    cv2.imwrite(str(tmp_path / "screws.png"), np.full((4, 4), 255, np.uint8))
    document = json.loads("""{
        "roi": [[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]], "ignore": ["screws.png"], "min_area": "0.5%",
        "parts": {"trigger": [0.5, 1, 0.5, 0], "agree": 2, "frames": 10}}""")
    assert Rules.from_mapping(document, tmp_path) == Rules(
        roi=(Polygon(((0.1, 0.1), (0.9, 0.1), (0.5, 0.9))),),
        ignore=(MaskFile(tmp_path / "screws.png"),),
        min_area=AreaLimit(share=0.005),
        parts=PartRule(Line(0.5, 1, 0.5, 0), 2, 10),
    )
    assert Rules.from_mapping({"hysteresis": {"reject": 3, "frames": 5, "release": 4}}) == Rules(
        hysteresis=Hysteresis(3, 5, 4)
    )
    for address in ("mqtt://anna:geheim@broker/line/4", "gpio://gpiochip0/17"):
        named = Rules.from_mapping({"parts": {"trigger": address}})
        assert named.parts == PartRule(TriggerAddress(address)) and "geheim" not in repr(named)
    assert Rules.from_mapping({}) == Rules()
    assert not Rules().need_map and Rules.from_mapping({"min_area": 50}).need_map


@pytest.mark.parametrize(
    ("document", "place", "what"),
    [
        ({"rio": []}, "rules", "no rio"),
        ({"roi": TRIANGLE[0][0]}, "roi", "not a list"),
        ({"roi": [TRIANGLE, TRIANGLE[:2]]}, "roi[1]", "2 corners"),
        ({"roi": [[["a", 1], [1, 1], [0, 1]]]}, "roi[0]", "'a' is no number"),
        ({"ignore": ["missing.png"]}, "ignore[0]", "does not exist"),
        ({"ignore": [7]}, "ignore[0]", "no area"),
        ({"min_area": "much"}, "min_area", "no least area"),
        ({"min_area": True}, "min_area", "True is no number"),
        ({"min_area": -1}, "min_area", "no least area"),
        ({"hysteresis": 3}, "hysteresis", "not a table"),
        ({"hysteresis": {"reject": 3}}, "hysteresis", "frames is missing"),
        ({"hysteresis": {"reject": 3.5, "frames": 5}}, "hysteresis", "3.5 is no whole number"),
        ({"hysteresis": {"reject": 9, "frames": 5}}, "hysteresis", "cannot be met"),
        ({"parts": {"trigger": "gpio"}}, "parts", "no such trigger"),
        ({"parts": {"trigger": "amqp://broker/line"}}, "parts", "no such trigger"),
        ({"parts": {"trigger": [0, 0, 0, 0]}}, "parts", "no line"),
        ({"parts": {"trigger": "stdin", "agree": 0}}, "parts", "cannot agree"),
        ({"parts": {"trigger": "stdin", "agree": 3, "frames": 2}}, "parts", "cannot agree"),
        ({"parts": {"agree": 1}}, "parts", "trigger is missing"),
        ({"parts": {"trigger": "stdin"}, "hysteresis": {"reject": 1, "frames": 1}}, "rules", "several parts"),
    ],
)
def test_errors_name_the_key(document, place, what):
    with pytest.raises(DataError) as raised:
        Rules.from_mapping(document)
    assert raised.value.where.startswith(place) and what in raised.value.what and raised.value.todo


@pytest.mark.parametrize("trigger", ["mqtt:/user:secret@broker/part", "mqtt:user:secret@broker/part", "user@secret"])
def test_a_mistyped_trigger_does_not_tell_its_password(trigger):
    with pytest.raises(DataError, match=r"no such trigger, .*mqtt://, mqtts:// or gpio://") as raised:
        Rules.from_mapping({"parts": {"trigger": trigger}})
    assert "secret" not in str(raised.value)
