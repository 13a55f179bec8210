# make demo: the whole chain on rendered parts.   make test: everything that CI checks.
# Both need Python >= 3.10, a C++ compiler and a package index; they work in .venv and touch nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find sdk training export calibration experiments kernels -type f -not -name '*.pyc' -not -path '*/results/*') CMakeLists.txt pyproject.toml

.PHONY: demo test lint types native sanitize pytest develop clean

demo: $(VENV)/.installed
	$(BIN)/edgead demo -o demo

test: $(VENV)/.installed-dev lint types native pytest

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(BIN)/python $(SOURCES) constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ".[train]"
	touch $@

$(VENV)/.installed-dev: $(BIN)/python $(SOURCES) constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ".[train,web,mqtt,gpio,tensorrt-rtx,dev]"
	touch $@ $(VENV)/.installed

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The installed package, not the checkout: the folders map to one package only there.
types: $(VENV)/.installed-dev
	cd $(VENV) && bin/python -m mypy --strict --config-file ../pyproject.toml -p edgead

native: $(VENV)/.installed-dev
	$(BIN)/cmake -S . -B build/native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DEDGEAD_NATIVE_TESTS=ON -DEDGEAD_CUDA=OFF
	$(BIN)/cmake --build build/native
	$(BIN)/ctest --test-dir build/native --output-on-failure

# The library and its tests once more, with what finds reads beyond an array and other undefined behaviour.
sanitize: $(VENV)/.installed-dev
	$(BIN)/cmake -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DEDGEAD_NATIVE_TESTS=ON -DEDGEAD_CUDA=OFF -DEDGEAD_SANITIZE=ON
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure
	LD_PRELOAD=$$($(CXX) -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 EDGEAD_NATIVE=build/sanitize PYTHONMALLOC=malloc \
	  $(BIN)/python -m pytest tests/kernels -m "not slow" -k "not gpu and not library and not plugins and not emulat"

# A process for each core, and one thread in each: threads that wait for a core that another process has, wait long.
pytest: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

clean:
	rm -rf $(VENV) build demo
