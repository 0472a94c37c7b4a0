"""A method's options: the keyword arguments of its constructor, held to their types."""

import inspect
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import nn

from ownlatent.checks import Bounds, require_within
from ownlatent.errors import UsageError

BOUNDS: dict[str, tuple[float, float]] = {
    "tau": (0, 1),
    "center_momentum": (0, 1),
    "temperature": (1e-3, 1e3),
    "alpha": (1e-3, 1e3),
    "epsilon": (1e-3, 1e3),
    "teacher_start": (1e-3, 1e3),
    "teacher_end": (1e-3, 1e3),
    "hidden": (0, 2**14),
    "dim": (2, 2**14),
    "bottleneck": (2, 2**14),
    "layers": (1, 8),
    "prototypes": (2, 2**20),
    "queue": (0, 2**20),
    "memory": (0, 2**20),
    "iterations": (1, 1000),
    "alternate": (1, 10**9),
}
"""The least and the most of options by name; of others, by type."""
_BY_TYPE: dict[type, tuple[float, float]] = {int: (0, 2**20), float: (0, 1e6)}


def defaults(method: type[nn.Module]) -> dict[str, Any]:
    """The options that can be set from outside, and what they are by default."""
    hints, options = types_of(method), {}
    for p in inspect.signature(method).parameters.values():
        if p.kind is not p.KEYWORD_ONLY or _is_network(hints[p.name]):
            continue
        if p.default is p.empty:
            raise UsageError(f"The option {p.name} of {method.__name__} needs a default: give one.")
        options[p.name] = p.default
    return options


def types_of(method: type[nn.Module]) -> dict[str, Any]:
    """What the constructor's parameters may be; the type of the default where none is written."""
    hints = get_type_hints(method.__init__)
    parameters = inspect.signature(method).parameters.values()
    return {p.name: hints.get(p.name, type(p.default)) for p in parameters}


def parse(settings: Iterable[str]) -> dict[str, str]:
    """``name=value`` texts as a table.

    Raises:
        UsageError: one has no ``=``, or a name comes twice.
    """
    table: dict[str, str] = {}
    if isinstance(settings, str):
        settings = [settings]
    for setting in settings:
        if not isinstance(setting, str):
            raise UsageError(f"A setting is a text name=value; got {setting!r}.")
        name, equals, value = setting.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"A setting is written name=value; got {setting!r}.")
        if name in table:
            raise UsageError(f"{name} is set twice; set it once.")
        table[name] = value.strip()
    return table


def settle(name: str, method: type[nn.Module], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the constructor takes them; texts become what the constructor's types say.

    Args:
        name: of the method, for what is said.
        given: by name; values are texts, or of their type already.

    Raises:
        UsageError: there is no such option, or the value is not one it takes.
    """
    hints, known = types_of(method), defaults(method)
    bounds = BOUNDS | dict(getattr(method, "bounds", {}))
    settled = {}
    for option, value in given.items():
        if option not in known:
            have = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{name} has no option {option!r}; {have}.")
        settled[option] = _value(option, value, hints[option], bounds)
    return settled


def _value(option: str, value: Any, hint: Any, bounds: Bounds) -> Any:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for kind in kinds:
        if get_origin(kind) is Literal:
            choices = {str(choice): choice for choice in get_args(kind)}
            if str(value) in choices:
                return choices[str(value)]
            if len(kinds) > 1:
                continue
            raise UsageError(f"{option} must be one of {', '.join(choices)}; got {value!r}.")
        try:
            converted = _convert(value, kind)
        except (ValueError, TypeError, OverflowError):
            continue
        if kind in _BY_TYPE:
            require_within(option, converted, *bounds.get(option, _BY_TYPE[kind]))
        return converted
    wanted = {int: "a whole number", float: "a number", bool: "true or false"}
    raise UsageError(f"{option} must be {wanted.get(kinds[0], 'a text')}; got {value!r}.")


def _convert(value: Any, kind: Any) -> Any:
    if kind is bool:
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower())
        if not isinstance(value, bool):
            raise TypeError
        return value
    if kind is types.NoneType:
        if str(value).lower() != "none":
            raise ValueError
        return None
    if isinstance(value, bool):
        raise TypeError
    if kind is float:
        return float(value)
    if kind is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(value)
    if not isinstance(value, str):
        raise TypeError
    return value


def _is_network(hint: Any) -> bool:
    kinds = get_args(hint) or (hint,)
    return any(isinstance(kind, type) and issubclass(kind, nn.Module) for kind in kinds)
