"""A data set of two categories that a tiny detector learns in seconds, and how to run experiments on it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgead.experiments.experiment import Work, run_experiment
from edgead.experiments.reading.overrides import Overrides
from edgead.experiments.reading.shipped import find_experiment

GRID = {"height": "64", "width": "64", "feature_height": "4", "feature_width": "4"}
BODY = {"hidden": "16", "heads": "2", "encoder_layers": "1", "decoder_layers": "1", "feed_forward": "32"}
TINY = {**GRID, **BODY, "threads": "1", "batch_size": "4"}
WINDOW = {"neighbor_height": "3", "neighbor_width": "3"}


def _root_conftest():
    spec = importlib.util.spec_from_file_location("_root_conftest", Path(__file__).parents[1] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    """An MVTec-style folder with two of the papers' categories."""
    write_parts, root = _root_conftest().write_parts, tmp_path_factory.mktemp("experiments") / "two"
    write_parts(root / "bottle", train=10, good=4, bad=4)
    write_parts(root / "screw", train=8, good=3, bad=5)
    return root


@pytest.fixture
def work():
    """Makes the `Work` of a tiny run: a small backbone with random weights."""

    def make(*, train=None, test=None, epochs=1, every=None, seeds=(), window=False, **changes):
        texts = {**TINY, **(WINDOW if window else {}), **{name: str(value) for name, value in changes.items()}}
        overrides = Overrides("mobilenet_v3_small", epochs, every, seeds, texts)
        return Work("none", train, test, overrides)

    return make


@pytest.fixture
def perform(work):
    """Runs a shipped experiment, or a file, as `work` says."""

    def go(name, data, output, **arguments):
        return run_experiment(find_experiment(str(name)), data, output, work(**arguments))

    return go


@pytest.fixture(scope="session")
def filled(two, tmp_path_factory):
    """A table that was filled once, and its folder: (table, folder)."""
    output = tmp_path_factory.mktemp("filled") / "out"
    overrides = Overrides("mobilenet_v3_small", 1, changes={**TINY, **WINDOW})
    return run_experiment(find_experiment("mvtec-detection"), two, output, Work("none", overrides=overrides)), output


@pytest.fixture(scope="session")
def drawn(two, tmp_path_factory):
    """A figure that was drawn once, and its folder: (figure, folder)."""
    output = tmp_path_factory.mktemp("drawn") / "out"
    work = Work("none", overrides=Overrides("mobilenet_v3_small", 5, 2, changes=TINY))
    return run_experiment(find_experiment("shortcut"), two, output, work), output


@pytest.fixture(scope="session")
def without_times():
    """What a table or a figure says, but for how long it took."""

    def strip(found):
        document = found.to_json()
        times = ("training", "measuring")
        cells = [{key: value for key, value in cell.items() if key not in times} for cell in document["cells"]]
        return {**document, "cells": cells}

    return strip
