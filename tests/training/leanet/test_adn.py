"""ADN: the parameters of Table 3, the points, Eq. 3, torchvision's names, and where gradients go."""

from __future__ import annotations

import pytest
import torch

from edgead.errors import TrainingError
from edgead.training.backbones import whole_network
from edgead.training.leanet.adn import NETWORKS, AnomalyDetectionNetwork
from edgead.training.leanet.caan import build_caan

CHANNELS = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "vgg16": (64, 128, 256, 512, 512),
    "vgg19": (64, 128, 256, 512, 512),
}
MILLIONS = {"resnet18": 11.2, "resnet50": 23.6, "vgg16": 165.7, "vgg19": 171.0}  # Table 3
# Where the module sits whose answer is the feature before attention, by torchvision's names.
PLACES = {
    "resnet18": ("relu", "layer1", "layer2", "layer3", "layer4"),
    "vgg16": ("features.4", "features.9", "features.16", "features.23", "features.30"),
}


def build(name, **options):
    return AnomalyDetectionNetwork(name, height=64, width=64, **options).eval()


@pytest.fixture(scope="module", params=["resnet18", "vgg16"])
def network(request):
    torch.manual_seed(0)
    return request.param, build(request.param)


def maps(value):
    return {point: torch.full((2, 1, 64 >> point, 64 >> point), value) for point in range(1, 6)}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_those_of_table_3(name):
    with torch.device("meta"):
        network = AnomalyDetectionNetwork(name, height=256, width=256)
    trainable = sum(parameter.numel() for parameter in network.parameters())
    moving = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert round((trainable + moving) / 1e6, 1) == MILLIONS[name]
    assert trainable / 1e6 == pytest.approx(MILLIONS[name], abs=0.1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (256, 256)])
def test_points_lie_at_strides_2_to_32(name, size):
    with torch.device("meta"):
        network = AnomalyDetectionNetwork(name, inputs=4, height=size[0], width=size[1]).eval()
        image = torch.empty(2, 4, *size)
        attention = {p: torch.empty(2, 1, size[0] >> p, size[1] >> p) for p in range(1, 6)}
        pairs = network.before_and_after(image, attention)
        assert tuple(network(image).shape) == tuple(network(image, attention).shape) == (2,)
    assert (network.channels, network.strides) == (CHANNELS[name], (2, 4, 8, 16, 32))
    expected = [(2, c, size[0] // s, size[1] // s) for c, s in zip(CHANNELS[name], network.strides, strict=True)]
    assert [tuple(before.shape) for before, _ in pairs] == [tuple(after.shape) for _, after in pairs] == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_are_torchvisions_but_for_the_head(name):
    with torch.device("meta"):
        own = {key: tensor.shape for key, tensor in build(name).state_dict().items()}
    theirs = {key: tensor.shape for key, tensor in whole_network(name).state_dict().items()}
    assert list(own) == list(theirs)
    head = {"fc.weight", "fc.bias"} if name.startswith("resnet") else {key for key in own if "classifier" in key}
    assert {key for key in own if own[key] != theirs[key]} <= head
    assert all(own[key] == theirs[key] for key in own.keys() - head)


@pytest.mark.parametrize("point", [1, 2, 3, 4, 5])
def test_attention_scales_the_features_that_the_next_layer_reads(network, point):
    """Eq. 3 with hooks: what the module in front of the point answers, and what the module behind it is given."""
    name, network = network
    torch.manual_seed(point)
    image, given = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64 >> point, 64 >> point)
    place = PLACES[name][point - 1]
    following = network.get_submodule(network.paths[network.paths.index(place) + 1])
    answered, read = [], []
    hooks = [
        network.get_submodule(place).register_forward_hook(lambda _, __, output: answered.append(output.clone())),
        following.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].clone())),
    ]
    with torch.no_grad():
        logits = network(image, {point: given})
        pairs = network.before_and_after(image, {point: given})
        plain = network(image)
    for hook in hooks:
        hook.remove()
    scaled = answered[0].double() * (1.0 + given.double())
    torch.testing.assert_close(read[0].double(), scaled, rtol=1e-6, atol=1e-6)
    assert torch.equal(pairs[point - 1][0], answered[0])
    assert torch.equal(pairs[point - 1][1], read[0])
    assert all(torch.equal(*pair) for index, pair in enumerate(pairs, start=1) if index != point)
    assert torch.equal(answered[2], read[2])
    assert not torch.equal(logits, plain)


def test_no_attention_changes_nothing_and_full_attention_doubles(network):
    _, network = network
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = network(image)
        assert torch.equal(network(image, maps(0.0)), plain)
        assert torch.equal(network(image, {}), plain)
        for before, after in network.before_and_after(image, maps(1.0)):
            assert before.any()
            assert torch.equal(after, 2 * before)


@pytest.mark.parametrize("network", ["vgg16"], indirect=True)
def test_vgg_doubles_its_logit_where_attention_doubles_its_features(network):
    """With biases of zero, each of its layers answers twice as much to twice as much."""
    _, network = network
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = network(image)
        for point in range(1, 6):
            doubled = network(image, {point: maps(1.0)[point]})
            torch.testing.assert_close(doubled, 2 * plain, rtol=1e-3, atol=1e-6)


def test_gradients_reach_caan_only_through_attention():
    torch.manual_seed(0)
    adn, caan = AnomalyDetectionNetwork("resnet18", height=64, width=64), build_caan("mobilenet")
    image, anomaly_map = torch.rand(4, 3, 64, 64), torch.rand(4, 1, 64, 64)
    features, _ = caan(anomaly_map)

    def reached(attention):
        adn.zero_grad(), caan.zero_grad()
        adn(image, attention).square().sum().backward(retain_graph=True)
        assert all(parameter.grad.any() for name, parameter in adn.named_parameters() if name.endswith("weight"))
        return {path for path in caan.paths if any(p.grad is not None for p in caan.get_submodule(path).parameters())}

    assert reached({}) == set()
    blocks = [f"features.{index}" for index in range(13)]
    for point, last in ((1, 0), (4, 8)):
        mean = features[point - 1].mean(1, keepdim=True)
        assert reached({point: mean.sigmoid()}) == set(blocks[: last + 1])
        assert reached({point: mean.detach().sigmoid()}) == set()


def test_what_there_is_not_is_refused():
    with pytest.raises(TrainingError, match=r"'resnet34'.*resnet18, resnet50, vgg16, vgg19"):
        build("resnet34")
    with pytest.raises(TrainingError, match=r"'cbam'.*none, se"):
        build("resnet18", self_attention="cbam")
    for height, width in ((48, 64), (64, 80), (0, 64)):
        with pytest.raises(TrainingError, match=f"{width} x {height} pixels.*multiples of 32"):
            AnomalyDetectionNetwork("resnet18", height=height, width=width)
    with torch.device("meta"), pytest.raises(TrainingError, match="no attention point 0"):
        build("resnet18")(torch.empty(1, 3, 64, 64), {0: torch.empty(1, 1, 64, 64)})


def test_biases_begin_at_zero(network):
    biases = [tensor for key, tensor in network[1].state_dict().items() if key.endswith("bias")]
    assert biases and not any(tensor.any() for tensor in biases)
