"""Every name of TensorRT that the code uses exists in every version that it claims, with the number of arguments given.

The names are read from the source: `trt` is the module, and a variable, parameter or attribute annotated `api.X` is
an X. What cannot be followed that way is a failure here, so nothing escapes. The bindings are the real ones, imported
over stubs of the libraries that they need.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

import edgead.engines.tensorrt
import edgead.export.tensorrt
from edgead.export.plan_options import HARDWARE

SOURCES = [Path(module.__file__) for module in (edgead.export.tensorrt, edgead.engines.tensorrt)]
VERSIONS = {
    "10.3.0": "tensorrt_cu12_bindings",
    "10.16.1.11": "tensorrt_cu12_bindings",
    "11.4.0.106": "tensorrt_cu13_bindings",
}
STUBS = """
#define S(n) void* n(void) { return 0; }
S(createInferBuilder_INTERNAL) S(createInferRefitter_INTERNAL) S(createInferRuntime_INTERNAL)
S(createNvOnnxParserRefitter_INTERNAL) S(createNvOnnxParser_INTERNAL) S(getBuilderPluginRegistry)
S(getPluginRegistry) S(initLibNvInferPlugins)
int getNvOnnxParserVersion(void) { return 0; }
"""


@dataclass(frozen=True)
class Use:
    path: str
    guards: tuple[str, ...]  # the names that `hasattr` has found where this one is used
    arguments: int | None  # of a call with a fixed number of them
    where: str


@dataclass(frozen=True)
class Kind:
    """What an expression is: the module (an empty path), a class or enumeration of it, or an object of one."""

    path: str
    instance: bool


MODULE = Kind("", False)
OPAQUE = Kind("?", True)  # came out of the bindings, and nobody said what it is


class Reader:
    """Collects the uses in one source file."""

    def __init__(self, name: str, attributes: dict[str, Kind]) -> None:
        self.name, self.attributes = name, attributes
        self.uses: list[Use] = []
        self.faults: list[str] = []

    def read(self, node: ast.AST, scope: dict[str, Kind], guards: tuple[str, ...] = ()) -> None:
        match node:
            case ast.FunctionDef():
                scope = dict(scope)
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                for argument in arguments:
                    scope.pop(argument.arg, None)
                    kind = annotated(argument.annotation)
                    if argument.arg == "trt":
                        kind = MODULE
                    if kind:
                        scope[argument.arg] = kind
                self.read_all(node.body, scope, guards)
            case ast.ClassDef():
                for base in node.bases:
                    kind = self.kind(base, scope, guards)
                    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
                    for method in methods if kind else []:
                        self.use(f"{kind.path}.{method.name}", guards, None, method)
                self.read_all(node.body, dict(scope), guards)
            case ast.If(test=ast.Call(func=ast.Name(id="hasattr"), args=[subject, ast.Constant(value=str(attribute))])):
                kind = self.kind(subject, scope, guards)
                assert kind and kind.instance, f"line {node.lineno}: hasattr on something that is not followed"
                self.read_all(node.body, scope, (*guards, f"{kind.path}.{attribute}"))
                self.read_all(node.orelse, scope, guards)
            case ast.AnnAssign(target=ast.Name(id=name)):
                self.read(node.value, scope, guards) if node.value else None
                scope.pop(name, None)
                if kind := annotated(node.annotation):
                    scope[name] = kind
            case ast.Assign():
                self.read(node.value, scope, guards)
                for target in node.targets:
                    self.bind(target, node.value, scope)
                    if ast.unparse(target) == "trt":
                        scope["trt"] = MODULE
                self.read_all(node.targets, scope, guards)
            case ast.NamedExpr(target=target, value=value):
                self.read(value, scope, guards)
                self.bind(target, value, scope)
            case ast.withitem(context_expr=value, optional_vars=target):
                self.read(value, scope, guards)
                if target:
                    self.bind(target, value, scope)
            case ast.For() | ast.comprehension():
                self.read(node.iter, scope, guards)
                self.bind(node.target, node.iter, scope)
                self.read_all(node.ifs if isinstance(node, ast.comprehension) else node.body, scope, guards)
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                scope = dict(scope)
                self.read_all(node.generators, scope, guards)
                self.read_all([v for k, v in ast.iter_fields(node) if k != "generators"], scope, guards)
            case ast.Call():
                kind = self.kind(node.func, scope, guards, call=node)
                if kind and node.keywords:
                    self.fault(node, "keyword arguments are not checked; give them by position")
                self.read_all([*node.args, *(keyword.value for keyword in node.keywords)], scope, guards)
            case ast.Attribute():
                self.kind(node, scope, guards)
            case _:
                self.read_all(ast.iter_child_nodes(node), scope, guards)

    def read_all(self, nodes, scope, guards) -> None:
        for node in nodes:
            self.read(node, scope, guards)

    def bind(self, target: ast.expr, value: ast.expr, scope) -> None:
        """A name without annotation that takes its value from the bindings is opaque: passed on, not looked into."""
        parts = [part for part in ast.walk(value) if isinstance(part, (ast.Name, ast.Attribute))]
        tracked = any(
            part.id in scope if isinstance(part, ast.Name) else part.attr in self.attributes for part in parts
        )
        for name in bound(target):
            scope.pop(name, None)
            if tracked:
                scope[name] = OPAQUE

    def kind(self, node, scope, guards, call=None) -> Kind | None:
        """What an expression is, recording the names on the way; None for what has nothing to do with the bindings."""
        match node:
            case ast.Name(id=name):
                return scope.get(name)
            case ast.Subscript(value=value):
                self.read(node.slice, scope, guards)
                return OPAQUE if self.kind(value, scope, guards) else None
            case ast.Attribute(value=value, attr=attribute):
                owner = self.kind(value, scope, guards)
                if owner is None:
                    return self.attributes.get(attribute)
                if owner == OPAQUE:
                    self.fault(node, f"annotate what {ast.unparse(value)!r} is")
                    return None
                path = f"{owner.path}.{attribute}".lstrip(".")
                fixed = call and not any(isinstance(argument, ast.Starred) for argument in call.args)
                self.use(path, guards, len(call.args) if fixed else None, node)
                return OPAQUE if owner.instance else Kind(path, False)
            case ast.Call():
                self.read(node, scope, guards)
                return OPAQUE if self.kind(node.func, dict(scope), guards) else None
            case _:
                self.read(node, scope, guards)
                return None

    def use(self, path, guards, arguments, node) -> None:
        self.uses.append(Use(path, guards, arguments, f"{self.name}:{node.lineno}"))

    def fault(self, node, what) -> None:
        self.faults.append(f"{self.name}:{node.lineno}: {what}")


def bound(target: ast.expr) -> list[str]:
    """The names that an assignment to `target` gives a new value."""
    match target:
        case ast.Name(id=name):
            return [name]
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [name for part in parts for name in bound(part)]
        case ast.Starred(value=value):
            return bound(value)
        case _:
            return []


def annotated(annotation: ast.expr | None) -> Kind | None:
    """`api.X` and `api.X | None` are an object of X; a list of them is opaque; everything else is plain Python."""
    text = ast.unparse(annotation).strip("'\"") if annotation else ""
    found = re.fullmatch(r"api\.([\w.]+)(?: \| None)?", text)
    if found:
        return Kind(found.group(1), True)
    return OPAQUE if text.startswith("list[api.") else None


def read(texts: dict[str, str]) -> tuple[list[Use], list[str]]:
    trees = {name: ast.parse(text) for name, text in texts.items()}
    attributes = {
        node.target.attr: kind
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute)
        if (kind := annotated(node.annotation))
    }
    uses, faults = [], []
    for name, tree in trees.items():
        reader = Reader(name, attributes)
        reader.read(tree, {})
        uses += reader.uses
        faults += reader.faults
    return uses, faults


@pytest.fixture(scope="module")
def uses() -> list[Use]:
    uses, faults = read({f"{path.parent.name}/{path.name}": path.read_text() for path in SOURCES})
    assert not faults, "\n".join(faults)
    return uses


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where wheels are kept: `$EDGEAD_BINDINGS`, or for this session."""
    named = os.environ.get("EDGEAD_BINDINGS")
    return Path(named) if named else tmp_path_factory.mktemp("bindings")


