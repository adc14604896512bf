# Every target sets up what it needs: on a fresh clone `make demo` and `make test` work at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Another environment, because libraries that others bring along may change what `make test` runs with.
INTEROP := .venv-interop
# The label tools of its tests, whose bounds on numpy and OpenCV would hold back the libraries there; without PyTorch.
LABEL_TOOLS := .venv-label-tools
# Small, and without PyTorch.
DOCS := .venv-docs
# The pair that the tests last passed with; any versions that pyproject.toml allows may be set here.
TORCH ?= torch==2.14.1 torchvision==0.29.1

# By default glibc returns the memory of large tensors to the kernel after every layer, and the page faults when it is
# allocated again cost up to half of a forward pass. Keep it instead, as the command line does.
test test-interop test-all: export MALLOC_MMAP_THRESHOLD_ = 4294967296
test test-interop test-all: export MALLOC_TRIM_THRESHOLD_ = 8589934592

# The number of threads changes the last bits of a network's maps, and with them a few pixels of a figure.
figures: export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-interop test-all lint tables figures docs wheel clean

# lists the targets
help:
	@awk '/^# /{text = substr($$0, 3)} /^[a-z-]+:[^=]*$$/{sub(/:.*/, ""); printf "make %-12s %s\n", $$0, text}' Makefile

# segments the scene inside the package with the model inside it, and writes fanet_demo/demo.png
demo: $(VENV)/.installed
	$(BIN)/fanet demo --output fanet_demo

# runs the static checks and the tests, in two processes of one thread each
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

# runs the tests with other libraries, which it installs into two environments of their own
test-interop: $(INTEROP)/.installed $(LABEL_TOOLS)/.installed
	OMP_NUM_THREADS=1 $(INTEROP)/bin/python -m pytest -n 2 --dist loadgroup tests/interop

# runs all tests, slow ones too, and prints how the first step of training starts for every variant
test-all: test test-interop docs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m slow
	FANET_MUTATIONS=500 $(BIN)/python -m pytest tests/segmentation/data/test_annotation_fuzz.py
	$(BIN)/python benchmarks/first_step.py

# checks style, formatting, types and the direction of imports
lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# writes the tables of README.md and docs/ from benchmarks/results/
tables: $(VENV)/.installed
	$(BIN)/python benchmarks/tables.py

# draws the figures in docs/figures/
figures: $(VENV)/.installed
	$(BIN)/python docs/figures/architecture.py
	$(BIN)/python docs/figures/layout.py
	$(BIN)/python docs/figures/clutterbench.py
	$(BIN)/python benchmarks/figures.py
	$(BIN)/python benchmarks/grid_figures.py

# builds the documentation site into site/; read it with: python3 -m http.server -d site
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

# builds the wheel and the source archive into dist/
wheel: $(VENV)/.installed
	rm -rf build dist
	$(BIN)/python -m build

# removes what the other targets made, including the virtual environment
clean:
	rm -rf $(VENV) $(INTEROP) $(LABEL_TOOLS) $(DOCS) build dist site fanet_demo .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# (the virtual environment; updated when the dependencies change)
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[dev,seg]"
	touch $@

$(INTEROP)/.installed: pyproject.toml
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --upgrade pip
	$(INTEROP)/bin/python -m pip install --quiet $(TORCH)
	$(INTEROP)/bin/python -m pip install --quiet --editable ".[interop]"
	touch $@

$(LABEL_TOOLS)/.installed: tests/interop/label_tools.txt
	$(PYTHON) -m venv $(LABEL_TOOLS)
	$(LABEL_TOOLS)/bin/python -m pip install --quiet --upgrade pip
	$(LABEL_TOOLS)/bin/python -m pip install --quiet --requirement tests/interop/label_tools.txt
	touch $@

$(DOCS)/.installed: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --upgrade pip
	$(DOCS)/bin/python -m pip install --quiet --requirement docs/requirements.txt
	touch $@
