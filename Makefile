# Every target sets up what it needs; `make help` lists them.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Tests mostly wait for servers: one process more than there are cores.
PROCESSES ?= $(shell echo $$(($$(nproc) + 1)))
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup run test versions chaos outage cluster gateway bench pictures lint format docs lock clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: .venv/.ready ## Build .venv with billing-service in it

.venv/.ready: pyproject.toml requirements.lock
	@bash tools/venv.sh $(PYTHON) .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: .venv/.ready ## Run it: on private servers with sample traffic (ARGS=--jasmin: a real Jasmin), or on yours where configured
	@exec $(BIN)/python -m bench.demo $(ARGS)

test: .venv/.ready ## Run all tests on servers that they start themselves; ARGS="-k dlr" selects
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(ARGS)

versions: .venv/.ready ## Run the tests that matter on PostgreSQL 13 to 18 and on RabbitMQ 4
	@$(BIN)/python -m bench.versions $(ARGS)

chaos: .venv/.ready ## Break everything at random under load, then compare every event and cent
	@$(BIN)/python -m bench.chaos run $(ARGS)

outage: .venv/.ready ## Take the database away for a minute under 2,000 events/s, and compare
	@$(BIN)/python -m bench.chaos outage $(ARGS)

cluster: .venv/.ready ## Take nodes of a RabbitMQ cluster and hosts of the service away under load, and compare
	@$(BIN)/python -m bench.cluster $(ARGS)

gateway: .venv/.ready ## Send SMS through a real Jasmin to a simulated operator, and compare what is settled
	@$(BIN)/python -m bench.gateway $(ARGS)

bench: .venv/.ready ## Measure: ARGS="drain --kind native"; without ARGS it lists what there is
	@$(BIN)/python -m bench $(ARGS)

pictures: .venv/.ready ## Take the pictures of make run and of the status page in docs/ again, in three minutes
	@$(BIN)/python -m bench.demo --rate 60 --seconds 150 --pictures docs

lint: .venv/.ready ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.ready ## Put the sources into the common style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

docs: .venv/.ready ## Write docs/settings.md from the settings
	@$(BIN)/python -m tools.settings_reference

lock: .venv/.ready ## Bring the lock files up to date with pyproject.toml and jasmin.in
	@$(LOCK) --upgrade --group dev --group bench --output-file requirements.lock pyproject.toml
	@$(LOCK) --constraint requirements.lock --output-file requirements-service.lock pyproject.toml
	@$(LOCK) --constraint requirements.lock --output-file requirements-image.lock --group image
	@$(LOCK) --upgrade --output-file bench/stack/jasmin.lock bench/stack/jasmin.in

clean: ## Remove .venv and the private servers with their data
	@rm -rf .venv .stack
