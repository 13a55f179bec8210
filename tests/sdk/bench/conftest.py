"""A clock that engines of the tests turn, machines made of files, and programs that answer as they are told."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from edgead.bench.engines import Timed
from edgead.engines.base import Engine


class Hands:
    """A clock whose time passes only when somebody lets it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Sleeper(Engine):
    """An engine that takes the given milliseconds, one after the other and again; it writes down every call."""

    name = "sleeper"

    def __init__(self, clock, milliseconds, *, record=None, name="sleeper", max_batch=8):
        super().__init__(max_batch=max_batch)
        self.name, self._clock, self.size = name, clock, (4, 6)
        self._next = itertools.cycle(milliseconds)
        self.record = [] if record is None else record

    def _activate(self):
        pass

    def _deactivate(self):
        pass

    def _infer(self, image):
        self.record.append((self.name, image.copy()))
        self._clock.now += next(self._next) / 1e3
        return {"score": np.zeros(len(image), np.float32)}


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def sleeper(clock):
    """Makes a `Timed` of a running `Sleeper`."""

    def make(milliseconds, *, batches=(1,), **options):
        engine = Sleeper(clock, milliseconds, **options)
        return Timed(engine.__enter__(), engine.size, batches)

    return make


@pytest.fixture
def tree(tmp_path):
    """Writes files of a machine below the root that it returns."""

    def write(files: dict[str, object]) -> Path:
        for name, content in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path / "root"

    return write


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a program of shell commands; no other is found but those of /bin that they need."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\nPATH=/bin:/usr/bin\n{script}\n")
        (folder / name).chmod(0o755)

    return make
