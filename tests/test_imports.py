"""Imports run one way: rooms build on those named before them, and no module needs itself, however far round."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A room imports from its own line and from the lines above it.
ORDER = """
errors
batches clock exclusive kept memory wording progress plugins settings shown version
language media weights
attention
models
segmenters
stages
masks
prompting
tracking
results
pipelines loading loaded
outputs
explain
report
run
evaluation
service
groundkit tracing video
cli __main__
"""
RANKS = {room: rank for rank, line in enumerate(ORDER.split("\n")) for room in line.split()}
# Methods of results and of maps that save or draw them: each is one line and imports what it calls when it is called.
DELEGATIONS = {("results", "outputs"), ("attention", "outputs"), ("attention", "explain")}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; the training is no part of it."""
    files = [
        Path(folder) / name
        for folder, _, names in os.walk(ROOT / "groundkit", followlinks=True)
        for name in names
        if name.endswith(".py") and "training" not in Path(folder).parts
    ]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports, wherever it does, but for those of its annotations alone."""
    waiting: list[ast.AST] = [ast.parse(file.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in known else node.module
        waiting += ast.iter_child_nodes(node)


def room(module: str) -> str:
    """``groundkit.media.images`` is in ``media``, the package's own file in ``groundkit``."""
    return [*module.split("."), "groundkit"][1]


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {module: set(imports(file, known)) for module, file in known.items()}


def test_every_room_has_its_place_in_the_order(graph: dict[str, set[str]]) -> None:
    assert {room(module) for module in graph} <= set(RANKS)
    assert "cli" in {room(module) for module in graph}


def test_no_import_runs_against_the_order(graph: dict[str, set[str]]) -> None:
    upward = {
        (module, other)
        for module, others in graph.items()
        for other in others
        if RANKS[room(other)] > RANKS[room(module)] and (room(module), room(other)) not in DELEGATIONS
    }
    assert sorted(upward) == []


def test_no_module_imports_itself_by_way_of_others(graph: dict[str, set[str]]) -> None:
    own = {
        module: {other for other in others if (room(module), room(other)) not in DELEGATIONS}
        for module, others in graph.items()
    }
    TopologicalSorter(own).prepare()  # raises CycleError, which names the circle
