from __future__ import annotations

import numpy as np

from edgead.result import Result, Verdict
from edgead.sinks.view.heat import Heat


def result(bundle: str, hottest: float) -> Result:
    values = np.full((2, 2), hottest, np.float32)
    return Result(0.5, False, values, values > 9, hottest, Verdict.ACCEPT, (), 0, "cell", 0.0, {}, bundle)


def test_each_bundle_has_its_own_scale_also_after_another_took_over():
    heat = Heat()
    heat.half_hot_at("one", 2.0)
    waiting = result("one", 9.0)
    heat.half_hot_at("two", 50.0)
    assert heat.of(waiting) == (0.0, 4.0) and heat.of(result("two", 1.0)) == (0.0, 100.0)


def test_without_a_threshold_the_hottest_place_of_the_same_bundle_decides():
    heat = Heat()
    heat.half_hot_at("one", 0.0)
    assert [heat.of(result("one", value)) for value in (3.0, 1.0, 5.0)] == [(0.0, 3.0), (0.0, 3.0), (0.0, 5.0)]
    assert heat.of(result("two", 0.5)) == (0.0, 0.5)
    heat.half_hot_at("one", 1.0)
    assert heat.of(result("one", 3.0)) == (0.0, 2.0)
    heat.half_hot_at("one", -1.0)
    assert heat.of(result("one", 3.0)) == (0.0, 5.0)
    assert Heat((1.0, 2.0)).of(result("one", 3.0)) == (1.0, 2.0)
