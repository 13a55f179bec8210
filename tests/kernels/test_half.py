"""Numbers of 16 bits: those of half.h against torch's, all of them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch

from .native import FLAGS, ROOT

KINDS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
ALL = np.arange(1 << 16).astype(np.uint16)


@pytest.fixture(scope="module")
def conversions(tmp_path_factory):
    compiler = shutil.which("c++") or pytest.skip("there is no C++ compiler")
    target = tmp_path_factory.mktemp("half") / "half.so"
    source = ROOT / "tests/kernels/half_probes.cpp"
    places = [f"-I{ROOT / 'kernels/include'}", str(source), "-o", str(target)]
    subprocess.run([compiler, *FLAGS, "-fPIC", "-shared", *places], check=True, timeout=300)
    return ctypes.CDLL(str(target))


def converted(function, source, dtype):
    out = np.empty(source.shape, dtype)
    function(ctypes.c_void_p(source.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(source.size))
    return out


def narrowed_by_torch(values, kind):
    return torch.from_numpy(values).to(KINDS[kind]).view(torch.int16).numpy().view(np.uint16)


def is_nan(bits, kind):
    return (bits & 0x7FFF) > (0x7C00 if kind == "float16" else 0x7F80)


def check_narrowing(conversions, values, kind):
    got = converted(getattr(conversions, f"narrow_{kind}"), values, np.uint16)
    number = ~np.isnan(values)
    assert np.array_equal(got[number], narrowed_by_torch(values, kind)[number])
    assert is_nan(got[~number], kind).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_the_65536_is_its_number(conversions, kind):
    got = converted(getattr(conversions, f"widen_{kind}"), ALL, np.float32)
    wanted = torch.from_numpy(ALL.view(np.int16)).view(KINDS[kind]).float().numpy()
    number = ~np.isnan(wanted)
    assert np.array_equal(got.view(np.uint32)[number], wanted.view(np.uint32)[number])  # the sign of 0 as well
    assert np.isnan(got[~number]).all()
    if kind == "float16":
        assert np.array_equal(got[number], ALL.view(np.float16)[number].astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_the_65536_comes_back(conversions, kind):
    widened = converted(getattr(conversions, f"widen_{kind}"), ALL, np.float32)
    back = converted(getattr(conversions, f"narrow_{kind}"), widened, np.uint16)
    number = ~is_nan(ALL, kind)
    assert np.array_equal(back[number], ALL[number])
    assert is_nan(back[~number], kind).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_around_every_number_and_every_middle_of_two(conversions, kind):
    numbers = torch.from_numpy(ALL.view(np.int16)).view(KINDS[kind]).double().numpy()
    numbers = np.sort(numbers[np.isfinite(numbers)])
    middles = np.append((numbers[1:] + numbers[:-1]) / 2, [1.5 * numbers[0], 1.5 * numbers[-1]])
    with np.errstate(over="ignore"):
        exact = np.concatenate([numbers, middles]).astype(np.float32)
    beside = [exact, np.nextafter(exact, np.float32(np.inf)), np.nextafter(exact, np.float32(-np.inf))]
    specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 65519.996, 65520.0, 3.4e38, 1e-45], np.float32)
    check_narrowing(conversions, np.concatenate([*beside, specials]), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_of_floats_from_all_over(conversions, kind):
    every = np.arange(0, 1 << 32, 1009, dtype=np.uint32)
    check_narrowing(conversions, every.view(np.float32), kind)
