"""Which layers of a model are meant by a setting."""

from __future__ import annotations

from collections.abc import Sequence

from groundkit.errors import ConfigError


def select_layers(names: Sequence[str], wanted: str) -> tuple[str, ...]:
    """Names of the wanted layers, in the model's order.

    ``wanted`` is ``all``, ``late`` (the later half), ``double`` or ``single`` (FLUX's two kinds of block), a range of
    indices such as ``10-18`` (both ends included), or names separated by commas.

    Raises:
        ConfigError: nothing of the kind in this model.
    """
    chosen: Sequence[str]
    first, dash, last = wanted.partition("-")
    if wanted == "all":
        chosen = names
    elif wanted == "late":
        chosen = names[len(names) // 2 :]
    elif wanted == "double":
        chosen = [name for name in names if not name.startswith("single")]
    elif wanted == "single":
        chosen = [name for name in names if name.startswith("single")]
    elif dash and first.isdigit() and last.isdigit():
        chosen = names[int(first) : int(last) + 1]
    else:
        listed = [name.strip() for name in wanted.split(",")]
        chosen = [name for name in names if name in listed] if set(listed) <= set(names) else []
    if not chosen:
        raise ConfigError(
            f"layers={wanted!r}: use all, late, double, single, a range such as 0-{len(names) - 1}, or names from "
            f"{names[0]} to {names[-1]}"
        )
    return tuple(chosen)
