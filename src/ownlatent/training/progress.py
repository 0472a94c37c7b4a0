"""A bar for what takes long before the first step."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def decoding() -> Callable[[int, int], None]:
    """A bar of the images decoded, for a terminal; silent elsewhere."""
    bar = Progress(
        TextColumn("decoding"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = bar.add_task("decoding", total=None)

    def report(done: int, total: int) -> None:
        bar.start()  # does nothing once started
        bar.update(task, completed=done, total=total)
        if done == total:
            bar.stop()

    return report
