"""Import real TensorRT bindings, without the libraries behind them, and say which of the names given exist there.

usage: bindings_over_stubs.py MODULE [WHEEL_FOLDER LIBRARY...] < uses.json > answer.json
"""

from __future__ import annotations

import ctypes
import importlib
import json
import re
import sys


def find(module, path):
    found = module
    for part in path.split("."):
        found = getattr(found, part)
    return found


def exists(module, path):
    try:
        find(module, path)
    except AttributeError:
        return False
    return True


def split(arguments):
    """At the commas outside of all brackets."""
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def takes(function, count):
    """Whether some overload takes `count` positional arguments, by the signatures that pybind11 writes down."""
    target = function.__init__ if isinstance(function, type) else function
    signatures = re.findall(r"^(?:\d+\. )?\w+\((.*)\) -> ", target.__doc__ or "", re.MULTILINE)
    for signature in signatures:
        parameters = [part for part in split(signature) if not re.match(r"self\b", part)]
        if sum(" = " not in parameter for parameter in parameters) <= count <= len(parameters):
            return True
    return False


def main():
    name, *rest = sys.argv[1:]
    if rest:
        folder, *libraries = rest
        for library in libraries:
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        sys.path.insert(0, folder)
    module = importlib.import_module(name)
    missing, misused, guards = [], [], set()
    for use in json.load(sys.stdin):
        if not all(exists(module, guard) for guard in use["guards"]):
            continue  # the code does not come here with this version
        guards |= set(use["guards"])
        if not exists(module, use["path"]):
            missing.append(f"{use['path']} ({use['where']})")
        elif use["arguments"] is not None and not takes(find(module, use["path"]), use["arguments"]):
            misused.append(f"{use['path']} with {use['arguments']} arguments ({use['where']})")
    json.dump(
        {"version": module.__version__, "missing": missing, "misused": misused, "guards": sorted(guards)}, sys.stdout
    )


if __name__ == "__main__":
    main()
