# make demo   install, cut out an object of a sample scene and of a photograph, say where the pictures are
# make check  install with the test extra, then lint, types and the quick tests: under a minute once it is installed
# make test   lint, types and all tests
# make cover  which lines the quick tests run
# make test-lowest   the tests in an environment with the lowest versions that pyproject.toml allows
PYTHON ?= python3
BIN := .venv/bin
OUT := groundkit-out

.PHONY: demo check test cover test-lowest lint types clean

demo: .venv/installed
	$(BIN)/groundkit segment samples/scene_1.png "the red cup" -o $(OUT) --offline
	$(BIN)/groundkit segment samples/photo_cup.jpg "the cup" -o $(OUT) --offline
	$(BIN)/groundkit explain samples/scene_1.png "the red cup" -o $(OUT)/explained.png --offline
	@echo "Look at the pictures in $(OUT)/; $(OUT)/explained.png shows every step."

# One process per core, each with one thread of torch.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --dist loadfile
QUICK := not slow and not browser and not ray

check: .venv/installed-test lint types
	$(PYTEST) -m "$(QUICK)"

test: .venv/installed-test lint types
	$(PYTEST)

cover: .venv/installed-test
	$(PYTEST) -m "$(QUICK)" --cov

test-lowest: .venv-lowest/installed
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n logical --dist loadfile $(TESTS)

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types:
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	@echo "Installing into .venv: about 6.5 GB on Linux, which takes some minutes."
	$(BIN)/pip install -q -e .
	@touch $@

.venv/installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q -e ".[test]"
	@touch $@ .venv/installed

.venv-lowest/installed: pyproject.toml
	test -d .venv-lowest || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install -q uv
	.venv-lowest/bin/uv pip compile -q --resolution lowest-direct --extra test pyproject.toml -o .venv-lowest/lowest.txt
	.venv-lowest/bin/uv pip install -q --python .venv-lowest/bin/python -r .venv-lowest/lowest.txt
	.venv-lowest/bin/uv pip install -q --python .venv-lowest/bin/python --no-deps -e .
	@touch $@

clean:
	rm -rf .venv .venv-lowest $(OUT) build *.egg-info
