"""``Settings``: named values of a method or of a stage, checked once, with where each of them comes from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from groundkit.errors import ConfigError, unknown


class Given(dict[str, Any]):
    """Values by the names of settings, with where each comes from in ``origins``."""

    def __init__(self, values: Mapping[str, Any] | None = None, origin: str = "given") -> None:
        super().__init__()
        self.origins: dict[str, str] = {}
        if values is not None:
            self.add(values, getattr(values, "origins", origin))

    def add(self, values: Mapping[str, Any], origin: str | Mapping[str, str]) -> None:
        """Put values over those that are there."""
        self.update(values)
        self.origins |= {name: origin if isinstance(origin, str) else origin.get(name, "given") for name in values}


class Settings(BaseModel):
    """Named values that do not change. Each field is a setting; its description is its help.

    >>> class Smooth(Settings):
    ...     sigma: float = 1.0
    >>> Smooth.read({"sigma": "2"}).sigma
    2.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> dict[str, str]:
        """Where each setting that has not its default comes from, such as ``checkpoint``, ``file`` or ``--set``."""
        given = self.model_fields_set
        return {name: self._origins.get(name, "given") for name in type(self).model_fields if name in given}

    @classmethod
    def read(cls, given: Mapping[str, object], origins: Mapping[str, str] | None = None) -> Self:
        """Check values by name.

        Args:
            given: values by the names of settings. A text is read as a number or a truth value where the setting is
                one, as several, separated by commas, where it is a tuple, and as None if it is ``null``.
            origins: where the values come from; ``given`` for those that are not in it.

        Raises:
            ConfigError: naming the first setting that does not exist or cannot take its value.
        """
        try:
            settings = cls.model_validate({key: _value(cls, key, value) for key, value in given.items()})
        except ValidationError as error:
            raise ConfigError(_explained(cls, error)) from None
        settings._origins = dict(origins or {})
        return settings


def _explained(kind: type[BaseModel], error: ValidationError) -> str:
    """The first fault, in one line."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        inherited = {name for base in kind.__bases__ for name in getattr(base, "model_fields", ())}
        return unknown("setting", field, sorted(kind.model_fields, key=inherited.__contains__))
    reason = first["msg"].removeprefix("Value error, ")
    return f"{field}={first['input']}: {reason[0].lower()}{reason[1:]}{_hint(first)}"


def _hint(error: ErrorDetails) -> str:
    """Of a choice, the one that is most like what was written."""
    choices = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    close = difflib.get_close_matches(str(error["input"]).lower(), choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _value(kind: type[BaseModel], key: str, value: Any) -> Any:
    """A text as the setting takes it: ``null`` as None, and several (``a, b``, ``(a, b)`` or ``[a, b]``) as a list.

    ``none`` and an empty text are no values at all where the setting is a tuple.
    """
    annotation = kind.model_fields[key].annotation if key in kind.model_fields else None
    kinds = (annotation, *get_args(annotation))
    optional = type(None) in kinds
    if optional and isinstance(value, str) and value.strip().lower() == "null":
        return None
    if not any(get_origin(each) is tuple for each in kinds):
        return value
    if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null")):
        return None if optional else ()
    if not isinstance(value, str):
        return value
    return [part.strip(" \"'") for part in value.strip("()[] ").split(",") if part.strip()]
