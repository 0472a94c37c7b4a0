"""How values are written on the page."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

DASH = "\N{EN DASH}"  # stands where there is no value


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, and a finite one."""
    return isinstance(value, numbers.Real) and math.isfinite(value)


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal, or a dash where there is none."""
    return f"{100 * fraction:.1f}" if is_number(fraction) else DASH


def figure(value: object) -> str:
    """About three digits of a number, or a dash where there is none."""
    if not is_number(value):
        return DASH
    text = f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def setting(value: Any) -> str:
    """A setting in one line."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or DASH
    return DASH if value is None else str(value)


def settings(config: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, str, str | None]]:
    """The configuration line by line: (depth, name, value), ``None`` where a group begins."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield depth, str(name), None
            yield from settings(value, depth + 1)
        else:
            yield depth, str(name), setting(value)
