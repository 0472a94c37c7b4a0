"""LeJEPA as a method of ownlatent."""

from ownlatent_lejepa.method import LeJEPA

__all__ = ["LeJEPA"]
