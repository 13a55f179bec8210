"""ADN, the Anomaly Detection Network: an image classifier that external attention can be put into at five points.

Hayakawa et al., "Layer-wise External Attention for Efficient Deep Anomaly Detection", sections 3.3 to 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from torch import Tensor, nn

from edgead.errors import TrainingError
from edgead.training.backbones.base import Step
from edgead.training.backbones.layers import head
from edgead.training.backbones.resnet import resnet
from edgead.training.backbones.vgg import vgg
from edgead.training.leanet.points import POINTS, PointedNetwork
from edgead.training.leanet.self_attention import MODULES

_SIDE = 32
_HIDDEN = 4096

NETWORKS: dict[str, Callable[..., Iterator[Step]]] = {
    "resnet18": partial(resnet, (2, 2, 2, 2), bottleneck=False),
    "resnet50": partial(resnet, (3, 4, 6, 3), bottleneck=True),
    "vgg16": partial(vgg, (2, 2, 3, 3, 3)),
    "vgg19": partial(vgg, (2, 2, 4, 4, 4)),
}
"""Name -> the steps of its network."""


class AnomalyDetectionNetwork(PointedNetwork):
    """A classifier with one logit, under torchvision's names. ResNet has its points behind the stem, before the
    pooling, and behind the four layers; VGG behind the pooling of each block."""

    def __init__(
        self, name: str, *, inputs: int = 3, height: int = 256, width: int = 256, self_attention: str = "none"
    ) -> None:
        """inputs: channels of the image. height, width: of the image, in pixels. self_attention: a name from
        `MODULES`, of what stands in each residual block before its addition, or in VGG behind each activation. Raises
        TrainingError for an unknown name, and for sides that are no multiples of 32."""
        if name not in NETWORKS:
            raise TrainingError(f"no network {name!r}", "LEA-Net", f"choose one of {', '.join(NETWORKS)}")
        if self_attention not in MODULES:
            todo = f"choose one of {', '.join(MODULES)}"
            raise TrainingError(f"no self-attention {self_attention!r} is known", "LEA-Net", todo)
        if min(height, width) < _SIDE or height % _SIDE or width % _SIDE:
            todo = f"give multiples of {_SIDE}"  # else VGG rounds down where CAAN rounds up, and no map would fit
            raise TrainingError(f"the network cannot halve {width} x {height} pixels five times", "LEA-Net", todo)
        steps = NETWORKS[name](inputs=inputs, gate=MODULES[self_attention])
        if name.startswith("resnet"):
            points = ("stem", "layer1", "layer2", "layer3", "layer4")
            classifier = head("fc", nn.Linear(512 if name == "resnet18" else 2048, 1))
        else:
            points = ("pool1", "pool2", "pool3", "pool4", "pool5")
            classifier = _vgg_classifier(512 * (height // _SIDE) * (width // _SIDE))
        super().__init__(steps, points, classifier)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor, attention: Mapping[int, Tensor] | None = None) -> Tensor:
        """float [N, inputs, height, width], and for any of the points 1 to 5 its attention map M_p, float
        [N, 1, height / stride, width / stride] in [0, 1] -> logits float [N], of being a bad part. Raises TrainingError
        for a point that there is not."""
        return self._run(image, attention or {})[1]

    def before_and_after(
        self, image: Tensor, attention: Mapping[int, Tensor] | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """What `forward` takes -> for each point the features before and after attention, float [N, C_p, height /
        stride, width / stride] (Figure 5); the same tensor twice where there is no attention."""
        return self._run(image, attention or {})[0]

    def _run(self, image: Tensor, attention: Mapping[int, Tensor]) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        if unknown := [point for point in attention if point not in POINTS]:
            raise TrainingError(f"no attention point {unknown[0]}", "LEA-Net", "choose from 1 to 5")
        features = []
        for path in self.paths:
            image = self.get_submodule(path)(image)
            if path in self._points:
                before, point = image, self._points[path]
                if point in attention:
                    image = (1 + attention[point]) * before  # Eq. 3
                features.append((before, image))
        return features, image.squeeze(1)


def _vgg_classifier(inputs: int) -> Iterator[Step]:
    """Two hidden layers, without VGG's dropout: the paper does not mention it, and the authors' code has none."""
    yield Step("flatten", nn.Flatten())
    yield Step("classifier.0", nn.Linear(inputs, _HIDDEN))
    yield Step("classifier.1", nn.ReLU(inplace=True))
    yield Step("classifier.3", nn.Linear(_HIDDEN, _HIDDEN))
    yield Step("classifier.4", nn.ReLU(inplace=True))
    yield Step("classifier.6", nn.Linear(_HIDDEN, 1))
