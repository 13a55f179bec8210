"""`edgead calibrate` beside others that change the same bundle."""

from __future__ import annotations

import shutil

from edgead.bundle import read_bundle
from edgead.cli import calibrate
from edgead.data.layout import read_dataset
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions
from tests.lenient import LENIENT, OPTIONS


def test_what_a_build_adds_in_the_meantime_stays(edgead, fp32_bundle, parts, tmp_path, monkeypatch):
    bundle, check_gate = shutil.copy(fp32_bundle, tmp_path / "part.edgead"), calibrate.check_gate

    def meanwhile(*arguments):
        build_engine(bundle, read_dataset(parts), BuildOptions("fp16", "openvino", budget=LENIENT))
        return check_gate(*arguments)

    monkeypatch.setattr(calibrate, "check_gate", meanwhile)
    edgead("calibrate", bundle, "--data", parts, *OPTIONS)
    assert set(read_bundle(bundle).manifest.variants) == {"fp32", "fp16", "int8"}
