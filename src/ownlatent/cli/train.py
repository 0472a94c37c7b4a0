"""Commands that train."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from ownlatent.cli.ending import end
from ownlatent.config import Pretrain

if TYPE_CHECKING:
    from ownlatent.training import Run


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a run that stopped, was killed or failed, from its newest checkpoint."""

    run: Positional[Path]
    """Run folder."""
    data: str | None = None
    """Where the images are now. [where they were]"""
    changed_data: bool = False
    """Go on although the images are not those that the run began with."""

    def __call__(self) -> None:
        from ownlatent.training import resume

        _train(lambda: resume(self.run, self.data, changed_data=self.changed_data))


def pretrain(command: Pretrain) -> None:
    from ownlatent.training import run

    _train(lambda: run(command))


def _train(make: Callable[[], "Run"]) -> None:
    """Make a run and say where its encoder is."""
    from ownlatent.training import Collapsed, Diverged, RunFailed, Stopped

    try:
        folder = make().folder
        if os.environ.get("RANK", "0") == "0":
            print(folder / "encoder")
    except (Collapsed, Diverged, RunFailed) as error:
        end(str(error), 1)
    except Stopped as stop:
        end(str(stop), 128 + stop.number)
