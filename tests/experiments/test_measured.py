"""The best of several options: chosen among those that were measured alike, and marked where there was a choice."""

from __future__ import annotations

from edgead.experiments.showing.measured import Values, best


def test_one_fold_is_no_match_for_five():
    folds = {"1": Values({0: [100.0]}, "1"), "2": Values({0: [90.0] * 5}, "2"), "3": Values({0: [80.0] * 5}, "3")}
    found = best(folds)
    assert (found.best, found.mean) == ("2", 90.0)
    seeds = best(
        {**folds, "4": Values({0: [70.0] * 5, 1: [70.0]}, "4"), "5": Values({0: [60.0] * 4, 1: [60.0] * 2}, "5")}
    )
    assert (seeds.best, seeds.mean) == ("4", 70.0)


def test_what_had_no_rival_is_not_called_the_best():
    whole = [90.0] * 5
    assert best({"1": Values({0: whole}, "1")}) == Values({0: whole})
    assert best({"1": Values({0: whole}, "1"), "2": Values({0: [99.0]}, "2")}) == Values({0: whole})
