"""Which methods there are: ours, each with its rows in the recipe table, and other packages'.

A package offers a method by an entry point in the group ``ownlatent.methods`` that names its
class; the class carries its recipes as ``presets``. See docs/add-a-method.md.
"""

import difflib
from importlib import import_module
from importlib.metadata import entry_points

from ownlatent.errors import UsageError
from ownlatent.methods.method import Method
from ownlatent.methods.presets import PRESETS, Preset

GROUP = "ownlatent.methods"


def _ours(name: str) -> type[Method]:
    """The method class that a file of this room defines."""
    module = import_module(f"ownlatent.methods.{name.replace('-', '_')}")
    classes = (each for each in vars(module).values() if isinstance(each, type))
    return next(
        each for each in classes if issubclass(each, Method) and each.__module__ == module.__name__
    )


METHODS: dict[str, type[Method]] = {name: _ours(name) for name in PRESETS}
"""By name; what is put in here can be trained by that name."""


def names() -> list[str]:
    """All methods that can be asked for: ours and the installed packages'."""
    return [*METHODS, *sorted({e.name for e in entry_points(group=GROUP)} - set(METHODS))]


def find(name: str) -> type[Method]:
    """The method called ``name``.

    Raises:
        UsageError: there is none (with the nearest name), or a package's cannot be used.
    """
    if name in METHODS:
        return METHODS[name]
    for entry in entry_points(group=GROUP, name=name):
        try:
            method = entry.load()
        except Exception as error:  # another package's code fails in its own ways
            why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise UsageError(
                f"The method {name!r} of {entry.value} cannot load ({why}): mend or uninstall it."
            ) from error
        if not (isinstance(method, type) and issubclass(method, Method)):
            raise UsageError(
                f"The method {name!r} of {entry.value} is not a subclass of "
                "ownlatent.methods.Method: make it one."
            )
        return METHODS.setdefault(name, method)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names())}."
    raise UsageError(f"No method is called {name!r}; {hint}")


def title(name: str) -> str:
    """What a method is called in print; its name in capitals where that is not known."""
    try:
        return find(name).about.title or name.upper()
    except UsageError:  # its package is not here
        return name.upper()


def presets(method: str) -> dict[str, Preset]:
    """The recipes of a method; the first one is taken where none is asked for.

    Raises:
        UsageError: there is no such method.
    """
    return dict(PRESETS[method] if method in PRESETS else find(method).presets)


def preset(method: str, name: str | None = None) -> Preset:
    """The preset of a method.

    Raises:
        UsageError: there is no such method or preset.
    """
    known = presets(method)
    name = next(iter(known), "") if name is None else name
    if name not in known:
        raise UsageError(f"{method} has no preset {name!r}; choose one of {', '.join(known)}.")
    return known[name]
