"""Which arguments are inputs and which is the phrase."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

import typer

from groundkit.language.several import split_phrases


def split_arguments(
    arguments: Sequence[str], phrases: Sequence[str], *, command: str, example: str = "photo.jpg"
) -> tuple[list[str], list[str]]:
    """Tell inputs from the phrase: without ``-p`` the phrase is the last argument.

    Args:
        arguments: as they were given.
        phrases: those of ``-p``.
        command: its name, for messages.
        example: of an input that it takes, for messages.

    Raises:
        BadParameter: no phrase or no input, or words that are parts of a phrase without quotation marks.
    """
    inputs = [*arguments]
    if not phrases:
        if len(inputs) < 2:
            raise typer.BadParameter(f'give an input and a phrase: groundkit {command} {example} "the red cup"')
        last = inputs.pop()
        if last and _exists(last):
            raise typer.BadParameter(
                f"the phrase comes last, but {last} is a file; with -p PHRASE all arguments are inputs"
            )
        wanted = [last]
    else:
        wanted = list(phrases)
    stray = _stray_words(inputs, trailing=not phrases)
    if stray:
        files = [each for each in inputs if each not in stray]
        missing = " and ".join(repr(each) for each in stray)
        call = ["groundkit", command, *(shlex.quote(each) for each in files)]
        if any(" " in each for each in stray):
            several = " ".join(f'-p "{each}"' for each in [*stray, *wanted])
            raise typer.BadParameter(f"no file named {missing}; several phrases: {' '.join(call)} {several}")
        whole = " ".join([*stray, *wanted]) if not phrases else " ".join([wanted[-1], *stray])
        call += ["-p"] if phrases else []
        raise typer.BadParameter(f'no file named {missing}; quote the phrase: {" ".join(call)} "{whole}"')
    return inputs, split_phrases(wanted)


def refuse_words(inputs: Sequence[str], *, command: str) -> None:
    """For a command that takes no phrase. Raises BadParameter where words come after inputs."""
    if stray := _stray_words(inputs, trailing=True):
        missing = " and ".join(map(repr, stray))
        raise typer.BadParameter(f"no file named {missing}; groundkit {command} takes no phrase; use groundkit segment")


def _stray_words(inputs: Sequence[str], *, trailing: bool) -> list[str]:
    """Arguments that are words and no files, where there are inputs beside them.

    Args:
        trailing: only those at the end, after the first.
    """
    if not trailing:
        words = [each for each in inputs if _is_word(each)]
        return words if len(words) < len(inputs) else []
    last = next((place for place in reversed(range(len(inputs))) if not _is_part(inputs[place])), 0)
    rest = [*inputs[last + 1 :]]
    return rest if any(_is_word(each) for each in rest) else []


def _is_word(argument: str) -> bool:
    """Part of a phrase that begins with a letter."""
    return argument[:1].isalpha() and _is_part(argument)


def _is_part(argument: str) -> bool:
    """No file, and nothing that would be a file's name: no suffix, no folder, no pattern, no option."""
    plain = re.fullmatch(r"[\w&][\w '’.,;:!&+-]*", argument) and not re.search(r"\.\w{2,5}$", argument)
    return bool(plain) and not _exists(argument)


def _exists(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))  # noqa: PTH110, PTH111 - a Path raises where a phrase is too long
