"""Histograms of activations: those that NumPy makes of the tensors themselves."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import nn

from edgead.calibration.magnitudes import BINS, magnitudes
from edgead.export.graph import to_graph


class Rectified(nn.Module):
    """A convolution, a ReLU that leaves much zero, and a second convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1)
        with torch.no_grad():
            self.first.bias.sub_(0.2)

    def between(self, image):
        return torch.relu(self.first(image.float().permute(0, 3, 1, 2) / 255 - 0.5))

    def forward(self, image):
        answer = self.second(self.between(image))[:, 0]
        return answer, answer.amax(dim=(1, 2))


def test_what_lies_in_each_bin_is_what_numpy_counts():
    torch.manual_seed(0)
    model, images = Rectified().eval(), np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    graph = to_graph(model, 16, 16, 4)
    layers = [node for node in onnx.load_from_string(graph).graph.node if node.op_type == "Conv"]
    seen: list[tuple[str, int, int]] = []
    pixels, between = (layer.input[0] for layer in layers)
    found = magnitudes(graph, [pixels, between], images, lambda *told: seen.append(told))
    with torch.no_grad():
        tensors = (
            images.transpose(0, 3, 1, 2) / np.float32(255) - np.float32(0.5),
            model.between(torch.from_numpy(images)).numpy(),
        )
    for name, values in zip((pixels, between), tensors, strict=True):
        counts, largest = found[name]
        sizes = np.abs(values[values != 0])
        np.testing.assert_allclose(largest, sizes.max(), rtol=1e-5)
        assert counts.sum() == len(sizes) and counts.shape == (BINS,) and counts.dtype == np.int64
        # A value on the edge between two bins may fall into either.
        expected = np.cumsum(np.histogram(sizes, BINS, range=(0, largest))[0])
        assert np.abs(np.cumsum(counts) - expected).max() <= 0.002 * len(sizes)
    assert (tensors[1] == 0).mean() > 0.3
    assert [done for _, done, _ in seen] == list(range(1, 13)) and {total for *_, total in seen} == {12}


def test_a_tensor_of_zeros_counts_nothing():
    torch.manual_seed(0)
    model = Rectified().eval()
    with torch.no_grad():
        model.first.bias.fill_(-100)
    graph = to_graph(model, 16, 16, 4)
    name = [node for node in onnx.load_from_string(graph).graph.node if node.op_type == "Conv"][1].input[0]
    counts, largest = magnitudes(graph, [name], np.zeros((2, 16, 16, 3), np.uint8))[name]
    assert counts.sum() == 0 and largest == 0
