# Two commands do all set-up: `make start` and `make test`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip
PORT   ?= 8000
ADMIN_PORT ?= 8001
WORKSPACE ?= workspace

.PHONY: start install test test-engines check format bench demo screenshots fuzz constraints clean help

help:            ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed, this is $$($(PYTHON) --version)"; echo "hint: make PYTHON=/path/to/python3.11 start"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "error: the venv module is missing"; echo "hint: apt-get install python3-venv"; exit 2; }
	@touch $@

# What serving needs: no torch.
$(VENV)/.serve: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# Training. torch first and alone: a later resolver must not swap its build.
$(VENV)/.train: $(VENV)/.serve
	$(PIP) install --quiet --disable-pip-version-check -c constraints.txt torch
	$(PIP) install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,classes]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train requirements-dev.txt
	$(PIP) install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,classes]' -r requirements-dev.txt
	@touch $@

$(VENV)/.engines: $(VENV)/.dev
	$(PIP) install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,classes,postgres]' -r requirements-engines.txt
	@touch $@

start: $(VENV)/.serve   ## Serve the API and the console on http://127.0.0.1:8000
	@test -f $(WORKSPACE)/nhan.toml || $(BIN)/nhan init $(WORKSPACE)
	$(BIN)/nhan serve --workspace $(WORKSPACE) --port $(PORT) --admin-port $(ADMIN_PORT)

install: $(VENV)/.train ## Install all that training needs too, into .venv
	@echo "next: . $(BIN)/activate && nhan --help"

# What fails is run a second time, alone, and both runs stay in sight: a test that fails because the
# machine was too busy is told from one that fails.
define run_tests
$(BIN)/python -m pytest $(1) $(2) || { test $$? -eq 1 && echo "what failed is run once more" && $(BIN)/python -m pytest $(1) --last-failed -ra; }
endef

test: $(VENV)/.dev      ## Run all default tests
	$(call run_tests,,-n 2 --dist loadgroup)

test-engines: $(VENV)/.engines   ## Install and start the real engines, run the marked tests, stop them
	tests/engines/install
	$(call run_tests,tests -m engine,-ra)

check: $(VENV)/.dev     ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev    ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev     ## Benchmarks, small sizes; prints tables
	$(BIN)/python benchmarks/all.py

demo: $(VENV)/.dev      ## The whole loop, unattended, in minutes
	$(BIN)/python examples/demo.py

screenshots: $(VENV)/.engines   ## Take the pictures of the console that the documentation shows
	$(BIN)/python examples/screenshots.py

fuzz: $(VENV)/.dev      ## 100,000 hostile requests and pictures against the server
	$(BIN)/python -m pytest tests/serving -m slow -k fuzz

constraints: $(VENV)/.engines   ## Pin what is installed now
	$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+cpu//' > constraints.txt

clean:           ## Remove environments and caches, never a workspace
	rm -rf .venv .engines build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
