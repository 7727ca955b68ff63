# make demo   install, cut out an object of a sample scene and of a photograph, say where the pictures are
# make test   install with the test extra, then lint, types and tests
PYTHON ?= python3
BIN := .venv/bin
OUT := groundkit-out

.PHONY: demo test check types clean

demo: .venv/installed
	$(BIN)/groundkit segment samples/scene_1.png "the red cup" -o $(OUT) --offline
	$(BIN)/groundkit segment samples/photo_cup.jpg "the cup" -o $(OUT) --offline
	$(BIN)/groundkit explain samples/scene_1.png "the red cup" -o $(OUT)/explained.png --offline
	@echo "Look at the pictures in $(OUT)/; $(OUT)/explained.png shows every step."

test: .venv/installed-test check

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory types
	$(BIN)/pytest

# cli/, pipelines/ and weights/ are subpackages by package-dir, which mypy cannot follow: it reads a tree of links.
types:
	rm -rf build/types && mkdir -p build/types/groundkit
	ln -s $(CURDIR)/groundkit/* $(foreach room,cli pipelines weights,$(CURDIR)/$(room)) build/types/groundkit/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q -e .
	@touch $@

.venv/installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q -e ".[test]"
	@touch $@ .venv/installed

clean:
	rm -rf .venv $(OUT) build *.egg-info
