"""Who is offered a real model, when, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from groundkit.weights.catalog import REAL_READER, REAL_SEGMENTER

SEGMENT = ("segment", "a.png", "the cup", "-o", "out")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes standard input and error terminals, at which an answer is typed; returns what is downloaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    downloaded: list[str] = []

    def type_in(answer: str) -> list[str]:
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        monkeypatch.setattr("typer.confirm", lambda question, err: downloaded.append(question) or answer == "y")
        monkeypatch.setattr("groundkit.cli.download.download", downloaded.append)
        return downloaded

    return type_in


def test_yes_downloads_a_reader_and_a_segmenter_and_the_run_uses_them(
    command: Any, pipeline: Any, terminal: Callable[[str], list[str]]
) -> None:
    downloaded = terminal("y")
    assert command(*SEGMENT).code == 0
    question, *sources = downloaded
    assert question == "nano is a demo model for drawn scenes; download smolvlm, 1.4 GB?"
    assert sources == [REAL_READER, REAL_SEGMENTER]
    assert (pipeline.loaded_with["pipeline"], pipeline.loaded_with["model"]) == ("vlsam", REAL_READER)


def test_no_is_remembered_and_the_run_goes_on_with_nano(
    command: Any, pipeline: Any, terminal: Callable[[str], list[str]]
) -> None:
    downloaded = terminal("n")
    for _ in range(2):
        assert command(*SEGMENT).code == 0
    assert len(downloaded) == 1
    assert pipeline.loaded_with["model"] == "nano"


@pytest.mark.parametrize("options", [("--model", "nano"), ("--quiet",), ("--offline",)])
def test_nobody_is_asked_who_has_chosen_or_wants_no_words_or_no_network(
    command: Any, pipeline: Any, terminal: Callable[[str], list[str]], options: tuple[str, ...]
) -> None:
    downloaded = terminal("y")
    assert command(*SEGMENT, *options).code == 0
    assert downloaded == []


def test_nobody_is_asked_in_a_pipe(
    command: Any,
    pipeline: Any,
    terminal: Callable[[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    downloaded = terminal("y")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert command(*SEGMENT).code == 0
    assert downloaded == []
