"""Roles: what calibrates never judges, and the split is that of the training."""

from __future__ import annotations

from dataclasses import replace

from edgead.bundle import read_bundle
from edgead.calibration.images import assign_roles
from edgead.data.layout import read_dataset
from edgead.training.run import read_run


def test_roles_do_not_overlap_and_repeat_the_trainings_split(parts, run, fp32_bundle):
    dataset, manifest = read_dataset(parts), read_bundle(fp32_bundle).manifest
    roles = assign_roles(dataset, manifest)
    names = [sample.name for role in (roles.calibration, roles.validation, roles.test) for sample in role]
    assert len(names) == len(set(names)) == len(dataset.train) + len(dataset.test)
    assert len(roles.validation) == read_run(run).data["validation_images"]
    assert not any(sample.anomalous for sample in (*roles.calibration, *roles.validation))


def test_those_that_may_calibrate_come_in_an_order_of_the_seed_whatever_the_data_has_besides(parts, fp32_bundle):
    dataset, manifest = read_dataset(parts), read_bundle(fp32_bundle).manifest
    names = [sample.name for sample in assign_roles(dataset, manifest).calibration]
    assert names == [sample.name for sample in assign_roles(replace(dataset, test=()), manifest).calibration]
    assert names != sorted(names)


def test_the_seed_of_the_training_decides(parts, fp32_bundle):
    dataset, manifest = read_dataset(parts), read_bundle(fp32_bundle).manifest
    other = replace(manifest, training={**manifest.training, "seed": 5})
    assert assign_roles(dataset, manifest).validation != assign_roles(dataset, other).validation
