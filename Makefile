# Every command of the project; CI and people call the same ones. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEED ?= 20
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# Of the last commit. What is in an image hangs on that, the lock and the base, and not on when or after what it is built.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct || echo 0)
BUILDER ?= $(firstword $(foreach one,podman buildah docker,$(if $(shell command -v $(one)),$(one))))
# The machine's own certificates, as pip and curl use them: uv ships its own and fails behind a proxy without this.
export UV_SYSTEM_CERTS ?= 1
# Some machines say so to all of Python: then each process that the tests start compiles all that it imports, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo up boot image test test-pool test-simulator coverage check format crds docs docs-serve bench clean

help: ## list the commands
	@echo "make COMMAND, the commands:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.installed ## install everything from the lock into .venv (needs Python 3.11+ only)

$(VENV)/.installed: pyproject.toml simulator/pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cks-pool needs Python 3.11 or newer; point make at one: make setup PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv sync --frozen --quiet --python $(BIN)/python
	@touch $@

demo: setup ## run the whole story on this machine: pool, golden snapshots, two sessions, resets
	@$(BIN)/python -m demo --speed $(SPEED)

up: setup ## the same, left running: the page, the API, Prefect's UI with every deployment, until Ctrl-C
	@$(BIN)/python -m demo --speed $(SPEED) --keep

boot: setup ## boot a pair of nodes from IMAGE under QEMU, restore it, cut its power (boot/README.md)
	@$(BIN)/python -m boot $(if $(IMAGE),--image '$(IMAGE)') $(if $(KUBERNETES),--kubernetes '$(KUBERNETES)') \
		$(if $(NETWORK),--network '$(NETWORK)') $(if $(ADDONS),--addons '$(ADDONS)') $(if $(CUT),--cut '$(CUT)') $(if $(EMULATED),--emulated)

image: IMAGE ?= cks-pool:$(VERSION)
image: ## build the image IMAGE of an installation, on BASE, by BUILDER (podman, buildah or docker)
	@test -n '$(BUILDER)' || { echo "podman, buildah and docker build images, and none of them is here: install one," \
		"or say where it is: make image BUILDER=/path/to/podman" >&2; exit 2; }
	$(BUILDER) build --file deployments/image/Containerfile --tag '$(IMAGE)' $(if $(BASE),--build-arg 'BASE=$(BASE)') \
		--label org.opencontainers.image.revision=$(shell git describe --always --abbrev=40 --dirty) \
		$(if $(findstring docker,$(BUILDER)),--build-arg SOURCE_DATE_EPOCH=,--layers=false --timestamp )$(SOURCE_DATE_EPOCH) .

test: test-pool test-simulator ## run the whole test suite

test-pool: setup ## run the pool's half: pool, flows, demo, documents
	$(BIN)/python -m pytest -q -n 3 --dist loadgroup

test-simulator: setup ## run the simulator's half, with the contract that it shares with real servers
	cd simulator && ../$(BIN)/python -m pytest -q -n 3 --dist loadgroup

coverage: setup ## run the pool's half and say which lines of pool/, flows/, gateway/ and cks_pool/ it leaves out
	$(BIN)/python -m pytest -q -n 3 --dist loadgroup --cov --cov-report=term-missing

check: setup ## format, lint, strict types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd simulator && ../$(BIN)/mypy
	$(BIN)/lint-imports
	cd simulator && ../$(BIN)/lint-imports
	$(BIN)/python -m cks_pool.crds --check deployments/crds

format: setup ## format the code and sort imports
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

crds: setup ## write the CRDs from the models
	$(BIN)/python -m cks_pool.crds deployments/crds

docs: setup ## write the documents' generated parts, and build the site from them into .run/site
	$(BIN)/python -m website
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open .run/site/index.html"

docs-serve: setup ## show the documents at http://127.0.0.1:8000 while they are written
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --strict --dev-addr 127.0.0.1:8000

bench: setup ## run the benchmarks; figures in benchmarks/README.md
	$(BIN)/python -m benchmarks

clean: ## remove what the demo and the tests left (.run), not the installation
	rm -rf .run .hypothesis .coverage
	for folder in . simulator; do (cd $$folder && rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache); done
