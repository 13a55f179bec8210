"""The gate: each limit of the budget refuses by itself, and says by how much it is passed."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from edgead.errors import GateRefused
from edgead.export.verification.comparison import Comparison, Metrics
from edgead.export.verification.gate import Budget, check_gate

SAME = Metrics(0.95, 0.97, 0.9)
EQUAL = Comparison(
    target="openvino",
    emulated=False,
    good=40,
    bad=60,
    painted=False,
    metrics=SAME,
    reference=SAME,
    map_error=0.0,
    pyramid=(0.0,),
    largest_map_error=0.0,
    score_error=0.0,
    rank_correlation=1.0,
    changed_verdicts=0,
    changed=(),
)


def test_what_lost_nothing_passes_with_its_budget_noted():
    budget = Budget(0, 0, 0, 0, 0, 1)
    assert check_gate(EQUAL, budget, "x").budget == {
        "max_drop": 0,
        "max_pixel_drop": 0,
        "max_aupro_drop": 0,
        "max_map_error": 0,
        "max_changed": 0,
        "min_correlation": 1,
    }


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"metrics": replace(SAME, image_auroc=0.94)}, "max_drop", r"image AUROC falls from 0\.9500 to 0\.9400"),
        ({"metrics": replace(SAME, pixel_auroc=0.96)}, "max_pixel_drop", r"pixel AUROC falls from 0\.9700 to 0\.9600"),
        ({"metrics": replace(SAME, aupro=0.89)}, "max_aupro_drop", r"AUPRO falls from 0\.9000 to 0\.8900"),
        ({"map_error": 0.01}, "max_map_error", r"the map is off by 1%"),
        ({"changed_verdicts": 2}, "max_changed", r"2 of 100 verdicts change \(1 allowed\)"),
    ],
)
def test_each_limit_refuses_alone(changes, name, reason):
    worse = replace(EQUAL, **changes)
    exact = {"max_changed": 0.02}.get(name, 0.01)
    enough = dict.fromkeys((field.name for field in fields(Budget)), 1.0) | {"min_correlation": -1.0}
    with pytest.raises(GateRefused, match=reason) as refusal:
        check_gate(worse, Budget(**{**enough, name: exact / 2}), "part.edgead int8")
    assert refusal.value.exit_code == 3 and ";" not in refusal.value.what
    check_gate(worse, Budget(**{**enough, name: exact}), "part.edgead int8")


def test_a_rise_is_no_fault():
    check_gate(replace(EQUAL, metrics=Metrics(1.0, 1.0, 1.0)), Budget(0, 0, 0), "x")


def test_without_real_defects_the_order_of_good_parts_counts():
    jumbled = replace(EQUAL, rank_correlation=0.7)
    check_gate(jumbled, Budget(), "x")
    for unlabelled in (replace(jumbled, painted=True), replace(jumbled, bad=0, metrics=Metrics(), reference=Metrics())):
        with pytest.raises(GateRefused, match=r"rank correlation of good parts' scores is 0\.70 \(0\.80 at least\)"):
            check_gate(unlabelled, Budget(), "x")


def test_painted_defects_are_named_as_such():
    worse = replace(EQUAL, painted=True, metrics=replace(SAME, image_auroc=0.8))
    with pytest.raises(GateRefused, match="image AUROC on painted defects falls"):
        check_gate(worse, Budget(), "x")


def test_a_single_pair_and_a_single_verdict_are_no_evidence():
    few = replace(EQUAL, good=5, bad=4, changed_verdicts=1, metrics=replace(SAME, image_auroc=0.95 - 1 / 20))
    check_gate(few, Budget(max_drop=0.005), "x")
    with pytest.raises(GateRefused, match="image AUROC"):
        check_gate(replace(few, metrics=replace(SAME, image_auroc=0.95 - 2 / 20)), Budget(max_drop=0.005), "x")
    with pytest.raises(GateRefused, match="2 of 9 verdicts"):
        check_gate(replace(few, changed_verdicts=2), Budget(), "x")


def test_a_fall_of_exactly_the_budget_passes():
    check_gate(replace(EQUAL, metrics=replace(SAME, image_auroc=0.945)), Budget(max_drop=0.005), "x")


def test_what_is_not_a_number_is_refused():
    with pytest.raises(GateRefused, match="the map"):
        check_gate(replace(EQUAL, map_error=float("nan")), Budget(), "x")
    with pytest.raises(GateRefused, match="AUPRO"):
        check_gate(replace(EQUAL, metrics=replace(SAME, aupro=float("nan"))), Budget(), "x")


def test_the_worst_images_are_named():
    worse = replace(EQUAL, changed_verdicts=7, changed=tuple(f"bad/{number}.png" for number in range(7)))
    with pytest.raises(GateRefused, match=r"first: bad/0\.png, .*, bad/4\.png, x") as refusal:
        check_gate(worse, Budget(), "x", todo="do something")
    assert refusal.value.todo == "do something"
