"""The power monitors of a Jetson's board (INA3221), as Linux shows them since JetPack 5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgead.bench.power import PowerMeter

_FOLDERS = "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*"
_INPUT = "VDD_IN"


@dataclass(frozen=True)
class Rail:
    """A supply that a monitor watches. voltage, current: files of millivolts and milliamperes."""

    label: str
    voltage: Path
    current: Path

    def watts(self) -> float:
        return int(self.voltage.read_text()) * int(self.current.read_text()) / 1e6


def find(root: Path = Path("/")) -> PowerMeter | str:
    """The meter of the whole module, or in words why there is none: the rail VDD_IN that feeds all others where it is
    watched, as on Orin NX and Nano, else the sum of all rails, as on AGX Orin."""
    found = rails(root)
    if not found:
        return "no INA3221 power monitor"
    whole = [rail for rail in found if rail.label == _INPUT] or found

    def watts() -> float | None:
        try:
            return sum(rail.watts() for rail in whole)
        except (OSError, ValueError):
            return None

    name = f"INA3221 ({', '.join(rail.label for rail in whole)})"
    return PowerMeter(name, watts) if watts() is not None else f"{name} cannot be read"


def rails(root: Path = Path("/")) -> list[Rail]:
    """All rails that are connected; a monitor has three inputs, and what it calls `in4` to `in7` are no supplies."""
    found = []
    for folder in sorted(root.glob(_FOLDERS)):
        for number in (1, 2, 3):
            label, voltage, current = (folder / f"{name}" for name in _names(number))
            name = label.read_text().strip() if label.is_file() else f"{folder.name} {number}"
            if name != "NC" and voltage.is_file() and current.is_file():
                found.append(Rail(name, voltage, current))
    return found


def _names(number: int) -> tuple[str, str, str]:
    return f"in{number}_label", f"in{number}_input", f"curr{number}_input"
