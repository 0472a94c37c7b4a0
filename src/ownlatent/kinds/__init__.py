"""Kinds of data: images, vectors, sounds and text."""

from typing import Any

from ownlatent.kinds.audio import Audio
from ownlatent.kinds.images import Images
from ownlatent.kinds.kind import Kind, Looks, Samples
from ownlatent.kinds.text import Text
from ownlatent.kinds.vectors import Vectors

__all__ = ["KINDS", "Kind", "Looks", "Samples", "kind_of"]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Images(), Vectors(), Audio(), Text())}


def kind_of(data: Any) -> Kind:
    """The kind of samples, or of what a person calls data."""
    from ownlatent.data.sounds import is_sound
    from ownlatent.data.table import is_table
    from ownlatent.data.texts import is_text

    known = getattr(data, "kind", None)
    if isinstance(known, str) and known in KINDS:
        return KINDS[known]
    if is_sound(data):
        return KINDS["audio"]
    if is_text(data):  # first: a table may be of texts
        return KINDS["text"]
    return KINDS["vectors" if is_table(data) else "images"]
