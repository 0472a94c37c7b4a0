"""Trackers: what a run logs, in the tools that people compare runs with."""

from ownlatent.tracking.trackers import TRACKERS, Trackers, require, send_results

__all__ = ["TRACKERS", "Trackers", "require", "send_results"]
