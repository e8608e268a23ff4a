"""JSON from files, compared with the annotations of the dataclass that it becomes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

from tamis.core.errors import TamisError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Kind = TypeVar("Kind")
STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
"""For ``__pydantic_config__`` of a dataclass: no conversions, no unknown keys, finite numbers; holds for parts, too."""


def from_json(kind: type[Kind], data: bytes) -> Kind:
    """An object of ``kind``.

    Raises
    ------
    TamisError : no JSON, or of another shape: says where and why.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(data)  # type: ignore[arg-type] # mypy takes classes for unhashable
    except ValidationError as error:
        raise TamisError(_first_of(error)) from error


@cache
def _adapter(kind: type[Kind]) -> TypeAdapter[Kind]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part)[:80] for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
