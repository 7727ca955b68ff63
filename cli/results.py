"""What commands say of results: what was found, how sure, and where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundkit.cli.console import put, say
from groundkit.cli.errors import for_command_line, tell_error
from groundkit.wording import count_of

if TYPE_CHECKING:
    from groundkit.run.phrases import Written


def tell(result: Written, as_json: bool, quiet: bool) -> None:
    """Print what was written at once, so that a long run can be followed and piped on."""
    if result.failed:
        result.record["error"] = for_command_line(result.record["error"])
        tell_error(result.record["input"], result.record["error"])
    elif not quiet:
        say(describe(result.record))
    if not as_json:
        for file in result.files:
            put(file)


def describe(record: Mapping[str, Any]) -> str:
    """One result in a line: ``photo.jpg: 'the red cup': found 0.57, mask 0.98``.

    The first number is the evidence that the object is in the picture at all. The second is the segmenter's own
    estimate of how good the mask is, whatever it shows.
    """
    evidence = f" {record['evidence']:.2f}" if "evidence" in record else ""
    about = f"{record['input']}: {record['phrase']!r}"
    if not record.get("scores", record.get("seen")):
        return f"{about}: nothing found{f' (evidence{evidence})' if evidence else ''}"
    if "seen" in record:
        mask = f", mask {record['mask_score']:.2f}" if "mask_score" in record else ""
        return f"{about}: found{evidence}{mask}, seen on {record['seen']} of {count_of(record['frames'], 'frame')}"
    scores = record["scores"]
    masks = f"mask {scores[0]:.2f}" if len(scores) == 1 else f"{len(scores)} masks, the best {max(scores):.2f}"
    return f"{about}: found{evidence}, {masks}"


def sum_up(results: Sequence[Written], output: Path) -> None:
    """Say in one line what became of several results, and where they are."""
    failed = sum(result.failed for result in results)
    empty = sum(result.empty for result in results)
    if len(results) > 1:
        parts = [f"{len(results) - failed - empty} found", f"{empty} empty", f"{failed} failed"]
        say(f"{count_of(len(results), 'result')}: {', '.join(parts)}; see {output}")
