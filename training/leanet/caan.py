"""CAAN, the Color Anomaly Attention Network: reads the anomaly map, and gives the features that attention is made of.

Hayakawa et al., "Layer-wise External Attention for Efficient Deep Anomaly Detection", section 3.2 and Table 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgead.errors import TrainingError
from edgead.training.backbones.base import Step
from edgead.training.backbones.layers import head
from edgead.training.backbones.mobilenet_v3 import mobilenet_v3_small
from edgead.training.backbones.resnet import resnet
from edgead.training.leanet.points import PointedNetwork


class Caan(PointedNetwork):
    """What every CAAN answers; a point's stride is that of the anomaly detection network at the same point."""

    def forward(self, anomaly_map: Tensor) -> tuple[list[Tensor], Tensor]:
        """float [N, 1, H, W] -> g_p, the features at points 1 to 5, each float [N, C_p, H / stride, W / stride] rounded
        up; and the logits float [N, 2] that a sigmoid makes the probabilities of a good and of a bad part."""
        features = []
        for path in self.paths:
            anomaly_map = self.get_submodule(path)(anomaly_map)
            if path in self._points:
                features.append(anomaly_map)
        return features, anomaly_map


class MobileNetCaan(Caan):
    """MobileNetV3-Small whose squeeze and excite does not squeeze; the paper's 3.042M parameters say so. relu_only:
    ReLU in place of hard swish, as the authors' code has it."""

    def __init__(self, relu_only: bool = False) -> None:
        steps = mobilenet_v3_small(inputs=1, squeeze=1, bias=True, relu_only=relu_only)
        points = ("features.0", "features.1", "features.3", "features.8", "features.11")
        activation = nn.ReLU(inplace=True) if relu_only else nn.Hardswish(inplace=True)
        classifier = (
            Step("avgpool", nn.AdaptiveAvgPool2d(1)),
            Step("classifier.0", nn.Conv2d(576, 1280, 1)),
            Step("classifier.1", activation),
            Step("classifier.2", nn.Conv2d(1280, 2, 1)),
            Step("flatten", nn.Flatten()),
        )
        super().__init__(steps, points, classifier)


class ResNetCaan(Caan):
    """One residual block of two 3x3 convolutions in each layer, which makes ten layers with weights."""

    def __init__(self) -> None:
        steps = resnet((1, 1, 1, 1), bottleneck=False, inputs=1)
        points = ("stem", "layer1", "layer2", "layer3", "layer4")
        super().__init__(steps, points, head("fc", nn.Linear(512, 2)))


CAANS: dict[str, type[MobileNetCaan] | type[ResNetCaan]] = {"mobilenet": MobileNetCaan, "resnet": ResNetCaan}
"""Name -> its class."""


def build_caan(name: str, *, relu_only: bool = False) -> Caan:
    """A CAAN with random weights. relu_only: see `MobileNetCaan`; ResNet has no other activation. Raises TrainingError
    for an unknown name."""
    if name not in CAANS:
        raise TrainingError(f"no attention network {name!r}", "LEA-Net", f"choose one of {', '.join(CAANS)}")
    return MobileNetCaan(relu_only) if name == "mobilenet" else ResNetCaan()
