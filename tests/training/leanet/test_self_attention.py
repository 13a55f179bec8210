"""Self-attention against the papers' formulas, written once more in NumPy and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgead.training.leanet.adn import AnomalyDetectionNetwork
from edgead.training.leanet.self_attention import MODULES, SimAM, StyleRecalibration, squeeze_excitation


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def features(*shape):
    """Channels of very different means and sizes, as a network has them."""
    random = np.random.default_rng(0)
    channels = shape[1]
    scale, shift = random.uniform(0.1, 5, (channels, 1, 1)), random.uniform(-2, 2, (channels, 1, 1))
    return random.normal(0, 1, shape) * scale + shift


def close(module, array, expected):
    with torch.no_grad():
        result = module(torch.from_numpy(array).float()).numpy()
    np.testing.assert_allclose(result, expected, rtol=2e-5, atol=2e-5)
    assert not np.allclose(result, array, atol=1e-2)


@pytest.mark.parametrize(("name", "reduction"), [("se", 16), ("se-8", 8)])
def test_squeeze_and_excitation_follows_hu_et_al(name, reduction):
    torch.manual_seed(0)
    module, array = MODULES[name](32), features(3, 32, 5, 7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    parameters = {key: tensor.detach().double().numpy() for key, tensor in module.state_dict().items()}
    first, second = (parameters[f"fc{index}.weight"][:, :, 0, 0] for index in (1, 2))
    assert first.shape == (32 // reduction, 32)
    expected = np.empty_like(array)
    for sample in range(3):
        means = np.array([array[sample, channel].sum() / 35 for channel in range(32)])
        hidden = np.maximum(first @ means + parameters["fc1.bias"], 0)
        gate = sigmoid(second @ hidden + parameters["fc2.bias"])
        expected[sample] = gate[:, None, None] * array[sample]
    close(module, array, expected)


def test_simam_is_the_inverse_of_the_least_energy():
    """Equation 5 for every single value: e = 4 (v + lambda) / ((t - mean)^2 + 2 v + 2 lambda)."""
    array, regulariser = features(2, 4, 5, 6), 1e-4
    expected = np.empty_like(array)
    for index in np.ndindex(2, 4):
        plane = array[index]
        variance = plane.var(ddof=1)
        for place in np.ndindex(5, 6):
            target = plane[place]
            energy = 4 * (variance + regulariser)
            energy /= (target - plane.mean()) ** 2 + 2 * variance + 2 * regulariser
            expected[(*index, *place)] = target * sigmoid(1 / energy)
    close(SimAM(), array, expected)


def test_simam_minimises_the_energy_it_is_named_after():
    """Equation 4, solved with NumPy's least squares for one value: SimAM's paper leaves out one value of many, and
    takes the mean and variance of all of them for those of the others."""
    array, regulariser = features(1, 1, 40, 40)[0, 0], 1e-4
    for target in (array.max(), array.min()):
        others = np.delete(array.ravel(), np.flatnonzero(array.ravel() == target)[0])
        count = len(others)
        # (1 / count) sum (-1 - (w x + b))^2 + (1 - (w t + b))^2 + lambda w^2 -> min over w and b
        rows = np.vstack(
            [
                np.stack([others, np.ones(count)], axis=1) / np.sqrt(count),
                [[target, 1.0], [np.sqrt(regulariser), 0.0]],
            ]
        )
        wanted = np.concatenate([np.full(count, -1 / np.sqrt(count)), [1.0, 0.0]])
        solution = np.linalg.lstsq(rows, wanted, rcond=None)[0]
        energy = np.square(rows @ solution - wanted).sum()
        with torch.no_grad():
            gate = SimAM()(torch.from_numpy(array)[None, None])[0, 0].numpy() / array
        found = 1 / np.log(gate / (1 - gate))[array == target][0]
        assert found == pytest.approx(energy, rel=0.02)


def test_style_recalibration_follows_lee_et_al():
    torch.manual_seed(0)
    module, array = StyleRecalibration(6), features(5, 6, 7, 4)
    nn.init.normal_(module.cfc.weight)
    nn.init.uniform_(module.bn.weight, 0.5, 1.5)
    nn.init.normal_(module.bn.bias)
    weights = module.cfc.weight.detach().double().numpy()[:, 0]
    scale, shift = (p.detach().double().numpy() for p in (module.bn.weight, module.bn.bias))
    mean, deviation = array.mean((2, 3)), array.std((2, 3))
    encoded = mean * weights[:, 0] + deviation * weights[:, 1]
    normalised = (encoded - encoded.mean(0)) / np.sqrt(encoded.var(0) + 1e-5)
    gate = sigmoid(scale * normalised + shift)
    close(module.train(), array, array * gate[:, :, None, None])
    running = 0.1 * encoded.mean(0), 0.9 + 0.1 * encoded.var(0, ddof=1)
    gate = sigmoid(scale * (encoded - running[0]) / np.sqrt(running[1] + 1e-5) + shift)
    close(module.eval(), array, array * gate[:, :, None, None])


def test_style_recalibration_begins_at_a_half_and_learns_from_flat_channels():
    module, image = StyleRecalibration(3), torch.ones(4, 3, 5, 5, requires_grad=True)
    result = module(image)
    torch.testing.assert_close(result, 0.5 * image)
    (result * torch.rand(4, 3, 5, 5)).sum().backward()
    assert image.grad.isfinite().all() and module.cfc.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in MODULES if name != "none"])
def test_resnet_has_one_in_each_block_before_the_addition(name):
    torch.manual_seed(0)
    network = AnomalyDetectionNetwork("resnet18", height=64, width=64, self_attention=name)
    block = network.get_submodule("layer2.1")
    seen = {}
    block.bn2.register_forward_hook(lambda _, __, output: seen.update(normalised=output.clone()))
    block.register_forward_hook(lambda _, inputs, output: seen.update(read=inputs[0], answered=output))
    network(torch.rand(4, 3, 64, 64)).sum().backward()
    expected = (MODULES["simam"](1) if name == "simam" else block.gate)(seen["normalised"]) + seen["read"]
    torch.testing.assert_close(seen["answered"], expected.relu())
    gates = [path for path, _ in network.named_modules() if path.endswith(".gate") and path.count(".") == 2]
    assert gates == [f"layer{layer}.{block}.gate" for layer in range(1, 5) for block in range(2)]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_vgg_has_one_behind_each_activation():
    with torch.device("meta"):
        plain = AnomalyDetectionNetwork("vgg16", height=64, width=64)
        network = AnomalyDetectionNetwork("vgg16", height=64, width=64, self_attention="srm")
    kinds = [type(module).__name__ for module in network.get_submodule("features").modules()]
    kinds = [kind for kind in kinds if kind in ("Conv2d", "ReLU", "StyleRecalibration", "MaxPool2d")]
    convolution = ["Conv2d", "ReLU", "StyleRecalibration"]
    expected = []
    for count in (2, 2, 3, 3, 3):
        expected += convolution * count + ["MaxPool2d"]
    assert kinds == expected
    own = {key for key in network.state_dict() if ".1." not in key}
    assert own == set(plain.state_dict())


def test_modules_are_their_papers():
    assert MODULES["none"] is None
    assert squeeze_excitation(64).fc1.out_channels == 4
