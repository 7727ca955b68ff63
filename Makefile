# make demo   install, cut out an object of a sample scene and of a photograph, say where the pictures are
# make test   install with the test extra, then lint, types and tests
# make test-lowest   the tests in an environment with the lowest versions that pyproject.toml allows
PYTHON ?= python3
BIN := .venv/bin
OUT := groundkit-out

.PHONY: demo test test-lowest check types clean

demo: .venv/installed
	$(BIN)/groundkit segment samples/scene_1.png "the red cup" -o $(OUT) --offline
	$(BIN)/groundkit segment samples/photo_cup.jpg "the cup" -o $(OUT) --offline
	$(BIN)/groundkit explain samples/scene_1.png "the red cup" -o $(OUT)/explained.png --offline
	@echo "Look at the pictures in $(OUT)/; $(OUT)/explained.png shows every step."

test: .venv/installed-test check

test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest $(TESTS)

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory types
	$(BIN)/pytest

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
