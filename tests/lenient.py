"""A budget that refuses nothing: of a detector that was trained for a second, INT8 may take what it likes."""

from __future__ import annotations

import dataclasses

from edgead.export.verification.gate import Budget

LENIENT = Budget(max_drop=1, max_pixel_drop=1, max_aupro_drop=1, max_map_error=100, max_changed=1, min_correlation=-1)
OPTIONS = [
    word for name, value in dataclasses.asdict(LENIENT).items() for word in (f"--{name.replace('_', '-')}", str(value))
]
"""The same for the command line."""
