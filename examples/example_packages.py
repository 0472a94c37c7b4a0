"""The packages of this folder without installing them, as a notebook would use their classes."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path

from ownlatent.methods import METHODS, Method


def classes() -> dict[str, type[Method]]:
    """The method classes by the names that their packages' entry points give them."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*/pyproject.toml")):
        if str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))
        points = tomllib.loads(file.read_text())["project"]["entry-points"]["ownlatent.methods"]
        for name, point in points.items():
            module, _, kind = point.partition(":")
            found[name] = getattr(import_module(module), kind)
    return found


def register() -> None:
    """Make them trainable by name in this process."""
    METHODS.update(classes())
