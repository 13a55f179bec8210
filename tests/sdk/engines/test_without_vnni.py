"""x86 processors without VNNI add two products of an int8 layer in 16 bits, and cut off what is more: INT8 has to judge
there as it does elsewhere. Processes of their own are held to such instructions by a variable of oneDNN's."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the limits are those of x86")

LIMITS = ("AVX2", "AVX512_CORE")

ANSWER = """
import sys
import numpy as np
from edgead.engines.openvino import OpenVinoEngine, compile_graph
with open(sys.argv[1], "rb") as file, OpenVinoEngine(compile_graph(file.read()), max_batch=1) as engine:
    print(engine.infer(np.full((1, 4, 4, 3), 255, np.uint8))["score"][0])
"""

VERDICTS = """
import json, sys
import numpy as np
import edgead
with edgead.load(sys.argv[1], target="openvino", precision="int8") as detector:
    results = [detector(image[..., ::-1]) for image in np.load(sys.argv[2])]
scores = [each.raw_score for each in results]
print(json.dumps({"verdicts": [each.verdict.value for each in results], "scores": scores}))
"""


def held_to(limit, program, *arguments, cache):
    """What a program prints as JSON in a Python that is held to `limit`, or to nothing where that is empty."""
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    environment |= {"EDGEAD_CACHE": str(cache), **({"ONEDNN_MAX_CPU_ISA": limit} if limit else {})}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def product_of(code):
    """A convolution whose 48 weights for each channel have one code, on a white image: 1 in steps of 1 / 127."""
    step = np.float32(1 / 127)
    constants = {"step": step, "zero": np.int8(0), "codes": np.full((64, 3, 4, 4), code, np.int8)}
    constants |= {"steps": np.full(64, step), "zeros": np.zeros(64, np.int8), "white": np.float32(255)}
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["pixels", "white"], ["light"]),
        helper.make_node("Transpose", ["light"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("QuantizeLinear", ["planes", "step", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "step", "zero"], ["read"]),
        helper.make_node("DequantizeLinear", ["codes", "steps", "zeros"], ["weights"], axis=0),
        helper.make_node("Conv", ["read", "weights"], ["answer"]),
        helper.make_node("ReduceMax", ["answer", "axes"], ["score"], keepdims=0),
    ]
    constants["axes"] = np.array([1, 2, 3])
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 4, 4, 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "product", [image], [score], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


@pytest.mark.parametrize("limit", LIMITS)
def test_the_largest_weights_are_multiplied_right(limit, tmp_path):
    """Where it computes INT8 there OpenVINO 2026.4 answers 16.3 for 48."""
    (tmp_path / "graph.onnx").write_bytes(product_of(127))
    answer = held_to(limit, ANSWER, tmp_path / "graph.onnx", cache=tmp_path)
    assert answer == pytest.approx(48, rel=1e-3)


@pytest.fixture(scope="module")
def built(fp32_bundle, parts, tmp_path_factory):
    """A bundle with INT8, test photos as uint8 [16, 64, 64, 3], and what is said of them where nothing is limited."""
    folder = tmp_path_factory.mktemp("int8")
    bundle, images = shutil.copy(fp32_bundle, folder / "part.edgead"), folder / "images.npy"
    build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino"))
    np.save(images, load_images(read_dataset(parts).test, 64, 64))
    return bundle, images, held_to("", VERDICTS, bundle, images, cache=folder / "cache")


@pytest.mark.parametrize("limit", LIMITS)
def test_a_bundle_judges_as_where_it_was_built(built, limit, tmp_path):
    """`load` refuses the engine where it misjudges the bundle's own images. As OpenVINO computes INT8 there, it did."""
    bundle, images, expected = built
    found = held_to(limit, VERDICTS, bundle, images, cache=tmp_path)
    assert found["verdicts"] == expected["verdicts"] and len(set(expected["verdicts"])) > 1
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=0.01)
