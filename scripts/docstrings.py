"""Docstrings as the site shows them: roles become code, and equations MathML.

The docstrings are written for ``help()`` first, with reStructuredText's ``:func:`` and
``.. math::``. MathML is drawn by the browser itself, so no script is fetched from anywhere.
"""

import re
from typing import Any

from griffe import Extension, Object
from latex2mathml.converter import convert

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?\.?([^`]+)`")
INLINE = re.compile(r":math:`([^`]+)`")
# the rest of the directive's line and every indented line below it
BLOCK = re.compile(r"^\.\. math::(.*(?:\n(?:[ \t]+\S.*|(?=\n[ \t]+\S)))*)", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites each docstring once it has been read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value)


def rewrite(text: str) -> str:
    """``text`` with roles as code and equations as MathML."""
    text = BLOCK.sub(lambda match: f"\n{_equation(match[1], 'block')}\n", text)
    text = INLINE.sub(lambda match: _equation(match[1], "inline"), text)
    return ROLE.sub(r"`\1`", text)


def _equation(latex: str, display: str) -> str:
    mathml = convert(" ".join(latex.split()), display=display)
    return f'<div class="equation">{mathml}</div>' if display == "block" else mathml
