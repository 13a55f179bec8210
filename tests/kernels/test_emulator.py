"""The emulator of CUDA on kernels whose answers are known: it has to find what it is there to find."""

from __future__ import annotations

import ctypes
import multiprocessing

import numpy as np
import pytest

from tests.stand_ins.emulated import EMULATOR, compile_emulated


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return compile_emulated(tmp_path_factory.mktemp("probes"), [EMULATOR / "probes.cu"])


@pytest.fixture(params=["forward", "backward", "7"])
def probes(path, request, monkeypatch):
    monkeypatch.setenv("EDGEAD_ORDER", request.param)
    return ctypes.CDLL(str(path))


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


def neighbours(probes, barrier):
    given, out = np.arange(1, 193, dtype=np.int32), np.zeros(192, np.int32)
    assert probes.probe_neighbour(address(given), address(out), barrier) == 0
    return np.array_equal(out.reshape(2, 96), np.roll(given.reshape(2, 96), -1, axis=1))


def test_a_barrier_is_kept_and_one_that_is_missing_shows(probes):
    assert neighbours(probes, 1)
    assert not neighbours(probes, 0)


def test_what_the_lanes_of_a_warp_tell_each_other(probes):
    out = np.zeros(3, np.int32)
    assert probes.probe_warps(address(out)) == 0
    assert out.tolist() == [63 * 32, 31 * 16 + 0 + 31 + 16, 31 * 16 + 32 * 32 + 32 + 63 + 16]


def test_every_block_begins_with_shared_memory_that_nobody_has_written(probes):
    out = np.zeros(32, np.float32)
    assert probes.probe_fresh(address(out)) == 0
    assert np.isnan(out).all()


@pytest.mark.parametrize(("threads", "size"), [(0, 0), (1025, 0), (32, 300_000)])
def test_launches_that_no_gpu_takes_fail(probes, threads, size):
    out = np.zeros(1, np.float32)
    assert probes.probe_limits(address(out), threads, size) == 5
    probes.edgead_cuda_error.restype = ctypes.c_char_p
    assert b"invalid configuration" in probes.edgead_cuda_error()


def _wait_for_ever(path):
    ctypes.CDLL(path).probe_apart()


def test_threads_that_wait_for_each_other_for_ever_are_stopped(path):
    process = multiprocessing.get_context("spawn").Process(target=_wait_for_ever, args=(str(path),))
    process.start()
    process.join(60)
    assert process.exitcode == -6  # abort
