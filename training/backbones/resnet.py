"""He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), and Zagoruyko and Komodakis, "Wide Residual
Networks" (BMVC 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from edgead.training.backbones.base import Step
from edgead.training.backbones.layers import head


def resnet(
    blocks: Sequence[int],
    *,
    bottleneck: bool,
    widening: int = 1,
    inputs: int = 3,
    gate: Callable[[int], nn.Module] | None = None,
) -> Iterator[Step]:
    """Steps of the network with `blocks` residual blocks in each of its four layers. Taps: the stem before its pooling,
    and the layers. widening: how much wider the 3x3 convolution of a bottleneck is. inputs: channels of the image.
    gate: makes, for so many channels, the module that every block sends its answer through before the addition."""
    yield Step("conv1", nn.Conv2d(inputs, 64, 7, 2, 3, bias=False))
    yield Step("bn1", nn.BatchNorm2d(64))
    yield Step("relu", nn.ReLU(inplace=True), "stem", 64, 2)
    yield Step("maxpool", nn.MaxPool2d(3, 2, 1))
    channels, stride = 64, 4
    for index, count in enumerate(blocks, start=1):
        width, step = 64 << (index - 1), 1 if index == 1 else 2
        outputs, inner = (4 * width, (width * widening,) * 2) if bottleneck else (width, (width,))
        layer = nn.Sequential()
        for block in range(count):
            layer.append(ResidualBlock(channels, inner, outputs, step if block == 0 else 1, gate))
            channels = outputs
        stride *= step
        yield Step(f"layer{index}", layer, f"layer{index}", channels, stride)
    yield from head("fc", nn.Linear(channels, 1000))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1, named `conv1`, `bn1` and so on. The stride is in the first 3x3, as in
    torchvision and unlike the paper. `downsample` fits the input to the output where their shapes differ. `gate` is the
    last module before the addition, if there is one."""

    def __init__(
        self,
        inputs: int,
        inner: Sequence[int],
        outputs: int,
        stride: int,
        gate: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        kernels, strides = ((1, 3, 1), (1, stride, 1)) if len(inner) == 2 else ((3, 3), (stride, 1))
        widths = (inputs, *inner, outputs)
        self.depth = len(kernels)
        for index, (kernel, step) in enumerate(zip(kernels, strides, strict=True), start=1):
            convolution = nn.Conv2d(widths[index - 1], widths[index], kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{index}", convolution)
            self.add_module(f"bn{index}", nn.BatchNorm2d(widths[index]))
        self.gate = gate(outputs) if gate else None
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            fit = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(fit, nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        result = features
        for index in range(1, self.depth + 1):
            result = self.get_submodule(f"bn{index}")(self.get_submodule(f"conv{index}")(result))
            if index < self.depth:
                result = self.relu(result)
        if self.gate is not None:
            result = self.gate(result)
        if self.downsample is not None:
            features = self.downsample(features)
        added: Tensor = self.relu(result + features)
        return added
