"""A trained module as an engine: what a compiled one does, in torch, where there is none to compile."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgead.engines.base import Engine
from edgead.training.models import DetectorModule

_TYPES: dict[torch.dtype, tuple[type[np.generic], str]] = {
    torch.uint8: (np.uint8, "|u1"),
    torch.float32: (np.float32, "<f4"),
}


class TorchStage(Engine):
    """A detector in eval mode on a CUDA device or the CPU: an engine, and a `Stage` on that device's memory.

    It stands in for TensorRT where there is a GPU and no TensorRT. On the CPU, addresses are the host's, and `enqueue`
    is over when it returns.
    """

    name = "torch"
    capturable = False  # torch makes memory as it goes, which a graph cannot hold

    def __init__(self, model: DetectorModule, device: str | torch.device = "cuda", *, max_batch: int = 1) -> None:
        super().__init__(max_batch=max_batch)
        self._model, self._device = model, torch.device(device)
        self.outputs: Mapping[str, tuple[int, ...]] = {}

    def _activate(self) -> None:
        self._model = self._model.to(self._device).eval()
        options = self._model.options
        blank = torch.zeros(1, options.height, options.width, 3, dtype=torch.uint8, device=self._device)
        self.outputs = {name: tuple(output.shape[1:]) for name, output in self._run(blank).items()}
        self.size = (options.height, options.width)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # the weights are there before another stream reads them

    def _deactivate(self) -> None:
        self.outputs, self.size = {}, None

    def _infer(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        outputs = self._run(torch.from_numpy(image).to(self._device))
        return {name: output.cpu().numpy() for name, output in outputs.items()}

    def enqueue(self, addresses: Mapping[str, int], batch: int, stream: int) -> None:
        """As `Stage.enqueue`."""
        assert self.size is not None  # it is running
        with self._on(stream):
            outputs = self._run(self._at(addresses["image"], (batch, *self.size, 3), torch.uint8))
            for name, output in outputs.items():
                self._at(addresses[name], tuple(output.shape), torch.float32).copy_(output)

    def _run(self, image: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            answer = self._model(image)
        return {name: output.float() for name, output in zip(self._model.outputs, answer, strict=False)}

    def _on(self, stream: int) -> AbstractContextManager[object]:
        if self._device.type == "cpu":
            return nullcontext()
        return torch.cuda.stream(torch.cuda.ExternalStream(stream, device=self._device))  # type: ignore[no-untyped-call]

    def _at(self, address: int, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """The tensor whose memory begins at an address."""
        number, code = _TYPES[kind]
        if self._device.type == "cpu":
            memory = (ctypes.c_uint8 * (math.prod(shape) * np.dtype(number).itemsize)).from_address(address)
            return torch.from_numpy(np.ctypeslib.as_array(memory).view(number).reshape(shape))
        return torch.as_tensor(_Memory(address, shape, code), device=self._device)


class _Memory:
    """Memory of a CUDA device, for whoever reads the CUDA array interface."""

    def __init__(self, address: int, shape: tuple[int, ...], code: str) -> None:
        interface = {"data": (address, False), "shape": shape, "typestr": code, "strides": None, "version": 3}
        self.__cuda_array_interface__ = interface
