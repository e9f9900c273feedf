# The index of commands. `make` alone lists them; what each does is in dev/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run demo test test-quick test-light test-all check format bench bench-search eval eval-encoder screenshots lock clean

PYTHON := .venv/bin/python
ARGS ?=

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Install what is needed and serve at http://127.0.0.1:8000 (PORT, DATA_DIR; FULL=1 with PyTorch)
	@dev/run.sh

demo: ## Put the bundled stickers and scenes into the running server, then say what to search for
	@dev/install.sh requirements-light.txt
	@$(PYTHON) dev/demo.py $(ARGS)

test: ## Install what the tests need, servers included, and run all but the longest drills (ARGS="-k word")
	@dev/test.sh most $(ARGS)

test-quick: ## Run the quick tests: no servers, no browser, about a minute in all (ARGS="tests/search")
	@dev/test.sh quick $(ARGS)

test-light: ## Run the main path in a clone of its own, without PyTorch, as `make run` installs it
	@dev/test.sh light $(ARGS)

test-all: ## Run every test, drills of minutes included, and those of MariaDB on three servers
	@dev/test.sh all $(ARGS)

check: ## Lint, format, types, import contracts and licences
	@dev/check.sh

format: ## Format the code and mend what the linter can
	@dev/install.sh requirements-dev.txt
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

bench: ## Measure encoder, rebuild, search, HTTP and intake as ratios to the bare libraries (ARGS="search")
	@dev/bench.sh $(ARGS)

bench-search: ## Compare our search with faiss, hnswlib, usearch and pgvector; writes docs/benchmarks.md
	@dev/bench_search.sh $(ARGS)

eval: ## Measure the classifier on the demo and write docs/evaluation.md
	@dev/install.sh requirements.txt
	@$(PYTHON) -m benchmarks.classifier $(ARGS)

eval-encoder: ## Measure the bundled encoder again and compare with its model card
	@dev/eval_encoder.sh $(ARGS)

screenshots: ## Make the pictures of the pages for the documents, on a server of their own (ARGS="map")
	@dev/screenshots.sh $(ARGS)

lock: ## Pin and hash requirements-light.in, requirements.in and requirements-dev.in again
	@dev/lock.sh

clean: ## Remove caches; data/, faiss_indexes/ and .venv stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
