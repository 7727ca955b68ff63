"""What a user's editor shows of the public interface is typed: no Any where it is called or read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

import groundkit
from groundkit.attention.grids import TokenGrid
from groundkit.language.tokens import Token
from groundkit.masks.evidence import Evidence
from groundkit.pipelines.base import CallOptions, Pipeline
from groundkit.pipelines.decaf import DecAF
from groundkit.pipelines.ensemble import Ensemble
from groundkit.pipelines.refam import RefAM
from groundkit.pipelines.vlsam import VLSAM
from groundkit.settings import Setting, Settings

CALLED = ("__init__", "__call__", "__getitem__", "__len__")
REACHED = (Pipeline, RefAM, VLSAM, DecAF, Ensemble, Settings, Setting, Evidence, Token, TokenGrid, CallOptions)


def annotations() -> Iterator[tuple[str, str]]:
    """Every annotation of a public function, method or field, by its place."""
    public = [getattr(groundkit, name) for name in groundkit.__all__]
    for each in [*public, *REACHED]:
        members = vars(each).items() if inspect.isclass(each) else [(each.__name__, each)]
        if inspect.isclass(each):
            for field, kind in inspect.get_annotations(each).items():
                if not field.startswith("_"):
                    yield f"{each.__name__}.{field}", str(kind)
        for name, member in members:
            if name == "model_post_init" or (
                name.startswith("_") and name not in ("__init__", "__call__", "__getitem__", "__len__")
            ):
                continue
            found = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(found):
                for argument, kind in inspect.get_annotations(inspect.unwrap(found)).items():
                    yield f"{each.__name__}.{name}({argument})", str(kind)


@pytest.mark.parametrize(("place", "kind"), dict(annotations()).items())
def test_no_any_at_the_front_door(place: str, kind: str) -> None:
    assert not re.search(r"\bAny\b", kind), f"{place}: {kind}"
