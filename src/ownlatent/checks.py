"""What a person gave, held against what it may be."""

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ownlatent.errors import UsageError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UsageError: it cannot be read, or is damaged.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, "it holds no object")
    return content


def with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples they were."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def damaged(path: Path, why: str) -> UsageError:
    """What is said of a file that somebody or something has changed."""
    return UsageError(f"{path} is damaged ({why.rstrip('.')}); restore it.")


Bounds = Mapping[str, tuple[float, float]]
"""By name of an option: the least and the most it may be."""

SEED = (0, 2**63 - 1)
_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


def require_within(name: str, value: float | None, least: float, most: float) -> None:
    """Raises UsageError where a number that was given lies outside its bounds, or is none."""
    if value is not None and not least <= value <= most:
        if value > most or math.isnan(value):
            raise UsageError(f"{name} must lie between {least:,} and {most:,}; got {value}.")
        raise UsageError(f"{name} must be at least {least}; got {value}.")


def require_options(options: Any, bounds: Bounds) -> None:
    """Raises UsageError for the first field of a dataclass that is not of its type, or is a number
    outside its bounds."""
    hints = get_type_hints(type(options))
    for field in fields(options):
        value, hint = getattr(options, field.name), hints[field.name]
        allowed = get_args(hint) if get_origin(hint) in (types.UnionType, Union) else (hint,)
        if value is None and type(None) in allowed:
            continue
        kind = next(each for each in allowed if each is not type(None))
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                known = ", ".join(map(str, get_args(kind)))
                raise UsageError(f"{field.name} must be one of {known}; got {value!r}.")
        elif not _is_a(value, kind):
            wanted = _KINDS.get(kind, "a path" if kind is Path else "numbers")
            raise UsageError(f"{field.name} must be {wanted}; got {value!r}.")
        elif kind in (int, float):
            require_within(field.name, value, *bounds[field.name])


def _is_a(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, tuple | list) and all(
            _is_a(each, get_args(kind)[0]) for each in value
        )
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if kind is Path:
        return isinstance(value, str | Path) and "\0" not in str(value)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float if kind is float else kind)
