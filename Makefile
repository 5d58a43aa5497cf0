# Everything starts from Python 3.11+, pip, make and git. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := resonance_zoom jobs tests

# Two processes of tests would compile all of them anew at each run where the shell asks for that.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo rehearse screenshots test check format lint types floors lock clean

help:
	@echo "make demo       try everything in a browser: a simulated Zoom, a mailbox that is a page"
	@echo "make rehearse   run the shipped campaign in virtual time against a simulated Zoom"
	@echo "make test       run the tests"
	@echo "make test-postgresql  run those of store, jobs, journeys and staff pages on a PostgreSQL of their own"
	@echo "make screenshots  write pictures of every page and letter to var/screenshots (needs chromium)"
	@echo "make setup      only make .venv, with .venv/bin/resonance-zoom in it"
	@echo "make kill N=500  kill the real daemon under load so many times, count what was lost"
	@echo "make soak N=20000  weeks of notifications and letters in minutes: memory and files stay as they are"
	@echo "make power N=20000  cut the power so many times, see what is left of what was relied on"
	@echo "make backups N=1000  back up so many times while others write, look through each copy"
	@echo "make campaigns N=2000  play drawn campaigns in which everything goes wrong, judge each"
	@echo "make mutants    see that the campaigns catch every service that is wrong on purpose"
	@echo "make failures   fail every commit, call and letter of a small campaign once"
	@echo "make fuzz N=1000000  post and load what nobody would write: no 500, no growth of memory"
	@echo "make bench      measure everything that was promised beside references (needs wrk, smtp-sink)"
	@echo "make check      what CI runs: format, lint, types, import floors, tests on both databases"
	@echo "make format     rewrite the code as ruff formats it"
	@echo "make lock       refresh requirements*.txt from pyproject.toml (needs uv)"
	@echo "make clean      remove .venv and caches (var/ stays)"

setup: .venv/.runtime

# Debian ships python3 without ensurepip: there, virtualenv is brought by pip into .tools.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv && $(PYTHON) -m pip install -q --target .tools virtualenv && PYTHONPATH=.tools $(PYTHON) -m virtualenv -q .venv; }

.venv/.runtime: .venv/bin/python requirements.txt requirements-build.txt pyproject.toml
	@echo "Installing what the service needs (once) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-build.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	@echo "Installing what the tests need (once) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: .venv/.runtime
	@$(BIN)/resonance-zoom demo $(ARGS)

rehearse: .venv/.runtime
	@$(BIN)/resonance-zoom rehearse $(ARGS)

# tests/postgresql has a turn of its own, below.
test: .venv/.dev
	@$(BIN)/python -m pytest -n auto --dist worksteal --ignore=tests/postgresql $(ARGS)

# A promise that breaks names its campaign: make kill N=50 SEED=3 plays that one again.
.PHONY: kill
kill: .venv/.dev
	@$(BIN)/python -m tests.faults.kill --kills $(or $(N),500) --seed $(or $(SEED),1)

.PHONY: soak
soak: .venv/.dev
	@$(BIN)/python -m tests.faults.soak --webhooks $(or $(N),20000)

.PHONY: backups
backups: .venv/.dev
	@$(BIN)/python -m tests.faults.backing_up --backups $(or $(N),1000)

# A loss names its cut: make power CUT=1234 SEED=3 makes that one again.
.PHONY: power
power: .venv/.dev
	@$(BIN)/python -m tests.power --cuts $(or $(N),20000) --seed $(or $(SEED),1) $(if $(CUT),--cut $(CUT))

# One campaign again: .venv/bin/python -m tests.campaigns --seed 47
.PHONY: campaigns mutants failures
campaigns: .venv/.dev
	@$(BIN)/python -m tests.campaigns --campaigns $(or $(N),2000)

mutants: .venv/.dev
	@$(BIN)/python -m tests.campaigns.mutants $(ARGS)

failures: .venv/.dev
	@$(BIN)/python -m tests.campaigns.kth

# A defect names its case: .venv/bin/python -m tests.fuzz --seed 7 --case 123
.PHONY: fuzz
fuzz: .venv/.dev
	@$(BIN)/python -m tests.fuzz --cases $(or $(N),1000000) --seed $(or $(SEED),1)

.venv/.bench: .venv/.dev requirements-bench.txt
	@echo "Installing what the service is compared with (once) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

# One part alone, and less of it: make bench ARGS="webhooks letters --rounds 5", ARGS=--quick
.PHONY: bench
bench: .venv/.bench
	@$(BIN)/python -m tests.bench $(ARGS)

screenshots: .venv/.dev
	@SCREENSHOTS=var/screenshots $(BIN)/python -m pytest tests/browser/test_pages.py
	@echo "The pictures are in var/screenshots."

# What goes through the fixture `database_url`, on a PostgreSQL of its own. What is about SQLite's
# file itself is deselected by the marker `of_a_file`.
ON_BOTH := tests/store tests/journeys tests/postgresql tests/test_jobs.py tests/test_registrations.py \
	tests/test_letters_under_way.py tests/test_moves.py tests/test_acts.py tests/test_privacy.py \
	tests/test_faults_of_time_and_order.py tests/test_wave.py tests/test_wave_in_trouble.py \
	tests/faults/test_lists_that_lag.py tests/faults/test_many_at_once.py tests/web/test_door.py \
	tests/web/test_journal.py tests/web/test_personal.py tests/web/test_registrants.py \
	tests/web/test_staff_acts.py
.PHONY: test-postgresql
test-postgresql: .venv/.dev
	@$(BIN)/python -m pytest -n auto --dist worksteal --database=postgresql $(ON_BOTH) $(ARGS)

check: format-check lint types floors test-postgresql test

.PHONY: format-check
format-check: .venv/.dev
	@$(BIN)/ruff format --check $(SOURCES)

lint: .venv/.dev
	@$(BIN)/ruff check $(SOURCES)

types: .venv/.dev
	@$(BIN)/mypy

floors: .venv/.dev
	@$(BIN)/lint-imports --no-logo

format: .venv/.dev
	@$(BIN)/ruff check --fix-only -q $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q
lock:
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) pyproject.toml --extra postgres -c requirements.txt -o requirements-postgres.txt
	$(LOCK) pyproject.toml --group dev -o requirements-dev.txt
	$(LOCK) --group build -o requirements-build.txt
	$(LOCK) pyproject.toml --group bench -c requirements-dev.txt -o requirements-bench.txt

clean:
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
