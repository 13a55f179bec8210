"""Roles: what calibrates never judges, and the draw depends on names and seed alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgead.bundle import read_bundle
from edgead.calibration.images import assign_roles, draw
from edgead.data.layout import read_dataset
from edgead.errors import CalibrationError
from edgead.training.run import read_run


def test_roles_do_not_overlap_and_repeat_the_trainings_split(parts, run, fp32_bundle):
    dataset, manifest = read_dataset(parts), read_bundle(fp32_bundle).manifest
    roles = assign_roles(dataset, manifest, 10)
    names = [sample.name for role in (roles.calibration, roles.validation, roles.test) for sample in role]
    assert len(names) == len(set(names))
    assert len(roles.calibration) == 10
    assert len(roles.validation) == read_run(run).data["validation_images"]
    assert not any(sample.anomalous for sample in (*roles.calibration, *roles.validation))


def test_the_draw_ignores_the_order_and_follows_the_seed(parts):
    samples = read_dataset(parts).train
    assert draw(samples, 6, 1) == draw(samples[::-1], 6, 1) != draw(samples, 6, 2)
    assert set(draw(samples, 3, 1)) < set(draw(samples, 6, 1))
    assert len(draw(samples, 1000, 0)) == len(samples)


def test_no_images_are_refused(parts):
    with pytest.raises(CalibrationError, match="too few"):
        draw(read_dataset(parts).train, 0, 0)


def test_the_seed_of_the_training_decides(parts, fp32_bundle):
    dataset, manifest = read_dataset(parts), read_bundle(fp32_bundle).manifest
    other = replace(manifest, training={**manifest.training, "seed": 5})
    assert assign_roles(dataset, manifest, 8).validation != assign_roles(dataset, other, 8).validation
