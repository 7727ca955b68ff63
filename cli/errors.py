"""How commands tell of an input that failed while the others go on."""

from __future__ import annotations

from groundkit.cli.console import say
from groundkit.wording import for_command_line as for_command_line


def tell_error(name: str, error: object) -> None:
    """One line on standard error; errors about a picture open with its name, others do not contain it."""
    text = for_command_line(error)
    say(f"error: {text if text.startswith(name) else f'{name}: {text}'}")
