# Every target sets itself up: a virtual environment in .venv with the pins of constraints.txt.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test slow check doctor clean

demo: $(READY) ## a sweep on the embedded data set (5 descriptors and random, 2 budgets, 5 models), and its report
	@folder=multirun/demo-$$(date +%Y-%m-%d-%H-%M-%S) && $(BIN)/tamis -m experiment=demo hydra.sweep.dir=$$folder \
		&& $(BIN)/tamis report $$folder

test: $(READY) ## linters, types and every test that takes seconds
	@$(BIN)/python -m tests.kernels & $(MAKE) check; checked=$$?; wait; exit $$checked
	$(BIN)/pytest -n 2 -m "not slow and not upstream"

slow: $(READY) ## the tests that take minutes
	$(BIN)/pytest -m "slow"

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

doctor: $(READY) ## which engines are here
	$(BIN)/tamis doctor

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "tamis needs Python 3.11, 3.12 or 3.13; none is on the PATH"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@
