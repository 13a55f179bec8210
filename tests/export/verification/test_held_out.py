"""Which images judge an engine, and what is known of them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.calibration.images import Roles, assign_roles
from edgead.data.images import read_mask
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.export.verification.held_out import MOST_PAINTED, hold_out


@pytest.fixture(scope="module")
def manifest(fp32_bundle):
    return read_bundle(fp32_bundle).manifest


@pytest.fixture(scope="module")
def dataset(parts):
    return read_dataset(parts)


def test_test_images_are_taken_with_their_masks(manifest, dataset):
    held = hold_out(assign_roles(dataset, manifest), manifest)
    by_name = {sample.name: sample for sample in dataset.test}
    assert sorted(held.names) == sorted(by_name) and not held.painted and held.masked.all()
    for name, image, anomalous, mask in zip(held.names, held.images, held.anomalous, held.masks, strict=True):
        sample = by_name[name]
        assert anomalous == sample.anomalous
        assert (image == load_images([sample], 64, 64)[0]).all()
        assert (mask == (read_mask(sample.mask, 64, 64) if sample.mask else False)).all()
    assert not held.anomalous[held.good].any() and held.anomalous[held.good.stop :].all()


def test_bad_parts_without_a_mask_say_nothing_of_pixels(manifest, dataset):
    test = tuple(replace(sample, mask=None) if index % 3 == 0 else sample for index, sample in enumerate(dataset.test))
    held = hold_out(Roles((), tuple(dataset.train[:3]), test), manifest)
    unmasked = {sample.name for sample in test if sample.anomalous and not sample.mask}
    assert unmasked and {name for name, known in zip(held.names, held.masked, strict=True) if not known} == unmasked


def test_without_good_test_images_those_of_validation_stand_beside_the_bad(manifest, dataset):
    bad = tuple(sample for sample in dataset.test if sample.anomalous)
    held = hold_out(Roles((), tuple(dataset.train[:4]), bad), manifest)
    assert held.names[held.good] == tuple(sample.name for sample in dataset.train[:4])
    assert held.names[held.good.stop :] == tuple(sample.name for sample in bad) and not held.painted


@pytest.mark.parametrize("tested", [False, True])
def test_without_bad_parts_defects_are_painted_on_copies(manifest, dataset, tested):
    good = tuple(sample for sample in dataset.test if not sample.anomalous)
    roles = Roles((), tuple(dataset.train[:5]), good if tested else ())
    held = hold_out(roles, manifest)
    names = [sample.name for sample in (good if tested else dataset.train[:5])]
    assert held.painted and list(held.names) == names + [f"{name} (painted)" for name in names]
    count = len(names)
    assert held.good == slice(0, count) and held.masked.all()
    assert not held.masks[:count].any() and held.masks[count:].any(axis=(1, 2)).all()
    changed = (held.images[:count].astype(int) != held.images[count:]).any(axis=3)
    assert (changed | ~held.masks[count:]).all()
    again = hold_out(roles, manifest)
    assert (again.images == held.images).all() and (again.masks == held.masks).all()
    seeded = replace(manifest, training={**manifest.training, "seed": 5})
    assert (hold_out(roles, seeded).images != held.images).any()


def test_of_many_good_images_some_are_painted(manifest, dataset, parts, tmp_path):
    for index in range(MOST_PAINTED + 6):
        shutil.copy(parts / "test/good/000.png", tmp_path / f"{index:03d}.png")
    many = read_dataset(tmp_path).train
    held = hold_out(Roles((), tuple(many), ()), manifest)
    assert held.good.stop == len(many) and len(held.names) == len(many) + MOST_PAINTED
    assert len(set(held.names)) == len(held.names)


def test_a_spread_reaches_from_the_first_to_the_last(manifest, dataset):
    held = hold_out(assign_roles(dataset, manifest), manifest)
    spread = held.spread(5)
    assert len(spread) == 5 and (spread[0] == held.images[0]).all() and (spread[-1] == held.images[-1]).all()
    assert (held.spread(1000) == held.images).all()
    assert np.array_equal(held.spread(1)[0], held.images[0])
