# make run     set up, train config/quick.yaml, print where its report lies
# make test    set up, lint, check types, test
# make test-fast   the same without what trains, starts the program, draws or unpacks gigabytes: about a minute
# make hooks   have ruff, snakefmt and mypy look at every commit
# make soak    60 kills of real training, or SLOTBENCH_KILLS, and as many with a file damaged; the tests have six
# make fuzz    ten minutes of configs, recipes, records, states and command lines that no person writes; the tests have some seconds
# make test-cluster   run the grid through a SLURM of its own (as root, with slurm-wlm, munge and rsync), on a node's own disk and on object storage
# make test-pythons   what an interpreter can change, under every Python from 3.11 to 3.13 that is found here
# make docs    build the pages of docs/ into site/
# Set-up is done once, and again when the pinned versions change: a virtual environment in .venv.

PYTHON := $(firstword $(shell command -v python3.11) $(shell command -v python3) $(shell command -v python) python3)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# A person's own profile is for other workflows, and its executor may not be installed here.
unexport SNAKEMAKE_PROFILE

.PHONY: run test test-fast hooks test-pythons test-cluster soak fuzz docs setup

run: setup
	@snakemake --configfile config/quick.yaml --cores 2 --quiet rules
	@echo report/quick/index.html

test: setup
	ruff check .
	ruff format --check .
	mypy
	pytest -n 2 --dist worksteal -m "not cluster" --cov --cov-report=term

test-fast: setup
	ruff check --quiet .
	ruff format --check --quiet .
	mypy
	pytest -n 2 --dist worksteal -m "not slow and not browser and not cluster"

hooks: setup
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	.venv/bin/pre-commit install

soak: setup
	SLOTBENCH_KILLS=$${SLOTBENCH_KILLS:-60} pytest tests/faults/test_kill.py

fuzz: setup
	python -m tests.fuzz.inputs --seconds 600

test-pythons:
	tests/pythons.sh

test-cluster: .venv/cluster
	pytest -rs -m cluster tests/cluster

.venv/cluster: .venv/ready
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[slurm,kubernetes,test-cluster]'
	@touch $@

docs: setup
	sphinx-build -q -W --keep-going -c docs/site -b html -d site/.doctrees . site
	@echo site/docs/index.html

# A clone that has been moved or copied has an environment whose programs and imports lead to the old place.
setup:
	@if [ -e .venv/ready ] && [ "$$(cat .venv/ready)" != "$$(pwd -P)" ]; then \
	    echo "This clone was not set up where it lies now: setting up .venv anew"; rm -rf .venv; fi
	@$(MAKE) --no-print-directory .venv/ready

.venv/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and sys.executable + \
	    " is older than Python 3.11; name a newer one: make PYTHON=/path/to/python3.11")'
	@echo "Setting up .venv (once, some minutes)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,browser,docs,crate]'
	@pwd -P > $@
