"""Numbers with a spread: read as papers print them, and computed as numpy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.experiments.reading.number import Number, published, summary


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("88.4 ± 4.5 (4)", Number(88.4, 4.5, best="4")),
        ("88.4 ± 4.5", Number(88.4, 4.5)),
        ("88.4 (4)", Number(88.4, best="4")),
        ("88", Number(88.0)),
        ("100 ± 0", Number(100.0, 0.0)),
    ],
)
def test_a_paper_s_number_is_read(text, number):
    assert published(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "88.4±4.5",
        "88.4 +- 4.5",
        "88.4 ± ",
        "88.4 ± 4.5(4)",
        "88.4 ± 4.5 ()",
        "-3",
        "100.1",
        "88.4 ",
        "8 8",
        ".5",
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError) as caught:
        published(text)
    assert str(caught.value) == text


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_a_summary_is_the_mean_and_the_sample_deviation(values):
    found = summary(values, 3)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9) and found.count == len(values)
    assert found.spread == (None if len(values) == 1 else pytest.approx(np.std(values, ddof=1), abs=1e-9))


def test_a_summary_of_nothing_is_nothing():
    assert summary([]) is None


@pytest.mark.parametrize(
    ("number", "counted", "text"),
    [
        (Number(71.24), True, "71.2"),
        (Number(71.2, 0.4, 3, 3), True, "71.2 ± 0.4 (3)"),
        (Number(71.2, 0.4, 3, 3), False, "71.2 ± 0.4"),
        (Number(71.2, 0.4, 2, 3), True, "71.2 ± 0.4 (2) [2 of 3]"),
        (Number(71.2, None, 1, 3), True, "71.2 [1 of 3]"),
        (Number(94.8, 3.9, 5, 5, "4"), False, "94.8 ± 3.9 (4)"),
        (Number(94.8, 3.9, 2, 5, "4"), False, "94.8 ± 3.9 (4) [2 of 5]"),
    ],
)
def test_a_number_as_text(number, counted, text):
    assert number.text(counted) == text
