"""From light to bytes: lens, exposure, sensor noise, quantisation and tone curve of an industrial colour camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgead.synthetic.surface import Map, smooth

_ADC = 4095  # a 12-bit sensor
_FULL_WELL = 11000.0  # electrons at full scale
_READ_NOISE = 9.0  # electrons


@dataclass(frozen=True)
class Camera:
    """exposure: factor on the light. balance: gains of red, green, blue. defocus: blur, in sides of the photograph."""

    exposure: float
    balance: tuple[float, float, float]
    defocus: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Camera:
        exposure, red, blue, defocus = rng.uniform(-1, 1, 4)
        return cls(0.92 * (1 + 0.03 * exposure), (1 + 0.015 * red, 1.0, 1 + 0.02 * blue), 0.0015 + 0.0004 * defocus)

    def expose(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        """Linear RGB of the scene -> 0..1 of full scale at the sensor, [side, side, 3]."""
        side = light.shape[0]
        seen = smooth(light, self.defocus * side)
        seen *= _vignette(side)[:, :, None]
        seen *= np.array(self.balance, np.float32) * np.float32(self.exposure)
        return seen


def develop(exposed: NDArray[np.float32], noise: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
    """0..1 of full scale -> sRGB uint8. noise: standard normal of that shape, scaled here to shot and read noise."""
    counts: NDArray[np.float32] = exposed * np.float32(_ADC)
    if noise is not None:
        deviation = np.maximum(exposed, 0) * np.float32(_FULL_WELL)
        deviation += np.float32(_READ_NOISE**2)
        np.sqrt(deviation, out=deviation)
        deviation *= noise
        deviation *= np.float32(_ADC / _FULL_WELL)
        counts += deviation
    counts += np.float32(0.5)
    np.clip(counts, 0, _ADC, out=counts)
    return _tone_curve().take(counts.astype(np.uint16))


@lru_cache(maxsize=1)
def _tone_curve() -> NDArray[np.uint8]:
    """sRGB's transfer curve for every value of the sensor."""
    linear = np.arange(_ADC + 1) / _ADC
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


@lru_cache(maxsize=4)
def _vignette(side: int) -> Map:
    """The light that a lens loses towards the corners: cos^4 of the angle."""
    axis = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    tangent: Map = np.float32(0.30) * (axis[None, :] ** 2 + axis[:, None] ** 2)
    return (1 + tangent) ** -2
