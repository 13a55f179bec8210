"""Defects on the surface, before any light."""

import numpy as np
import pytest

from edgead.synthetic import DEFECTS, part
from edgead.synthetic.surface import Pose

MAPS = ("height", "inside", "albedo", "gloss", "along", "across", "grain")


def damaged(name, seed):
    good = part.build(192, Pose(scale=1.12), np.random.default_rng(0))
    bad = part.build(192, Pose(scale=1.12), np.random.default_rng(0))
    DEFECTS[name](bad, np.random.default_rng(seed))
    return good, bad


def test_there_are_eight_kinds():
    assert list(DEFECTS) == ["scratch", "dent", "stain", "crack", "chip", "missing_hole", "burr", "contamination"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_leaves_sound_maps_and_is_local(name, seed):
    good, bad = damaged(name, seed)
    changed = np.zeros((192, 192), bool)
    for field in MAPS:
        values = getattr(bad, field)
        assert values.dtype == np.float32, field
        assert np.isfinite(values).all(), field
        changed |= np.abs(values - getattr(good, field)) > 0.002
    assert -1e-6 <= bad.inside.min() <= bad.inside.max() <= 1 + 1e-6
    assert 0.001 < changed.mean() < 0.08
    if bad.dye is not None:
        assert bad.dye.dtype == np.float32
        assert 0 <= bad.dye.min() <= bad.dye.max() <= 1


@pytest.mark.parametrize("seed", range(6))
def test_a_chip_takes_material_away_and_a_missing_hole_or_a_burr_leaves_more(seed):
    for name, sign in (("chip", -1), ("missing_hole", 1), ("burr", 1)):
        good, bad = damaged(name, seed)
        assert sign * (bad.inside.sum() - good.inside.sum()) > 0.5, name


def test_kinds_vary_from_seed_to_seed():
    for name in DEFECTS:
        parts = [damaged(name, seed)[1] for seed in range(3)]
        assert len({tuple(getattr(part, field).tobytes() for field in MAPS) for part in parts}) == 3, name
