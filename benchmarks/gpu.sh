#!/usr/bin/env bash
# Everything in the repository that needs a CUDA GPU, in one call of under 10 minutes. Run it in an environment where edgead is
# installed with its extras; it writes benchmarks/results/gpu.json with the device and the commit.
set -euo pipefail
cd "$(dirname "$0")/.."
python - <<'PY'
import importlib.util, sys
missing = [name for name in ("torch", "pycuda", "edgead") if importlib.util.find_spec(name) is None]
sys.exit(f"not installed: {', '.join(missing)}" if missing else 0)
PY
python -m pytest -m gpu -q
python benchmarks/gpu.py --output benchmarks/results/gpu.json
