"""The command line: each command calls the function that Python users call.

A command is a dataclass of its options; called, it runs. Nothing heavy is imported before that, so
``--help`` answers at once.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from ownlatent.cli.about import Demo, Doctor, Methods, Runs
from ownlatent.cli.completion import Completion
from ownlatent.cli.ending import end
from ownlatent.cli.explore import Explore
from ownlatent.cli.export import Export
from ownlatent.cli.look import Attention, Report, Views
from ownlatent.cli.measure import Diagnose, Evaluate, Transfer
from ownlatent.cli.train import Resume, pretrain
from ownlatent.cli.vectors import (
    Classify,
    Clusters,
    Duplicates,
    Embed,
    Outliers,
    Search,
    Select,
)
from ownlatent.config import Pretrain
from ownlatent.errors import UsageError

Command = (
    Annotated[Pretrain, tyro.conf.subcommand("pretrain")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Transfer, tyro.conf.subcommand("transfer")]
    | Annotated[Diagnose, tyro.conf.subcommand("diagnose")]
    | Annotated[Embed, tyro.conf.subcommand("embed")]
    | Annotated[Search, tyro.conf.subcommand("search")]
    | Annotated[Duplicates, tyro.conf.subcommand("duplicates")]
    | Annotated[Outliers, tyro.conf.subcommand("outliers")]
    | Annotated[Select, tyro.conf.subcommand("select")]
    | Annotated[Classify, tyro.conf.subcommand("classify")]
    | Annotated[Clusters, tyro.conf.subcommand("clusters")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Explore, tyro.conf.subcommand("explore")]
    | Annotated[Views, tyro.conf.subcommand("views")]
    | Annotated[Attention, tyro.conf.subcommand("attention")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Runs, tyro.conf.subcommand("runs")]
    | Annotated[Methods, tyro.conf.subcommand("methods")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Completion, tyro.conf.subcommand("completion")]
)
OPTIONS: Any = {
    "prog": "ownlatent",
    "description": "Bootstrap your own latent, from your own images.",
    "config": (tyro.conf.OmitArgPrefixes,),
}
"""How tyro makes a command line of it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit code 2 for a mistake to mend, 1 for a run that failed."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("ownlatent").setLevel(logging.INFO)
    try:
        command = tyro.cli(Command, args=arguments, **OPTIONS)
        if isinstance(command, Pretrain):
            pretrain(command)
        else:
            command()
    except UsageError as error:
        end(str(error), 2)
    except KeyboardInterrupt:
        end("Stopped.", 130)
    except BrokenPipeError:  # whoever read along has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:  # what lies outside: a full disk, a file without permission
        end(f"{error.filename or 'Failed'}: {error.strerror or error}; mend that first.", 1)
