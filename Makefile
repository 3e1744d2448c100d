# Every target sets up what it needs; `make help` lists them.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test chaos outage bench pictures bad-rows lint format lock clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: .venv/.ready ## Build .venv with billing-service in it

.venv/.ready: pyproject.toml requirements.lock
	@bash tools/venv.sh $(PYTHON) .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: .venv/.ready ## Run it: on private RabbitMQ and PostgreSQL with sample traffic, or on yours where configured
	@exec $(BIN)/python -m bench.demo $(ARGS)

test: .venv/.ready ## Run all tests on servers that they start themselves; ARGS="-k dlr" selects
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

chaos: .venv/.ready ## Break everything at random under load, then compare every event and cent
	@$(BIN)/python -m bench.chaos run $(ARGS)

outage: .venv/.ready ## Take the database away for a minute under 2,000 events/s, and compare
	@$(BIN)/python -m bench.chaos outage $(ARGS)

bench: .venv/.ready ## Measure: ARGS="drain --kind native"; without ARGS it lists what there is
	@$(BIN)/python -m bench $(ARGS)

pictures: .venv/.ready ## Take the pictures of the status page in docs/ again, in three minutes
	@$(BIN)/python -m bench.demo --rate 60 --seconds 150 --pictures docs

bad-rows: .venv/.ready ## Measure what rows cost that only the database can refuse
	@$(BIN)/python -m bench.bad_rows $(ARGS)

lint: .venv/.ready ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.ready ## Put the sources into the common style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

lock: .venv/.ready ## Bring requirements.lock up to date with pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --custom-compile-command "make lock" \
		--group dev --group bench --output-file requirements.lock pyproject.toml

clean: ## Remove .venv and the private servers with their data
	@rm -rf .venv .stack
