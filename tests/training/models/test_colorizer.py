"""The colorizer against scikit-image and NumPy: its map, its augmentation, and what it may see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from edgead.errors import TrainingError
from edgead.training.models import build

SIZE = {"height": 32, "width": 48, "unet_width": 4, "unet_blocks": 1}


def colorizer(**options):
    torch.manual_seed(3)
    return build("colorizer", {**SIZE, **options}).eval()


def photographs(count=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 48, 3), np.uint8)


def test_the_map_is_scikit_images_difference_between_the_photograph_and_its_recolouring():
    model, images = colorizer(map_window=1), photographs()
    with torch.no_grad():
        answer = model(torch.from_numpy(images))
        recolored = model.recolor(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy()
    lab = rgb2lab(images / 255)
    np.testing.assert_allclose(recolored[..., 0], lab[..., 0], atol=0.01)  # the lightness is the photograph's
    expected = deltaE_ciede2000(lab, recolored)
    np.testing.assert_allclose(answer.anomaly_map, expected, atol=0.02)
    np.testing.assert_allclose(answer.score, expected.max(axis=(1, 2)), atol=0.02)


def test_the_mean_is_over_the_map_before_it_is_smoothed():
    images = torch.from_numpy(photographs())
    with torch.no_grad():
        plain = colorizer(map_window=1)(images).anomaly_map
        smooth = colorizer(map_window=5, score="mean")(images)
    torch.testing.assert_close(smooth.score, plain.mean(dim=(1, 2)))
    window = plain[0, 10:15, 20:25].mean()
    torch.testing.assert_close(smooth.anomaly_map[0, 12, 22], window)


def test_parts_of_one_lightness_get_one_colour():
    """A photograph and its gray twin, of the same L*, are coloured alike: the U-Net sees nothing else."""
    model = colorizer()
    lightness = torch.from_numpy(rgb2lab(photographs() / 255)[..., 0]).float()[:, None]
    with torch.no_grad():
        predicted = model.predict(lightness)
        again = model.recolor(torch.from_numpy(photographs()))[:, 1:]
    assert predicted.abs().max() <= 128
    torch.testing.assert_close(predicted, again, atol=1e-3, rtol=0)


def test_the_principal_components_are_numpys():
    model, images = colorizer(), photographs(5)
    images[..., 2] = images[..., 0] // 2  # colours that hang together
    model.prepare(torch.from_numpy(part) for part in (images[:2], images[2:]))
    covariance = np.cov(images.reshape(-1, 3).T / 255, bias=True)
    deviations = model.deviations.double().numpy()
    np.testing.assert_allclose(deviations @ deviations.T, covariance, atol=1e-6)
    values = np.sort((deviations**2).sum(axis=0))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(covariance), atol=1e-6)


def test_training_varies_the_lightness_and_not_the_colours_that_are_wanted(monkeypatch):
    model, images = colorizer(augmentation=0.5), torch.from_numpy(photographs(4))
    model.prepare([images])
    seen, wanted = [], []

    def unet(lightness):
        seen.append(lightness)
        return torch.full((len(lightness), 2, 32, 48), 0.5)

    def loss(output, target):
        wanted.append(target)
        return torch.nn.functional.l1_loss(output, target)

    monkeypatch.setattr(model, "unet", torch.nn.Identity())
    monkeypatch.setattr(model.unet, "forward", unet)
    monkeypatch.setitem(__import__("edgead.training.models.colorizer", fromlist=["LOSSES"]).LOSSES, "l1", loss)
    plain = model.validation_loss(images)
    torch.manual_seed(0)
    varied = model.training_loss(images)
    assert plain == varied  # the output is a constant here, so only the target could have changed it
    torch.testing.assert_close(wanted[0], wanted[1])
    shift = (seen[1] - seen[0]).mean(dim=(1, 2, 3))
    assert len(set(shift.tolist())) == 4, "each image has its own draw"
    assert shift.abs().max() > 0.02


def test_without_augmentation_training_sees_the_photograph():
    model, images = colorizer(augmentation=0.0), torch.from_numpy(photographs())
    assert model.training_loss(images) == model.validation_loss(images)


@pytest.mark.parametrize("loss", ["l1", "l2", "bce"])
def test_every_loss_falls_also_in_mixed_precision(loss):
    model, images = colorizer(color_loss=loss).train(), torch.from_numpy(photographs(4))
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(model.training_loss(images))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"height": 40}, "multiples of 16"),
        ({"unet_width": 1}, "U-Net of 1"),
        ({"augmentation": -1.0}, "negative"),
        ({"map_window": 4}, "not odd"),
        ({"color_loss": "hinge"}, "none of l1"),
        ({"score": "median"}, "neither max nor mean"),
    ],
)
def test_options_that_cannot_be_are_refused(options, fault):
    with pytest.raises(TrainingError, match=fault):
        colorizer(**options)
