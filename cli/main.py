"""The command line: ``segment``, ``batch``, ``discover``, ``follow``, ``explain``, ``eval``, ``models``, ``settings``.

Exit codes: 0 all went well, 1 something failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, TextIO

import typer

from groundkit.cli.batch import batch
from groundkit.cli.discover import discover
from groundkit.cli.eval import evaluate
from groundkit.cli.explain import explain
from groundkit.cli.follow import follow
from groundkit.cli.models import models
from groundkit.cli.segment import segment
from groundkit.cli.settings import settings
from groundkit.errors import GroundkitError

app = typer.Typer(
    name="groundkit",
    help="A phrase and a picture go in, a mask comes out, with no training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: it starts faster, and brackets in it are text
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"groundkit {version('groundkit-vision')}")
        raise typer.Exit


@app.callback()
def groundkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A phrase and a picture go in, a mask comes out, with no training."""


app.command("segment")(segment)
app.command("batch")(batch)
app.command("discover")(discover)
app.command("follow")(follow)
app.command("explain")(explain)
app.command("eval")(evaluate)
app.command("models")(models)
app.command("settings")(settings)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. An expected error is one line on standard error."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    # A path may hold bytes that are no text; printing it must give those bytes back.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.showwarning = _print_warning
                warnings.simplefilter("default", UserWarning)  # told once, and never an error
            app(arguments, prog_name="groundkit")
        sys.stdout.flush()
    except SystemExit as stop:
        return _flushed(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
    except GroundkitError as error:
        if debug:
            traceback.print_exc()
        print(f"groundkit: error: {error}", file=sys.stderr)
        return _flushed(error.exit_code)
    except KeyboardInterrupt:
        return 130
    return 0


def _flushed(code: int) -> int:
    """``code``, or 1 when the reader of our output has gone (``groundkit models | head -1``)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at exit and would complain.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def main() -> None:
    """The ``groundkit`` command. Taking a million objects of torch apart at the end would cost another second."""
    code = _flushed(run())
    sys.stderr.flush()
    os._exit(code)


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings in one line; what libraries tell their developers is for ``--debug``."""
    if category is UserWarning:
        print(f"groundkit: warning: {message}", file=sys.stderr)
