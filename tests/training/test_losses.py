"""The losses against their equations, re-computed in float64 without torch, and against torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.functional.image import structural_similarity_index_measure

from edgead.training.losses import ELEMENT_LOSSES, amplify, ssim

shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
losses = shapes.flatmap(lambda s: hnp.arrays(np.float32, s, elements=st.floats(0, 4, width=32)))


def equations_1_and_2(loss: np.ndarray, epsilon: float) -> np.ndarray:
    """-log(1 - L / max(L) * (1 - epsilon)) of every element, image by image, in Python's own float64."""
    amplified = np.zeros(loss.shape)
    for image, values in zip(amplified, loss.astype(np.float64), strict=True):
        largest = values.max()
        for place in np.ndindex(values.shape):
            scaled = values[place] / largest * (1 - epsilon) if largest > 0 else 0.0
            image[place] = -math.log(1 - scaled)
    return amplified


@given(losses, st.sampled_from([1e-1, 1e-2, 1e-3]))
def test_amplify_is_equations_1_and_2(loss, epsilon):
    loss[loss < 1e-6] = 0  # ratios of denormals are not float32's business
    result = amplify(torch.from_numpy(loss), epsilon).numpy()
    np.testing.assert_allclose(result, equations_1_and_2(loss, epsilon), rtol=2e-4, atol=1e-6)


@given(losses, st.sampled_from([0.5, 1e-2, 1e-4]))
def test_the_largest_element_becomes_minus_log_epsilon(loss, epsilon):
    loss[:, 0, 0, 0] = 4.5
    result = amplify(torch.from_numpy(loss), epsilon)
    np.testing.assert_allclose(result.flatten(1).amax(1).numpy(), -math.log(epsilon), rtol=5e-3)


def test_a_perfect_reconstruction_costs_nothing_and_has_a_gradient():
    output = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = amplify(ELEMENT_LOSSES["l2"](torch.zeros(2, 3, 4, 4), output), 1e-2).sum()
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(output.grad).all()


def test_images_of_a_batch_do_not_touch_each_other():
    loss = torch.rand(4, 3, 8, 8)
    together = amplify(loss, 1e-2)
    alone = torch.cat([amplify(image[None], 1e-2) for image in loss])
    assert torch.equal(together, alone)


def test_only_a_constant_maximum_drives_the_scale_of_the_error_down():
    error = torch.rand(1, 3, 8, 8)
    for differentiate, expected_slope in ((True, 0.0), (False, None)):
        scale = torch.tensor(1.0, requires_grad=True)
        amplify(error * scale, 1e-2, differentiate_maximum=differentiate).sum().backward()
        if expected_slope is None:
            assert scale.grad > 1.0
        else:
            assert abs(scale.grad.item()) < 1e-2


@given(st.integers(0, 1000))
def test_ssim_is_that_of_torchmetrics(seed):
    random = torch.Generator().manual_seed(seed)
    target, output = (torch.rand(2, 3, 24, 32, generator=random) for _ in range(2))
    _, full = structural_similarity_index_measure(output, target, data_range=1.0, return_full_image=True)
    torch.testing.assert_close(1 - ssim(target, output), full, rtol=1e-4, atol=1e-4)


def test_ssim_of_equal_images_is_zero():
    image = torch.rand(1, 3, 16, 16)
    assert ssim(image, image).abs().max() < 1e-5


@pytest.mark.parametrize("name", ELEMENT_LOSSES)
def test_losses_keep_the_shape_and_are_not_negative(name):
    target, output = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    loss = ELEMENT_LOSSES[name](target, output)
    assert loss.shape == target.shape
    assert (loss >= 0).all()
