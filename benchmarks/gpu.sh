#!/usr/bin/env bash
# Everything in the repository that needs a CUDA GPU, in one call of under 10 minutes: the tests marked gpu, every kernel beside what
# one would otherwise call, the pipeline, and short trainings. Run it in an environment where edgead is installed with its extras; each
# step writes benchmarks/results/<name>.json with the device and the commit, and a step that fails does not keep the others from running.
set -uo pipefail
cd "$(dirname "$0")/.."
python - <<'PY' || exit 1
import importlib.util, sys
missing = [name for name in ("torch", "pycuda", "edgead") if importlib.util.find_spec(name) is None]
sys.exit(f"not installed: {', '.join(missing)}" if missing else 0)
PY
failed=()
step() { # name, seconds at most, command
  timeout "$2" "${@:3}" || failed+=("$1")
}
step tests 90 python -m pytest -m gpu -q
for each in ciede2000_gpu:40 neighbor_masked_attention_gpu:120 frames_gpu:40 pipeline_gpu:50 rtx_gpu:60 gpu:110; do
  name=${each%:*}
  step "$name" "${each#*:}" python "benchmarks/$name.py" --output "benchmarks/results/$name.json"
done
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck; do
    step "$tool" 40 compute-sanitizer --tool "$tool" --error-exitcode 1 python -m pytest -m gpu -q tests/kernels
  done
fi
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}"
  exit 1
fi
