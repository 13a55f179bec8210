"""What was done differently, said once for those that it is true of."""

from __future__ import annotations

from dataclasses import replace

from edgead.experiments.reading.experiment_file import read_experiment
from edgead.experiments.reading.overrides import Overrides, changed
from edgead.experiments.reading.shipped import find_experiment
from edgead.experiments.showing.facts import Cut, facts


def said(meant, done, cut=None):
    return [fact for fact in facts(meant, done, [], "none", cut or Cut()) if fact.differs]


def test_a_file_that_is_done_as_it_is_differs_in_nothing():
    for name in ("lamp-mnist", "lea-net", "cifar10"):
        meant = read_experiment(find_experiment(name))
        assert said(meant, meant) == []


def test_a_change_of_most_series_names_the_others():
    meant = read_experiment(find_experiment("lamp-mnist"))
    first, *rest = meant.series

    def narrow(series):
        return replace(series, options={**series.options, "base_width": 8})

    (fact,) = said(meant, replace(meant, series=(first, *map(narrow, rest))))
    assert (fact.what, fact.paper, fact.here, fact.series) == ("base_width", "16", "8", "all but L2, batch 1024")
    (fact,) = said(meant, replace(meant, series=(narrow(first), *rest)))
    assert fact.series == "L2, batch 1024"
    (fact,) = said(meant, replace(meant, series=tuple(map(narrow, meant.series))))
    assert fact.series == ""


def test_seeds_rows_and_fewer_images_are_said():
    meant = read_experiment(find_experiment("lamp-mnist"))
    done = replace(changed(meant, Overrides(seeds=(4, 5))), kept=("3",))
    found = {fact.what: (fact.paper, fact.here) for fact in said(meant, done, Cut(train=7, test=None))}
    assert found == {
        "seeds": ("not stated; in the file 0", "4, 5"),
        "rows": ("all 10", "Digit 3"),
        "images to train at most": ("all", "7"),
    }


def test_an_option_that_is_tried_is_said_and_what_was_given_instead():
    meant = read_experiment(find_experiment("lea-net"))
    words = "the best of 1, 2, 3, 4, 5 on the test images"
    (fact,) = (fact for fact in facts(meant, meant, [], "none", Cut()) if fact.what == "points")
    assert (fact.paper, fact.here, fact.differs) == (words, words, False)
    fixed = said(meant, changed(meant, Overrides(changes={"points": "3"})))
    assert [(fact.what, fact.here) for fact in fixed if fact.paper == words] == [("points", "3")]
