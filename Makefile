# What people and CI run. `make demo` and `make test` need Python 3.11+ and nothing else.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check bench compare-small clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

setup:  ## make .venv with everything pinned (under a second when it is there)
	@scripts/setup

demo: setup  ## start a server, fill a bank, ask it questions, delete, ask again
	@.venv/bin/python -m demo.run

test: setup  ## lint, types and the quick tests: all that CI runs
	@scripts/setup-postgres
	@scripts/check

test-all: setup  ## every test, the slow ones and those for a GPU too
	@scripts/setup-postgres
	@.venv/bin/python -m pytest

check: setup  ## as `test`, without looking for PostgreSQL
	@scripts/check

bench: setup  ## the target table on this machine; PASSAGES=… QUESTIONS=… [VERB=recall|answer]: quality; PROSE=…: scaling
	@test -z "$(PASSAGES)$(QUESTIONS)" || test -n "$(PASSAGES)" -a -n "$(QUESTIONS)" || \
		{ echo "usage: make bench [PROSE=FILE | PASSAGES=FILE QUESTIONS=FILE [VERB=answer]] [ARGS=…]" >&2; exit 2; }
	@if test -n "$(PROSE)"; then .venv/bin/python -m benchmarks.scaling --prose "$(PROSE)" $(ARGS); \
	elif test -z "$(PASSAGES)"; then .venv/bin/python -m benchmarks.targets $(ARGS); else \
		.venv/bin/memsvc bench $(or $(VERB),recall) \
		--passages "$(PASSAGES)" --questions "$(QUESTIONS)" $(ARGS) --json; fi

compare-small: setup  ## all paths on a small set of the repository's own; figures in benchmarks/results
	@rm -rf benchmarks/out/compare-small && mkdir -p benchmarks/out benchmarks/results/compare-small
	@OMP_NUM_THREADS=2 .venv/bin/memsvc bench run --passages demo/corpus/factbook.jsonl \
		--questions benchmarks/small/questions.jsonl \
		--paths msa,rag,hybrid,bm25,iterative-rag,full-context,files \
		--out benchmarks/out/compare-small | tee benchmarks/out/compare-small.txt
	@mv benchmarks/out/compare-small/results.json benchmarks/results/compare-small/
	@mv benchmarks/out/compare-small.txt benchmarks/results/compare-small/table.txt
	@.venv/bin/memsvc report benchmarks/results/compare-small/results.json

clean:  ## remove what these targets made, the environment and the demo's bank included
	rm -rf .venv .demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
