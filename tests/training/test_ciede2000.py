"""CIEDE2000 in torch, by the native kernel and by the formula, against the pairs of its paper, scikit-image and the
paper once more in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000

from edgead.errors import TrainingError
from edgead.kernels import library, reference
from edgead.training.ciede2000 import ciede2000
from edgead.training.color import srgb_to_lab
from tests.colors import CHUNK, close, nearly_neutral, nearly_opposite, opposite, single, unrelated

OPERATOR = torch.ops.edgead.ciede2000.default
PAIRS = np.loadtxt(Path(__file__).parents[1] / "data" / "sharma_2005_pairs.txt")  # L1 a1 b1 L2 a2 b2 difference
CHUNKS = 5  # draws of each of four kinds: a million pairs

number = st.floats(-128, 127, width=32)
color = st.tuples(st.floats(0, 100, width=32), number, number)


@pytest.fixture(scope="module", autouse=True, params=["kernel", "formula"])
def way(request):
    """Every test here runs with the native library and as if it were not there."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "formula":
            patch.setattr(library, "offers", lambda function: False)
        else:
            assert library.offers("edgead_ciede2000_planar")
        yield request.param


@pytest.fixture
def formula(monkeypatch):
    """Colours -> differences by the formula, whatever the test itself runs with."""

    def run(*labs):
        with monkeypatch.context() as patch:
            patch.setattr(library, "offers", lambda function: False)
            return ciede2000(*labs)

    return run


def picture(colors):
    """[n, 3] -> float32 [1, 3, 1, n]"""
    return torch.from_numpy(np.ascontiguousarray(np.asarray(colors, np.float32).T[None, :, None]))


def differences(first, second):
    return ciede2000(picture(first), picture(second))[0, 0, 0].double().numpy()


def test_the_34_pairs_of_the_paper():
    first, second, expected = PAIRS[:, :3], PAIRS[:, 3:6], PAIRS[:, 6]
    assert len(expected) == 34
    for got in (differences(first, second), differences(second, first), reference.ciede2000(first, second)):
        assert np.abs(got - expected).max() < 1e-4


@pytest.mark.parametrize("kind", [unrelated, close, nearly_neutral, nearly_opposite])
def test_it_is_that_of_scikit_image(kind):
    for chunk in range(CHUNKS):
        first, second = single(kind(np.random.default_rng(chunk)))
        expected = deltaE_ciede2000(first.astype(np.float64), second.astype(np.float64))
        assert np.abs(differences(first, second) - expected).max() < 1e-3  # NaN fails, too
        assert np.abs(reference.ciede2000(first, second) - expected).max() < 1e-9


def test_at_exactly_180_degrees_the_mean_hue_is_the_plain_mean():
    """The formula jumps there, by up to 75. Equations (10) and (14) count 180 degrees itself as not beyond. Rounded arc
    tangents fall on either side, those of scikit-image as well, so the oracle is the paper with a tolerance."""
    first, second = opposite(np.random.default_rng(3))
    expected = reference.ciede2000(first, second)
    assert np.abs(differences(first, second) - expected).max() < 1e-3
    assert np.abs(differences(second, first) - expected).max() < 1e-3
    beyond = first.copy()  # the size of the jump, so that falling on the other side would be seen
    beyond[:, 1:] += 1e-3 * first[:, :0:-1] * (-1, 1)
    other_side = first.copy()
    other_side[:, 1:] -= 1e-3 * first[:, :0:-1] * (-1, 1)
    jump = np.abs(reference.ciede2000(beyond, second) - reference.ciede2000(other_side, second))
    assert (jump > 1).mean() > 0.3


def test_one_step_of_float32_beside_the_edge_is_on_its_own_side():
    """With powers of two for a, the products that are compared are exact."""
    random = np.random.default_rng(4)
    b = random.uniform(1, 60, CHUNK).astype(np.float32) * random.choice([-1, 1], CHUNK).astype(np.float32)
    for a1, a2 in ((4, -8), (-16, 8), (1, -1)):
        scaled = b * np.float32(a2 / a1)
        for toward in (-np.inf, np.inf):
            stepped = np.nextafter(scaled, np.float32(toward))
            first = np.stack([np.full_like(b, 50), np.full_like(b, a1), b], axis=1)
            second = np.stack([np.full_like(b, 60), np.full_like(b, a2), stepped], axis=1)
            expected = reference.ciede2000(first, second)
            assert np.abs(differences(first, second) - expected).max() < 1e-3


@settings(max_examples=200, deadline=None)
@given(color, color)
def test_the_order_changes_nothing_and_the_oracle_agrees(first, second):
    got = differences([first], [second])
    assert got == differences([second], [first])
    assert got >= 0
    (_, a1, b1), (_, a2, b2) = first, second
    apart = np.degrees(np.arctan2(abs(a1 * b2 - a2 * b1), a1 * a2 + b1 * b2))
    if apart < 180 - 1e-4:  # the edge has tests of its own
        assert abs(got - reference.ciede2000(np.array(first), np.array(second))) < 1e-3


