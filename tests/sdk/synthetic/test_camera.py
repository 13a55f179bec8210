"""The camera: sRGB's curve, noise that grows with the square root of the light, blur and vignetting."""

import numpy as np
import pytest

from edgead.synthetic.camera import Camera, develop


def srgb(linear):
    """IEC 61966-2-1, one value."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


@pytest.mark.parametrize("linear", [0.0, 0.002, 0.05, 0.18, 0.5, 1.0])
def test_without_noise_a_value_comes_out_on_the_curve(linear):
    developed = develop(np.full((4, 4, 3), linear, np.float32))
    assert np.abs(developed - 255 * srgb(linear)).max() <= 1


def test_what_is_beyond_the_sensor_is_cut_and_does_not_wrap():
    assert (develop(np.full((2, 2, 3), 1.7, np.float32)) == 255).all()
    assert (develop(np.full((2, 2, 3), -0.2, np.float32)) == 0).all()


@pytest.mark.parametrize("linear", [0.02, 0.2, 0.6])
def test_noise_is_that_of_the_electrons(linear):
    noise = np.random.default_rng(0).standard_normal((200, 200, 3), dtype=np.float32)
    developed = develop(np.full(noise.shape, linear, np.float32), noise) / 255
    seen = np.where(developed <= 0.04045, developed / 12.92, ((developed + 0.055) / 1.055) ** 2.4)
    electrons = linear * 11000
    assert seen.mean() == pytest.approx(linear, rel=0.01)
    assert seen.std() == pytest.approx(np.sqrt(electrons + 9**2) / 11000, rel=0.1)


def test_the_corners_get_less_light_and_the_gains_colour_it():
    seen = Camera(0.5, (1.1, 1.0, 0.9), 0.002).expose(np.full((100, 100, 3), 0.4, np.float32))
    assert seen[50, 50] == pytest.approx([0.22, 0.20, 0.18], rel=0.01)
    assert 0.7 < seen[0, 0, 1] / seen[50, 50, 1] < 0.9


def test_defocus_blurs_by_its_share_of_the_photograph():
    point = np.zeros((101, 101, 3), np.float32)
    point[50, 50] = 1
    seen = Camera(1.0, (1.0, 1.0, 1.0), 0.02).expose(point)[:, :, 1]
    offset = np.arange(101) - 50
    spread = np.sqrt((seen.sum(axis=0) * offset**2).sum() / seen.sum())
    assert spread == pytest.approx(2.02, rel=0.05)
