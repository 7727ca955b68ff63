"""The command line: a file per command, put together here.

Exit codes: 0 all went well, 1 something failed, 2 wrong usage, 130 interrupted (143 by SIGTERM, 129 by SIGHUP), 141
where nobody reads our output any more (``groundkit settings | head``), as tools that SIGPIPE ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, TextIO

import typer

from groundkit.cli import models
from groundkit.cli.batch import batch
from groundkit.cli.command import Command
from groundkit.cli.console import accept_any_text, say
from groundkit.cli.discover import discover
from groundkit.cli.errors import for_command_line
from groundkit.cli.eval import evaluate
from groundkit.cli.explain import explain
from groundkit.cli.export import export
from groundkit.cli.follow import follow
from groundkit.cli.segment import segment
from groundkit.cli.serve import serve
from groundkit.cli.settings import settings
from groundkit.cli.signals import interrupted_by_signals
from groundkit.errors import GroundkitError, explain_opencv

CLOSED_PIPE = 128 + 13  # what a shell tells of a process that SIGPIPE ended

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


app.command("segment", cls=Command)(segment)
app.command("batch", cls=Command)(batch)
app.command("discover", cls=Command)(discover)
app.command("follow", cls=Command)(follow)
app.command("export", cls=Command)(export)
app.command("explain", cls=Command)(explain)
app.command("eval", cls=Command)(evaluate)
app.command("serve", cls=Command)(serve)
app.add_typer(models.app, name="models")
app.command("settings", cls=Command)(settings)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. An expected error is one line on standard error."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    accept_any_text()
    with interrupted_by_signals() as interruption:
        try:
            with warnings.catch_warnings():
                if not debug:
                    warnings.showwarning = _print_warning
                    warnings.simplefilter("default", UserWarning)  # told once, and never an error
                app(arguments, prog_name="groundkit")
            sys.stdout.flush()
        except BrokenPipeError:
            return _flushed(CLOSED_PIPE)
        except SystemExit as stop:
            if isinstance(stop.__context__, BrokenPipeError):  # click and rich exit with 1 there
                return _flushed(CLOSED_PIPE)
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            return _flushed(interruption.exit_code if code == 130 else code)
        except (GroundkitError, ImportError) as error:
            known = error if isinstance(error, GroundkitError) else explain_opencv(error)
            if known is None:
                raise
            if debug:
                traceback.print_exc()
            say(f"error: {for_command_line(known)}")
            return _flushed(known.exit_code)
        except KeyboardInterrupt:
            return interruption.exit_code
    return 0


def _flushed(code: int) -> int:
    """``code``, or that of a closed pipe where all went well but the reader of our output has gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at exit and would complain.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or CLOSED_PIPE
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
        say(f"warning: {for_command_line(message)}")


if __name__ == "__main__":
    main()
