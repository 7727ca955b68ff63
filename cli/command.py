"""A command that does not guess which of two values was meant."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """Refuses an option that takes one value and is given twice: otherwise the last one would win silently."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for param, times in Counter(given).items():
            single = param.param_type_name == "option" and not (param.multiple or param.is_flag)  # type: ignore[attr-defined]
            if single and times > 1:
                ctx.fail(f"{max(param.opts, key=len)} takes one value and is given {times} times")
        return super().parse_args(ctx, args)
