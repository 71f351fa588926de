# `make demo` and `make test` are the two commands of the README. Both set up .venv when it is missing
# and need no network once it is there.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# processes of the tests: one per core, from 2 to 4, since each takes 0.7 GB and many tests start more
TESTERS ?= $(shell $(PYTHON) -c 'import os; print(max(2, min(4, os.cpu_count() or 2)))')
# without bytecode of the packages: Python writes that of the modules it imports, a small part of them
PIP    := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --no-compile

# containers often set it; then each process that a test starts would compile every module anew, 0.5 s or more
unexport PYTHONDONTWRITEBYTECODE

.PHONY: lock demo check test test-kernels style test-faults lint docs results bench bench-gpu bench-ray install clean

$(VENV)/.installed: pyproject.toml constraints.txt requirements.lock
	@echo "installing into $(VENV), which takes a minute or two: $$(grep -c == requirements.lock) packages whose hashes"
	@echo "requirements.lock knows, and $$(grep ^torch== constraints.txt) from your package index, which has builds of its own"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dilution needs Python 3.11 or newer; found %d.%d. Name another with: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@# torch, the largest package, while the others arrive; its version in constraints.txt is the CPU build where
	@# the index has one
	$(PIP) --no-deps torch & torch=$$!; $(PIP) --require-hashes -r requirements.lock; \
		others=$$?; wait $$torch && test $$others = 0
	$(PIP) torch
	@# without build isolation, since the build backend would be fetched without a hash
	$(PIP) --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --no-build-isolation --editable '.[dev,features]'
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) --no-build-isolation --editable '.[bench]'
	touch $@

$(VENV)/.installed-ray: $(VENV)/.installed
	$(PIP) --no-build-isolation --editable '.[ray]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --no-build-isolation --editable '.[docs]'
	touch $@

$(VENV)/.installed-kernels: $(VENV)/.installed-dev
	$(PIP) --no-build-isolation --editable '.[kernels]'
	touch $@

install: $(VENV)/.installed

# requirements.lock anew, after a change of requirements.in or constraints.txt; uv is not installed by this file
lock:
	grep -v -e ^torch -e ^triton constraints.txt | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command "make lock" --constraints - requirements.in --output-file requirements.lock

demo: $(VENV)/.installed
	$(BIN)/dilution reproduce fig1 --dataset digits --preset demo --store demo/results.sqlite --out demo

style: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint: style
	$(BIN)/mypy

# lint, types and the tests that train nothing
check: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TESTERS) -m "not trains"

# types too: mypy is one of the tests, so that the other processes need not wait for it
test: style
	@# processes of one thread each: small tensors gain nothing from more
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TESTERS) --dist worksteal

# The GPU kernels, run by Triton's interpreter on the CPU, and compiled for a GPU. Triton takes 1 GB, so it is
# not a part of `make test`.
test-kernels: $(VENV)/.installed-kernels
	TRITON_INTERPRET=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TESTERS) --dist worksteal tests/test_training_kernels.py
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TESTERS) tests/test_training_kernels_compile.py

# The site of docs/, without a network: docs/_build/html/index.html. A warning is an error; -E reads every page anew.
docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -E -W -q -j auto -d docs/_build/doctrees docs docs/_build/html

# The committed evidence of docs/results/, from the real MNIST and CIFAR-10; some hours on two cores. Resumes.
# Without CIFAR-100, name a file of foreign images for Figure 6: make results EXTERNAL=photos.pack
PRECISION ?= bfloat16
EXTERNAL  ?= cifar100
MNIST     := --dataset mnist --preset laptop --store results/mnist-laptop.sqlite --out docs/results/mnist-laptop
CIFAR     := --dataset cifar10 --preset laptop --store results/cifar10-laptop.sqlite --out docs/results/cifar10-laptop
results: $(VENV)/.installed
	$(BIN)/dilution reproduce fig1 fig5 gradients $(MNIST)
	$(BIN)/dilution reproduce fig7 fig8 fig9 fig10 fig11 --precision $(PRECISION) $(MNIST)
	$(BIN)/dilution report --store results/mnist-laptop.sqlite --out docs/results/mnist-laptop
	$(BIN)/dilution reproduce fig2 fig6 fig7 --precision $(PRECISION) --external $(EXTERNAL) $(CIFAR)
	$(BIN)/dilution report --store results/cifar10-laptop.sqlite --out docs/results/cifar10-laptop

# docs/performance.md, about an hour on an idle machine and 20 GB of disk; headline and precision need the real MNIST.
bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/flat.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/larger.py
	-$(BIN)/python benchmarks/headline.py
	-$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/page.py

# One GPU: our trainer beside a DataLoader loop, figures at paper scale, a profile. Says so where there is none.
bench-gpu: $(VENV)/.installed
	$(BIN)/python benchmarks/gpu.py --figures
	$(BIN)/python benchmarks/losses.py --device cuda
	$(BIN)/python benchmarks/precision.py --device cuda
	$(BIN)/python benchmarks/page.py

# Many machines: what engines carry a second, and Figure 8 on two simulated hosts, from the real MNIST; an hour.
bench-ray: $(VENV)/.installed-ray
	$(BIN)/python benchmarks/dispatch.py
	$(BIN)/python benchmarks/hosts.py
	$(BIN)/python benchmarks/page.py

# What may happen to machines and files: kills, full disks, damage, odd surroundings; about half an hour, loopback only.
test-faults: $(VENV)/.installed-dev $(VENV)/.installed-ray
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder faults -o faulthandler_timeout=1500 -o faulthandler_exit_on_timeout=true

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache
