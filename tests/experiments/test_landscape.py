"""Loss landscapes and their sharpness against surfaces that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.errors import TrainingError
from edgead.experiments.landscape.plane import RADIUS, Sharpness, directions, landscape, spread
from edgead.training.models import build
from edgead.training.models.base import DetectorModule, ModelOptions
from edgead.training.run import load_model

IMAGES = np.zeros((3, 4, 4, 3), np.uint8)


class Bowl(DetectorModule):
    """A loss with a minimum at the weights: offset + scale * |w - w0|^2, in float64."""

    family = "bowl"
    Options = ModelOptions

    def __init__(self, scale=1.0, offset=2.0):
        super().__init__(ModelOptions(4, 4))
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(3, 2, 2, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(3, generator=generator, dtype=torch.float64))
        self.register_buffer("least", self.weight.detach().clone())
        self.scale, self.offset = scale, offset

    def answer(self, image):
        raise NotImplementedError

    def training_loss(self, inputs, *labels):
        return 10 * self.validation_loss(inputs)

    def validation_loss(self, inputs, *labels):
        return self.offset + self.scale * (self.weight - self.least).square().sum()


def plane_of(model, seed=0, pair=0):
    """The Gram matrix of the two directions of a `Bowl`, in float64: |x a + y b|^2 = a a x^2 + 2 a b x y + b b y^2."""
    a, b = (direction["weight"].flatten().numpy() for direction in directions(model, seed, pair))
    return np.array([[a @ a, a @ b], [a @ b, b @ b]])


@pytest.fixture(scope="module")
def trained(run, parts):
    """A trained LAMP and a few good images of its size."""
    model = load_model(run)
    good = [sample for sample in read_dataset(parts).test if not sample.anomalous]
    return model, load_images(good, model.options.height, model.options.width)


@pytest.mark.parametrize("family", ["lamp", "uniad"])
def test_each_filter_of_a_direction_is_as_long_as_the_models(small, family):
    torch.manual_seed(0)
    model = build(family, small[family])
    first, second = directions(model, 3)
    trainable = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    assert set(first) == set(second) == set(trainable)
    moved = 0
    for name, weight in trainable.items():
        for direction in (first[name], second[name]):
            if weight.dim() == 1:
                assert not direction.any()
                continue
            for filter_, own in zip(direction, weight, strict=True):
                moved += 1
                torch.testing.assert_close(filter_.norm(), own.norm(), rtol=1e-5, atol=1e-9)
        if weight.dim() > 1 and weight.any():
            assert not torch.equal(first[name], second[name])
    assert moved > 20


def test_directions_depend_on_seed_and_pair_alone(small):
    model = build("lamp", small["lamp"])
    name = "autoencoder.encoder.0.weight"
    drawn = [directions(model, seed, pair)[0][name] for seed, pair in ((1, 0), (1, 0), (1, 1), (2, 0))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[3])


@pytest.mark.parametrize("loss", ["own", "base"])
def test_the_middle_is_the_models_loss(trained, loss):
    model, images = trained
    found = landscape(model, images, loss=loss, side=3, pairs=1)
    method = model.training_loss if loss == "own" else model.validation_loss
    with torch.no_grad():
        assert found.centre == pytest.approx(float(method(torch.from_numpy(images))), rel=1e-5)
    assert (np.delete(found.losses.ravel(), 4) != found.centre).all()


def test_every_place_is_the_loss_of_a_model_with_moved_weights(trained):
    model, images = trained
    found = landscape(model, images, side=5, extent=0.4, pairs=1, seed=7)
    first, second = directions(model, 7)
    moved = load_model_copy(model)
    with torch.no_grad():
        for name, value in moved.named_parameters():
            value += -0.4 * first[name] + 0.2 * second[name]
        expected = float(moved.validation_loss(torch.from_numpy(images)))
    assert found.axis == pytest.approx([-0.4, -0.2, 0, 0.2, 0.4])
    assert found.losses[3, 0] == pytest.approx(expected, rel=1e-5)


def load_model_copy(model):
    """The same model again."""
    copy = build(model.family, model.options.to_json())
    copy.load_state_dict(model.state_dict())
    return copy.eval()


def test_many_images_are_their_mean(trained):
    """More images than are computed at once, and a last batch that is smaller."""
    model, images = trained
    many = np.concatenate([images] * 9)[:70]
    found = landscape(model, many, side=3, pairs=1).centre
    with torch.no_grad():
        expected = np.mean([float(model.validation_loss(torch.from_numpy(image[None]))) for image in many])
    assert found == pytest.approx(expected, rel=1e-5)


class Enough(Exception):
    pass


def test_the_model_is_not_changed_even_when_it_is_interrupted(trained):
    model, images = trained
    before = {name: value.clone() for name, value in model.state_dict().items()}
    own = dict(model.named_parameters())
    model.train()
    model.autoencoder.decoder.eval()
    modes = [module.training for module in model.modules()]

    def stop(what, done, total):
        if done == 4:
            raise Enough

    try:
        with pytest.raises(Enough):
            landscape(model, images, side=3, progress=stop)
        same(model, before, own, modes)
        model.training_loss = lambda *_: 1 / 0
        with pytest.raises(ZeroDivisionError):
            landscape(model, images, loss="own", side=3)
        del model.training_loss
        same(model, before, own, modes)
        landscape(model, images, side=3, pairs=1)
        same(model, before, own, modes)
    finally:
        model.eval()


def same(model, before, own, modes):
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value is own[name] for name, value in model.named_parameters())
    assert all(value.grad is None for value in model.parameters())
    assert [module.training for module in model.modules()] == modes


def test_progress_counts_every_loss(trained):
    calls = []
    landscape(*trained, side=3, pairs=2, progress=lambda *call: calls.append(call[1:]))
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
    assert {total for _, total in calls} == {len(calls)}


def test_a_bowl_is_found_as_it_is():
    """|x a + y b|^2 with the directions' own lengths, and nothing from the bias."""
    model = Bowl(scale=0.7)
    found = landscape(model, IMAGES, side=5, extent=2.0, seed=4)
    gram = plane_of(model, seed=4)
    x, y = np.meshgrid(found.axis, found.axis)
    expected = 2.0 + 0.7 * (gram[0, 0] * x**2 + 2 * gram[0, 1] * x * y + gram[1, 1] * y**2)
    np.testing.assert_allclose(found.losses, expected, rtol=1e-12)
    assert gram[0, 0] == pytest.approx(float(model.weight.detach().square().sum()))  # every filter keeps its length


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_sharpness_of_a_bowl(scale):
    """The Hessian is 2 scale gram; the mean of the quadratic form on a circle is half its trace times the radius^2."""
    model = Bowl(scale=scale, offset=4.0)
    found = landscape(model, IMAGES, side=3, pairs=3, seed=2).sharpness
    for pair in range(3):
        gram = plane_of(model, 2, pair)
        assert found.curvature[pair] == pytest.approx(2 * scale * np.linalg.eigvalsh(gram)[1], rel=1e-6)
        assert found.rise[pair] == pytest.approx(scale * np.trace(gram) / 2 * RADIUS**2 / 4.0, rel=1e-9)
    assert len(set(found.curvature)) == 3


