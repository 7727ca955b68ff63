"""groundkit follow: a phrase and a video in, a mask a frame out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundkit.cli.errors import tell_error
from groundkit.cli.options import PipelineOptions, with_pipeline_options
from groundkit.cli.progress import progress
from groundkit.cli.segment import split_arguments
from groundkit.errors import ConfigError, GroundkitError

if TYPE_CHECKING:
    from groundkit.tracking.base import Tracker


@with_pipeline_options
def follow(
    chosen: PipelineOptions,
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="VIDEO... PHRASE", help="Videos or folders of numbered frames; then what to look for."),
    ],
    phrase: Annotated[
        list[str] | None,
        typer.Option("--phrase", "-p", help="What to look for; then all arguments are videos. Repeatable."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("groundkit-out"),
    tracker: Annotated[
        str,
        typer.Option(metavar="ID", help="flow (optical flow, no weights), or a SAM 2 or EdgeTAM: Hub id or folder."),
    ] = "flow",
    key_frame: Annotated[
        str, typer.Option(help="Where the phrase is grounded first: first, middle or evidence.")
    ] = "first",
    ground_every: Annotated[
        int, typer.Option(min=0, help="Ground the phrase anew every so many frames; 0 only where the track is lost.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list of records instead of file names.")
    ] = False,
) -> None:
    """Follow what a phrase names through a video.

    For example: groundkit follow clip.mp4 "the red ball" -o out
    """
    from groundkit.follow import follow_video
    from groundkit.media.inputs import resolve_inputs
    from groundkit.media.videos import read_video
    from groundkit.pipelines.refam_video import VideoPipeline, read_config

    inputs, phrases = split_arguments(arguments, phrase or [])
    config = read_config({"key_frame": key_frame, "ground_every": ground_every})
    resolved = resolve_inputs(inputs, videos=True)
    records: list[dict[str, Any]] = []
    failed = bool(resolved.failed)
    for name, error in resolved.failed:
        records.append(_refused(name, error))
    if resolved.found:
        loaded: Any = chosen.load({"evidence": True} if key_frame == "evidence" else {})
        pipeline = VideoPipeline(loaded, _tracker(tracker, loaded, chosen), config)
        for item in resolved.found:
            for wanted in phrases:
                try:
                    if item.path is None or not item.is_video:
                        raise ConfigError(f"{item.name}: not a video; groundkit segment takes pictures")
                    with progress(f"follow {item.name}", None, quiet=chosen.quiet) as advance:
                        record, files = follow_video(
                            pipeline, read_video(item.path), wanted, output, seed=chosen.seed, advance=advance
                        )
                except GroundkitError as error:
                    failed = True
                    records.append(_refused(item.name, error))
                    continue
                records.append(record)
                if not as_json:
                    for file in files:
                        typer.echo(file)
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    if failed:
        raise typer.Exit(1)


def _tracker(name: str, pipeline: Any, chosen: PipelineOptions) -> Tracker:
    if name == "flow":
        from groundkit.tracking.optical_flow import OpticalFlowTracker

        return OpticalFlowTracker(pipeline.segmenter)
    from groundkit.loading import choose_device
    from groundkit.tracking.sam2 import Sam2Tracker

    return Sam2Tracker.from_pretrained(name, device=choose_device(chosen.device), local_files_only=chosen.offline)


def _refused(name: str, error: GroundkitError) -> dict[str, Any]:
    tell_error(name, error)
    return {"input": name, "error": str(error)}
