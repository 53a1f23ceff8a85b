# `make demo` and `make test` do all set-up themselves; Python 3.11, 3.12 or 3.13 with pip is all they need.
# PYTHON=/path/to/python chooses the interpreter.
PYTHON ?=
BIN := .venv/bin
export PYTHON

SEED ?= 1
KILLS ?= 30
EVENTS ?= 500
WORKERS ?= 0
SCHEDULES ?= 20000

.PHONY: help setup browser demo test coverage crash-points check format bench chaos model lock up down clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    show the road, from an Airflow task to the DAG run that it causes"
	@echo "make test    pass the tests; WORKERS=2: by two at a time"
	@echo "make coverage measures all tests by branch; make crash-points kills and stops at every boundary"
	@echo "make check   format, lint, types, import contracts"
	@echo "make bench   run every benchmark"
	@echo "make chaos   kill everything, count everything: SEED=1,2,3 KILLS=100 EVENTS=5000"
	@echo "make model   search the model of the engine for a broken promise (SCHEDULES=1000000 for a night)"
	@echo "make up      start PostgreSQL, Kafka, Airflow, relay and worker; make down stops them"
	@echo "make lock    resolve the dependencies anew; make clean removes all that was made"

setup:
	@scripts/setup

demo: setup
	@$(BIN)/tradeloop demo $(ARGS)

browser: setup
	@scripts/browser >/dev/null

test: browser
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

coverage: browser
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder --cov --cov-report=term-missing --cov-fail-under=95 $(ARGS)

crash-points: setup
	@CRASH_POINTS=all $(BIN)/python -m pytest tests/integration/engine/test_crash_points.py $(ARGS)

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: setup
	@$(BIN)/tradeloop bench all $(ARGS)

chaos: setup
	@$(BIN)/tradeloop bench chaos --seed $(SEED) --kills $(KILLS) --events $(EVENTS) $(ARGS)

model: setup
	@$(BIN)/tradeloop model --schedules $(SCHEDULES) $(ARGS)

up: setup
	@$(BIN)/tradeloop up $(ARGS)

down: setup
	@$(BIN)/tradeloop down $(ARGS)

lock: setup
	@scripts/lock

clean:
	@if [ -x $(BIN)/tradeloop ]; then $(BIN)/tradeloop down --wipe --yes || true; fi
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov build dist .coverage
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
