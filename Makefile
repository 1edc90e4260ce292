# `make mnist` and `make test` each work alone on a machine that has nothing but python3 (3.10 or newer) and make.
# Options go in ARGS:  make mnist ARGS="--model lenet"    make test ARGS="tests/data -x"

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

python := $(VENV)/bin/python
install := $(python) -m pip install --quiet --disable-pip-version-check

.PHONY: mnist test test-cuda gpu lint format bench clean help
.DEFAULT_GOAL := help

help:
	@echo "make mnist   train a network on MNIST       ARGS=\"--model lenet --epochs 5\""
	@echo "make test    run the tests                  ARGS=\"tests/data -x\""
	@echo "make test-cuda  compile the CUDA kernels and run them in the simulator"
	@echo "make gpu     on a machine with an NVIDIA GPU: tests, sanitizers, examples and benchmarks, with a report at the end"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff rewrite the sources"
	@echo "make bench   run the benchmarks             ARGS=\"goals\" or ARGS=\"ops --filter matmul\""
	@echo "make clean   remove everything these commands made"

mnist: $(VENV)/.examples $(if $(findstring cuda,$(ARGS)),$(VENV)/.cuda)
	$(python) examples/train_mnist.py $(ARGS)

test: $(VENV)/.test
	$(python) -m pytest $(ARGS)

# As machine code, which is read but not run; in the simulator, where threads take turns; and the general tests with tensors on the simulated GPU, those
# that it does not take too long for. The kernel that CONTRIBUTING.md adds is one of the first. One thread in each of several processes.
cuda_example := tests/test_examples.py::test_adding_a_kernel_as_the_texts_say[cuda]
test-cuda: export NUMBAGRAD_NUM_THREADS = 1
test-cuda: export OMP_NUM_THREADS = 1
test-cuda: $(VENV)/.test $(VENV)/.test-cuda
	$(python) -m pytest -n auto --dist loadgroup -q tests/cuda "$(cuda_example)" $(ARGS)
	NUMBA_ENABLE_CUDASIM=1 $(python) -m pytest -n auto -q tests/cuda $(ARGS)
	NUMBA_ENABLE_CUDASIM=1 $(python) -m pytest -n auto -q --device cuda @tests/on_device.txt $(ARGS)

# ARGS="--only tests sanitizers" runs these steps alone.
gpu: $(VENV)/.test $(VENV)/.cuda $(VENV)/.examples $(VENV)/.bench
	$(python) tests/scripts/gpu.py $(ARGS)

lint: $(VENV)/.lint
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

format: $(VENV)/.lint
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

bench: $(VENV)/.bench
	$(python) -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per extra, renewed when the dependencies change.
$(python):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.%: setup.cfg pyproject.toml | $(python)
	$(install) --editable ".[$*]"
	@touch $@
