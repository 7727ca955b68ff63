"""Settings of a method, checked by name and value."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from groundkit.errors import ConfigError

Config = TypeVar("Config", bound=BaseModel)


def validate(kind: type[Config], settings: Mapping[str, object]) -> Config:
    """Make a configuration; texts are read as numbers and truth values where the field is one.

    Raises:
        ConfigError: naming the first field that does not exist or cannot take its value.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"no setting named {field!r}: use one of {', '.join(kind.model_fields)}") from None
        raise ConfigError(f"{field}={first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
