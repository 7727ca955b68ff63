"""A command that does not guess which of two values was meant, and takes its pipeline from --config."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """Refuses an option that takes one value and is given twice: otherwise the last one would win silently.

    Where ``--config`` is given and ``--pipeline`` is not, the file may name the pipeline.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for param, times in Counter(given).items():
            single = param.param_type_name == "option" and not (param.multiple or param.is_flag)  # type: ignore[attr-defined]
            if single and times > 1:
                ctx.fail(f"{max(param.opts, key=len)} takes one value and is given {times} times")
        options = {option: param for param in self.params for option in param.opts}
        if values.get("config_file") and "--pipeline" in options and options["--pipeline"] not in given:
            from groundkit.cli.options import pipeline_of

            told = pipeline_of(Path(values["config_file"]))
            args = ["--pipeline", told, *args] if told else args
        return super().parse_args(ctx, args)