@settings(max_examples=100, deadline=None)
@given(color)
def test_a_color_differs_from_itself_by_nothing(same):
    assert differences([same], [same]) == 0


def test_black_white_and_gray_differ_by_their_lightness_alone():
    grays = np.array([(0, 0, 0), (50, 0, 0), (100, 0, 0)])
    got = differences(grays, grays[[1, 2, 0]])
    np.testing.assert_allclose(got, reference.ciede2000(grays, grays[[1, 2, 0]]), rtol=1e-6)
    assert got[2] == pytest.approx(100)  # the weight of lightness is 1 about the middle gray


@pytest.mark.parametrize("kind", [unrelated, close, nearly_neutral, nearly_opposite, opposite])
def test_kernel_and_formula_agree(kind, formula, way):
    first, second = map(picture, kind(np.random.default_rng(7)))
    got, expected = ciede2000(first, second), formula(first, second)
    assert (got - expected).abs().max() < 1e-3
    assert torch.equal(got, expected) == (way == "formula")  # so the two are two


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_color_gives_nan_at_its_pixel(wrong):
    for component in range(6):
        pair = torch.full((2, 1, 3, 1, 5), 30.0)
        pair[component // 3, 0, component % 3, 0, 2] = wrong
        for first, second in (pair, pair.flip(0)):
            assert ciede2000(first, second).isnan().flatten().tolist() == [False, False, True, False, False]


def test_tensors_are_read_as_they_lie():
    generator = torch.Generator().manual_seed(0)
    first, second = 100 * torch.rand(2, 4, 3, 6, 7, generator=generator)
    expected = ciede2000(first, second)
    for change in (
        lambda lab: lab.to(memory_format=torch.channels_last),
        lambda lab: torch.cat([lab, lab], dim=1)[:, :3],
        lambda lab: torch.cat([lab, lab], dim=3)[..., 7:],
        lambda lab: lab.flip(3).flip(3).requires_grad_(),
        lambda lab: lab.transpose(2, 3).contiguous().transpose(2, 3),
    ):
        torch.testing.assert_close(ciede2000(change(first), change(second)), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(ciede2000(change(first), second), expected, atol=1e-5, rtol=0)
    with torch.inference_mode():
        assert torch.equal(ciede2000(first, second), expected)
    assert ciede2000(first[:0], second[:0]).shape == (0, 1, 6, 7)
    assert ciede2000(first[..., :0], second[..., :0]).shape == (4, 1, 6, 0)


def test_colors_far_beyond_every_screen_have_a_difference():
    first, second = unrelated(np.random.default_rng(5))
    for colors in (first, second):
        colors[:, 1:] *= 7800  # a million, what the docstring allows
    np.testing.assert_allclose(differences(first, second), reference.ciede2000(first, second), rtol=1e-4)


def test_the_operator_is_one_that_torch_can_trace_and_compile():
    first, second = torch.rand(2, 2, 3, 4, 5) * 100
    torch.library.opcheck(OPERATOR, (first, second))
    shaped = OPERATOR(first.to("meta"), second.to("meta"))
    assert (shaped.shape, shaped.dtype) == ((2, 1, 4, 5), torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_it_is_single_whatever_comes_in_and_under_autocast(dtype):
    first, second = (100 * torch.rand(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))).to(dtype)
    expected = ciede2000(first.float(), second.float())
    assert expected.dtype == torch.float32
    assert torch.equal(ciede2000(first, second), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ciede2000(first, second.float()), expected)


def test_a_gradient_is_refused_when_it_is_asked_for():
    first, second = torch.rand(2, 1, 3, 2, 2)
    difference = ciede2000(first.requires_grad_(), second)
    assert difference.isfinite().all()
    with pytest.raises(RuntimeError, match=r"backward through edgead.*ciede2000"):
        difference.sum().backward()


@pytest.mark.parametrize("shapes", [((1, 3, 2, 2), (1, 3, 2, 3)), ((3, 2, 2), (3, 2, 2)), ((1, 4, 2, 2), (1, 4, 2, 2))])
def test_what_is_no_pair_of_pictures_is_refused(shapes):
    with pytest.raises(TrainingError, match=r"CIEDE2000, give two of \[N, 3, H, W\]"):
        ciede2000(*(torch.zeros(shape) for shape in shapes))


def test_whole_numbers_are_refused():
    with pytest.raises(TrainingError, match="give floating point ones"):
        ciede2000(*torch.zeros(2, 1, 3, 2, 2, dtype=torch.int32))


@pytest.mark.gpu
def test_a_gpu_finds_the_same_differences():
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    pairs = [torch.rand(4, 3, 256, 256, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    labs = [srgb_to_lab(pair) for pair in pairs]
    for pair, lab in zip(pairs, labs, strict=True):
        torch.testing.assert_close(srgb_to_lab(pair.cuda()).cpu(), lab, atol=1e-3, rtol=0)
    found = ciede2000(*(lab.cuda() for lab in labs)).cpu()
    torch.testing.assert_close(found, ciede2000(*labs), atol=1e-3, rtol=0)
