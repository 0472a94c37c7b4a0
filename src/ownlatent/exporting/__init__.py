"""Encoders for other libraries: a file or folder that they load, and the same features there."""

from ownlatent.exporting.run import FORMATS, Exported, export

__all__ = ["FORMATS", "Exported", "export"]
