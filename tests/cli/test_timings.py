"""``--timings``: a table on standard error, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest

from groundkit import clock


@pytest.mark.parametrize(
    "arguments",
    [
        ("segment", "a.png", "the red cup", "-f", "png"),
        ("batch", "a.png", "b.png", "the red cup", "-f", "png"),
    ],
)
def test_a_command_tells_its_parts_on_standard_error_alone(command: Any, arguments: tuple[str, ...]) -> None:
    answer = command(*arguments, "-q", "--timings")
    assert answer.code == 0
    assert "timings" not in answer.out
    title, head, *rows = answer.err.splitlines()
    assert title == "groundkit: timings"
    assert head.split()[:3] == ["part", "seconds", "share"]
    assert {"reading", "ours", "other", "total"} <= {row.split()[0] for row in rows}
    assert rows[-1].startswith("peak memory: ")
    assert not clock.running()


def test_the_table_is_told_of_a_command_that_fails_too(command: Any) -> None:
    answer = command("segment", "a.png", "bad", "-q", "--timings")
    assert answer.code == 1
    assert "groundkit: timings" in answer.err
    assert not clock.running()


@pytest.mark.parametrize("name", ["segment", "discover", "explain", "follow", "batch", "eval"])
def test_every_command_that_grounds_has_the_option(command: Any, name: str) -> None:
    assert "--timings" in command(name, "--help").out


def test_ray_s_actors_are_not_measured_and_the_command_says_so(command: Any) -> None:
    answer = command("batch", "a.png", "the red cup", "--engine", "ray", "--timings", "-q")
    assert answer.code == 2
    assert "--timings measures processes of this machine" in answer.err
