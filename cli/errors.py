"""How commands tell of an input that failed while the others go on."""

from __future__ import annotations

import typer


def tell_error(name: str, error: object) -> None:
    """One line on standard error; errors about a picture open with its name, others know nothing of it."""
    text = str(error)
    typer.echo(f"groundkit: error: {text if text.startswith(name) else f'{name}: {text}'}", err=True)
