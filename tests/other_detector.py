"""A second detector of the same parts, of another size and shape, made once for all tests."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from edgead.cli.export import export_command
from edgead.data.layout import read_dataset
from edgead.training.fit import fit
from edgead.training.options import FitOptions

HEIGHT, WIDTH = 32, 48


def other_detector(parts: Path) -> Path:
    """The bundle of a LAMP that was trained for two epochs, on another share of the photos; it lies beside them."""
    folder = parts.parent / "other"
    bundle = folder / "other.edgead"
    if not bundle.exists():
        model = {"height": HEIGHT, "width": WIDTH, "stages": 3, "base_width": 4}
        options = FitOptions(epochs=2, batch_size=8, threads=1, seed=3)
        fit("lamp", read_dataset(parts).train, folder / "run", root=parts, model_options=model, options=options)
        with contextlib.redirect_stdout(io.StringIO()):
            export_command.main([str(folder / "run"), "-o", str(bundle)], standalone_mode=False)
    return bundle