def fetch(package: str, version: str, folder: Path) -> Path:
    """The unpacked wheel of the bindings for this Python."""
    unpacked = folder / f"{package}-{version}-cp{sys.version_info.major}{sys.version_info.minor}"
    if not unpacked.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--disable-pip-version-check", "--dest", str(folder), f"{package}=={version}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{package} {version} does not arrive within two minutes")
        tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
        wheels = sorted(folder.glob(f"{package}-{version}-{tag}-*.whl"))
        if not wheels:
            pytest.skip(f"{package} {version} cannot be fetched for this Python: {done.stderr.strip()[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(unpacked)
    return unpacked


def stub_libraries(version: str, folder: Path) -> list[str]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("there is no C compiler for the stub libraries")
    source = folder / "stubs.c"
    source.write_text(STUBS)
    libraries = []
    for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        library = folder / f"lib{name}.so.{version.split('.')[0]}"
        command = [compiler, "-shared", "-fPIC", "-w", str(source), "-o", str(library), f"-Wl,-soname,{library.name}"]
        subprocess.run(command, check=True)
        libraries.append(str(library))
    return libraries


def ask(uses: list[Use], *arguments: str) -> dict:
    script = Path(__file__).with_name("bindings_over_stubs.py")
    text = json.dumps([asdict(use) for use in uses])
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_exists_in_tensorrt(version, uses, folder, tmp_path):
    wheel = fetch(VERSIONS[version], version, folder)
    answer = ask(uses, "tensorrt_bindings", str(wheel), *stub_libraries(version, tmp_path))
    assert answer["version"] == version
    assert not answer["missing"]
    assert not answer["misused"]


@pytest.mark.parametrize("version", VERSIONS)
def test_levels_of_hardware_compatibility_are_members_where_they_exist(version, folder, tmp_path):
    """They are looked up by name at run time, which the reading of the source does not see."""
    wheel = fetch(VERSIONS[version], version, folder)
    names = [level.upper().replace("-", "_") for level in HARDWARE]
    levels = [Use(f"HardwareCompatibilityLevel.{name}", (), None, name) for name in names]
    answer = ask(levels, "tensorrt_bindings", str(wheel), *stub_libraries(version, tmp_path))
    absent = ["SAME_COMPUTE_CAPABILITY"] if version == "10.3.0" else []
    assert [text.split("(")[1].rstrip(")") for text in answer["missing"]] == absent


def test_every_name_exists_in_tensorrt_rtx(uses):
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    answer = ask(uses, "tensorrt_rtx_bindings")
    assert not answer["missing"]
    assert not answer["misused"]
    # A guard that holds nowhere would hide what stands behind it: this library has everything that is guarded.
    assert set(answer["guards"]) == {guard for use in uses for guard in use.guards}


def test_the_names_that_matter_are_seen(uses):
    paths = {use.path for use in uses}
    assert {
        "Builder",
        "Builder.build_serialized_network",
        "OnnxParser.parse",
        "IProgressMonitor.step_complete",
    } <= paths
    assert {"Runtime.deserialize_cuda_engine", "IExecutionContext.execute_async_v3", "TensorIOMode.INPUT"} <= paths
    assert {"ILogger.log", "ILogger.Severity.name", "ParserError.node_name", "IBuilderConfig.progress_monitor"} <= paths
    assert {"get_plugin_registry", "IPluginRegistry.load_library"} <= paths
    assert {"IBuilderConfig.can_run_on_DLA", "Builder.num_DLA_cores", "Runtime.DLA_core", "DeviceType.DLA"} <= paths
    assert {"BuilderFlag.STRIP_PLAN", "BuilderFlag.VERSION_COMPATIBLE", "OnnxParserRefitter.refit_from_bytes"} <= paths
    assert {"IBuilderConfig.set_timing_cache", "ITimingCache.serialize", "HardwareCompatibilityLevel"} <= {
        path.removesuffix(".__members__") for path in paths
    }
    guarded = {use.path for use in uses if use.guards}
    assert {"IBuilderConfig.set_compute_capability", "ComputeCapability.__members__"} <= guarded
    assert len(paths) > 50


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("builder = trt.Builder(log)\n    builder.create_network(0)", "annotate"),
        ("x = network.get_input(0).name", "annotate"),
        ("for tensor in network.tensors():\n        tensor.name", "annotate"),
        ("network.mark_output(tensor=1)", "keyword"),
        ("names = [layer.name for layer in network]", "annotate"),
        ("with network.open() as opened:\n        opened.name", "annotate"),
        ("if (first := network.get_input(0)):\n        first.name", "annotate"),
    ],
)
def test_what_cannot_be_followed_is_a_fault(code, fault):
    source = f"def build(trt: ModuleType, network: api.INetworkDefinition):\n    {code}\n"
    _, faults = read({"source": source})
    assert len(faults) == 1
    assert fault in faults[0]


def test_a_name_that_does_not_exist_is_found(folder, tmp_path):
    source = """
def build(trt: ModuleType, config: api.IBuilderConfig):
    config.set_flag(trt.BuilderFlag.FP16)
    config.int8_calibrator = None
    config.clear_flag(1, 2, 3)
    if hasattr(config, "num_compute_capabilities"):
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
"""
    wheel = fetch(VERSIONS["11.4.0.106"], "11.4.0.106", folder)
    uses, faults = read({"source": source})
    answer = ask(uses, "tensorrt_bindings", str(wheel), *stub_libraries("11", tmp_path))
    assert not faults
    assert [text.split()[0] for text in answer["missing"]] == ["BuilderFlag.FP16", "IBuilderConfig.int8_calibrator"]
    assert [text.split()[0] for text in answer["misused"]] == ["IBuilderConfig.clear_flag"]
    assert answer["guards"] == []
