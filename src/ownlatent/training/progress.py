"""A bar for what takes long before the first step."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def decoding() -> Callable[[int, int], None]:
    """A bar of the images decoded."""
    return bar("decoding")


def bar(what: str) -> Callable[[int, int], None]:
    """A bar of what takes long, for a terminal; silent elsewhere."""
    shown = Progress(
        TextColumn(what),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = shown.add_task(what, total=None)

    def report(done: int, total: int) -> None:
        shown.start()  # does nothing once started
        shown.update(task, completed=done, total=total)
        if done == total:
            shown.stop()

    return report
