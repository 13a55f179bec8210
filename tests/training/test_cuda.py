"""The kernels of the CUDA library called from torch: emulated on the host, where tensors' memory is the device's."""

from __future__ import annotations

import ctypes

import pytest
import torch

from edgead.kernels import library
from edgead.kernels.neighbor_masked_attention import Attention
from edgead.training import ciede2000 as colors
from edgead.training import operators


@pytest.fixture(autouse=True)
def emulated(emulated_library, monkeypatch):
    loaded = ctypes.CDLL(str(emulated_library))
    loaded.edgead_cuda_error.restype = ctypes.c_char_p
    monkeypatch.setattr(library, "cuda", lambda: loaded)


def labs(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * 100 - torch.tensor([0.0, 50, 50])[:, None, None]


def test_ciede2000_is_that_of_the_cpu_to_the_bit():
    first, second = labs(0, 2, 3, 9, 7), labs(1, 2, 3, 9, 7)
    assert torch.equal(colors._on_device(first, second, 0), colors.ciede2000(first, second))
    crops = first[..., 1:5], second[..., 2:6]  # whose memory is not in order
    assert torch.equal(colors._on_device(*crops, 0), colors.ciede2000(*crops))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)]
)
def test_attention_is_that_of_torch(dtype, tolerance):
    problem = Attention(2, 2, 32, 5, 4, 3, 3)
    together = torch.randn(2, 20, 3 * 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    q, k, v = together.chunk(3, dim=2)  # whose memory is not in order
    got = operators._kernel(problem, q, k, v, 0)
    expected = operators._attend(q.double(), k.double(), v.double(), 2, 5, 4, 3, 3)
    assert got.dtype == dtype and got.is_contiguous()
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=tolerance)


def test_kernels_are_used_where_the_library_has_code_for_the_device(monkeypatch):
    assert library.why_not_cuda() is None
    monkeypatch.setattr(library, "cuda", object)
    assert library.why_not_cuda() == "the CUDA library is an old one"
