"""Intel's and AMD's counters of energy (RAPL), as Linux shows them below /sys/class/powercap."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_FOLDER = "sys/class/powercap"


class Rapl:
    """A meter of processor packages, and of their memory where it is counted apart."""

    def __init__(self, zones: Iterable[Path]) -> None:
        self._zones = tuple(zones)
        self.name = f"RAPL ({', '.join(_word(zone / 'name') for zone in self._zones)})"
        self._begin: list[int] | None = None

    def start(self) -> None:
        self._begin = self._read()

    def stop(self) -> float | None:
        """Joules since `start`, for as long as no counter went through its whole range, which takes minutes at least;
        None where one could not be read."""
        end = self._read()
        if self._begin is None or end is None:
            return None
        taken = 0
        for zone, before, after in zip(self._zones, self._begin, end, strict=True):
            around = int(_word(zone / "max_energy_range_uj")) if after < before else 0
            taken += after - before + around
        return taken / 1e6

    def _read(self) -> list[int] | None:
        try:
            return [int(_word(zone / "energy_uj")) for zone in self._zones]
        except (OSError, ValueError):
            return None


def find(root: Path = Path("/")) -> Rapl | str:
    """The meter, or in words why there is none.

    Of the zones it takes `package-*` and `dram`: `core` and `uncore` lie within a package, `psys` around all of them,
    and `intel-rapl-mmio` counts the packages again.
    """
    zones = []
    for zone in sorted((root / _FOLDER).glob("intel-rapl:*")):  # AMD's as well
        try:
            if _word(zone / "name").startswith(("package", "dram")):
                int(_word(zone / "energy_uj"))
                int(_word(zone / "max_energy_range_uj"))
                zones.append(zone)
        except PermissionError:
            return f"{zone / 'energy_uj'} may be read by root alone"
        except (OSError, ValueError) as error:
            return f"{zone} cannot be read ({error})"
    return Rapl(zones) if zones else f"no counter of energy in {root / _FOLDER}"


def _word(path: Path) -> str:
    return path.read_text().strip()