def test_rise_does_not_depend_on_the_unit_of_the_loss_and_curvature_does():
    base, own = (landscape(Bowl(), IMAGES, loss=loss, side=3, pairs=2).sharpness for loss in ("base", "own"))
    assert own.rise == pytest.approx(base.rise)
    assert own.curvature == pytest.approx([10 * value for value in base.curvature])


def test_sharpness_does_not_change_when_filters_and_what_reads_them_are_rescaled():
    """Batch norm takes back how long a filter is: such a model is the same, and so is its landscape."""
    options = {"height": 32, "width": 32, "stages": 2, "base_width": 4}
    torch.manual_seed(1)
    models = [build("lamp", options) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    with torch.no_grad():
        models[1].autoencoder.encoder[0].weight *= 10
        models[1].autoencoder.encoder[1].running_mean *= 10
        norm = models[1].autoencoder.encoder[1]
        norm.running_var.copy_((norm.running_var + norm.eps) * 100 - norm.eps)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    one, other = (landscape(model, images, side=3, pairs=2) for model in models)
    np.testing.assert_allclose(other.losses, one.losses, rtol=1e-4)
    assert other.sharpness.rise == pytest.approx(one.sharpness.rise, rel=1e-3)


def test_spread_is_that_of_a_sample():
    mean, deviation = spread([1.0, 2.0, 6.0])
    assert (mean, deviation) == (3.0, pytest.approx(math.sqrt(7)))
    assert math.isnan(spread([1.0])[1])
    assert Sharpness((1.0,), (math.inf,)).to_json() == {
        "rise": {"values": [1.0], "mean": 1.0, "deviation": None},
        "curvature": {"values": [None], "mean": None, "deviation": None},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"side": 4}, "odd"),
        ({"side": 1}, "from 3"),
        ({"extent": 0.0}, "extent"),
        ({"extent": math.nan}, "extent"),
        ({"pairs": 0}, "pairs"),
        ({"loss": "other"}, "own"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(TrainingError, match=words):
        landscape(Bowl(), IMAGES, **change)
    with pytest.raises(TrainingError, match="no images"):
        landscape(Bowl(), IMAGES[:0])


def test_learners_from_defects_are_measured_on_good_parts(small):
    torch.manual_seed(0)
    model = build("adtr-plus", small["adtr-plus"]).eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    found = landscape(model, images, side=3, extent=0.5, pairs=1)
    with torch.no_grad():
        inputs = model.extract(torch.from_numpy(images))
        expected = float(model.validation_loss(inputs, torch.zeros(2), torch.zeros(2, 16)))
    assert found.centre == pytest.approx(expected, rel=1e-5)
