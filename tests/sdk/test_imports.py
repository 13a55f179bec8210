"""What is imported when, and which way the arrows run."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "lightning",
    "openvino",
    "tensorrt",
    "tensorrt_rtx",
    "pycuda",
    "cuda",
    "jsonschema",
    "paho",
    "gpiod",
}
PACKAGE = Path(str(importlib.util.find_spec("edgead").origin)).parent
ROOTS = [Path(folder) for folder in importlib.util.find_spec("edgead").submodule_search_locations]
COMMANDS = (
    "demo",
    "train",
    "evaluate",
    "import",
    "experiment",
    "landscape",
    "attention",
    "export",
    "calibrate",
    "build-engine",
    "verify",
    "audit",
    "sensitivity",
    "bench",
    "stream",
    "inspect",
    "doctor",
)


def loaded(program: str) -> set[str]:
    """The top-level modules that a program has loaded at its end."""
    code = f"{program}\nimport sys, json; print(json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_edgead_loads_nothing_heavy():
    assert not loaded("import edgead") & (HEAVY | {"cv2", "numpy"})


def test_help_loads_nothing_heavy():
    program = "from edgead.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass"
    assert not loaded(program) & (HEAVY | {"cv2", "numpy"})


def test_running_an_engine_needs_neither_torch_nor_onnx(fp32_bundle, tmp_path):
    import edgead

    with edgead.load(fp32_bundle, target="openvino"):
        pass  # the engine is in the cache now
    program = f"import numpy, edgead\nwith edgead.load({str(fp32_bundle)!r}, target='openvino') as d:\n"
    program += "    d(numpy.zeros((64, 64, 3), 'uint8'))"
    assert not loaded(program) & {"torch", "onnx", "onnxruntime", "lightning", "tensorrt", "pycuda"}


def test_every_public_name_is_there():
    import edgead

    for name in edgead.__all__:
        assert getattr(edgead, name) is not None
    assert callable(edgead.load) and callable(edgead.stream)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = edgead.nonsense


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    from click.testing import CliRunner

    from edgead.cli.main import cli

    answer = CliRunner().invoke(cli, [command, "--help"])
    assert answer.exit_code == 0
    assert "Usage:" in answer.output


def modules():
    for root in ROOTS:
        for package in ("", "training", "export", "calibration", "experiments", "kernels"):
            folder = root / package
            if folder.is_dir():
                for path in sorted(folder.rglob("*.py") if package else folder.glob("*.py")):
                    yield path, package or "sdk"
    for path in sorted(PACKAGE.glob("*/**/*.py")):
        first = path.relative_to(PACKAGE).parts[0]
        if first not in ("training", "export", "calibration", "experiments", "kernels"):
            yield path, "cli" if first == "cli" else "sdk"


def imports(path, *, top_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def home(module: str) -> str:
    part = f"{module}.".split(".")[1]
    return part if part in ("training", "export", "calibration", "experiments", "kernels", "cli") else "sdk"


ALLOWED = {
    "kernels": {"kernels"},
    "sdk": {"kernels", "sdk"},
    "calibration": {"kernels", "sdk", "calibration"},
    "export": {"kernels", "sdk", "calibration", "export"},
    "training": {"kernels", "sdk", "training"},
    "experiments": {"kernels", "sdk", "calibration", "export", "training", "experiments"},
    "cli": {"kernels", "sdk", "calibration", "export", "training", "experiments", "cli"},
}


def test_arrows_run_one_way():
    seen = 0
    for path, package in modules():
        for module in imports(path):
            if module.partition(".")[0] == "edgead" and not module.startswith("edgead.errors."):
                seen += 1
                assert home(module) in ALLOWED[package], f"{path} imports {module}"
    assert seen > 100


def test_devices_are_reached_through_one_door_each():
    for path, _ in modules():
        for module in imports(path):
            top = module.partition(".")[0]
            if top == "pycuda":
                assert path.parts[-2:] == ("gpu", "driver.py"), path
            if top.startswith("tensorrt"):
                assert path.parts[-2:] in (("engines", "tensorrt.py"), ("export", "tensorrt.py")), path


def test_no_module_imports_itself_in_a_circle():
    graph = {}
    for path, _ in modules():
        root = next(root for root in [PACKAGE, *ROOTS] if path.is_relative_to(root))
        name = ".".join(["edgead", *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
        graph[name] = {module for module in imports(path, top_only=True) if module.startswith("edgead.")}
    # `from package import name` takes a module of that name where there is one, and else the module itself.
    for name, found in graph.items():
        graph[name] = {module if module in graph else module.rpartition(".")[0] for module in found}
    done, walking = set(), []

    def visit(name):
        assert name not in walking, " -> ".join([*walking[walking.index(name) :], name])
        if name in graph and name not in done:
            walking.append(name)
            for following in graph[name]:
                visit(following)
            walking.pop()
            done.add(name)

    for name in graph:
        visit(name)
    assert len(done) > 60
