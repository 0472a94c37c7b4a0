"""Kinds of data: images, vectors and sounds."""

from typing import Any

from ownlatent.kinds.audio import Audio
from ownlatent.kinds.images import Images
from ownlatent.kinds.kind import Kind, Looks, Samples
from ownlatent.kinds.vectors import Vectors

__all__ = ["KINDS", "Kind", "Looks", "Samples", "kind_of"]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Images(), Vectors(), Audio())}


def kind_of(data: Any) -> Kind:
    """The kind of samples, or of what a person calls data."""
    from ownlatent.data.sounds import is_sound
    from ownlatent.data.table import is_table

    known = getattr(data, "kind", None)
    if isinstance(known, str) and known in KINDS:
        return KINDS[known]
    if is_sound(data):
        return KINDS["audio"]
    return KINDS["vectors" if is_table(data) else "images"]
