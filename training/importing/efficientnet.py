"""EfficientNet as UniAD's code holds it: the layers of lukemelas' EfficientNet-PyTorch under torchvision's names.

The layers are the same and their names are not; theirs number the blocks through, ours by stage. Two things differ:

- Their batch norms add 1e-3 to the variance and ours torch's 1e-5. The difference goes into the variance itself, so
  that both compute the same.
- Their convolutions pad as TensorFlow's "SAME" does for an image of 380 pixels: in the stem and in the first block of
  stages 2, 4 and 6 there is one row and column less at the start than in torchvision's, which pads both sides alike.
  `efficientnet_b4_same` pads as theirs does. On `efficientnet_b4` the taps at stages 1, 2, 3, 5 and 7 see the image 1,
  3, 3, 11 and 27 pixels further left and up than theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from edgead.training.backbones import Backbone, Network, whole_network
from edgead.training.backbones.layers import InvertedResidual, SqueezeExcitation
from edgead.training.importing.checkpoint import COUNTER, check_state

BACKBONE = "efficientnet_b4_same"
"""The one that computes what theirs does."""
THEIR_EPS = 1e-3
STEM = "_conv_stem.weight"
"""The tensor by which their naming is known."""
_BLOCK = (
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_se_reduce", "_se_expand"),
    ("_project_conv", "_bn2"),
)


def load_backbone(backbone: Backbone, state: Mapping[str, Tensor], where: object) -> None:
    """Fill a backbone with the weights of the authors' one: an EfficientNet in their naming, or another network, such
    as a ResNet, in torchvision's.

    Raises TrainingError where they do not fit; the backbone is then unchanged.
    """
    network = whole_network(backbone.spec.name)
    mine = backbone.state_dict()
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    names = _names(network) if STEM in state else {name: name for name in shapes}
    needed = [theirs for theirs, ours in names.items() if ours in mine and not ours.endswith(COUNTER)]
    check_state(state, {theirs: shapes[ours] for theirs, ours in names.items()}, needed, where)
    converted = {ours: state[theirs] for theirs, ours in names.items() if theirs in state and ours in mine}
    if STEM in state:
        for path, module in backbone.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                key = f"{path}.running_var"
                converted[key] = converted[key] + (THEIR_EPS - module.eps)
    backbone.load_state_dict(converted, strict=False)


def _names(network: Network) -> dict[str, str]:
    """Their name of every tensor of an EfficientNet -> ours."""
    return {
        f"{theirs}.{leaf}": f"{ours}.{leaf}"
        for theirs, ours in _modules(network)
        for leaf in network.get_submodule(ours).state_dict()
    }


def _modules(network: Network) -> Iterator[tuple[str, str]]:
    """(their path, our path) of every layer with weights."""
    yield from (("_conv_stem", "features.0.0"), ("_bn0", "features.0.1"))
    yield from (("_conv_head", "features.8.0"), ("_bn1", "features.8.1"), ("_fc", "classifier.1"))
    blocks = (item for item in network.named_modules() if isinstance(item[1], InvertedResidual))
    for index, (path, block) in enumerate(blocks):
        layers = list(block.block.children())
        # The first stage does not expand, and begins with its depthwise convolution.
        for position, (layer, pair) in enumerate(zip(layers, _BLOCK[-len(layers) :], strict=True)):
            leaves = ("fc1", "fc2") if isinstance(layer, SqueezeExcitation) else ("0", "1")
            for theirs, leaf in zip(pair, leaves, strict=True):
                yield f"_blocks.{index}.{theirs}", f"{path}.block.{position}.{leaf}"
