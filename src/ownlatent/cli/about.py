"""Commands about the runs, the methods and the machine; and the demo."""

import json
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Pretrain BYOL on 20,000 CIFAR-10 (JPEG) images, measure it, and write report.html."""

    out: Path = Path("runs/demo")
    """Folder of the run; an earlier demo there is replaced."""
    seed: int = 0
    """Seed of everything random."""
    steps: int = 3200
    """Optimizer steps of 64 images."""
    reference: bool = False
    """Make the views one operation at a time, to compare."""

    def __call__(self) -> None:
        from ownlatent.demo import demo

        print(demo(**vars(self)))


@dataclass(frozen=True, kw_only=True)
class Runs:
    """List the runs below a folder: state, verdict, step, loss, best results, age and size."""

    folder: Positional[Path] = Path("runs")
    """Folder that the runs are in."""
    json: bool = False
    """Print a JSON list instead of a table: ages in seconds, sizes in bytes."""

    def __call__(self) -> None:
        from ownlatent.training.runs import listing, runs

        found = runs(self.folder)
        if self.json:
            print(json.dumps([run.as_dict() for run in found], indent=2))
        else:
            print(listing(found) if found else f"There are no runs in {self.folder} yet.")


@dataclass(frozen=True, kw_only=True)
class Methods:
    """Compare the methods: what each is made of, and what keeps it from collapsing."""

    method: Positional[str | None] = None
    """Method whose options and presets to list instead."""
    json: bool = False
    """Print JSON instead of a table: of a method every setting of every preset."""
    markdown: bool = False
    """Print tables in Markdown."""

    def __call__(self) -> None:
        from ownlatent.methods import table
        from ownlatent.methods.page import markdown, page

        if self.method:
            details = table.details(self.method)
            told = [details["options"], table.brief(details["presets"])]
            shown: object = details
        else:
            shown = table.comparison()
            told = [shown]
        if self.json:
            print(json.dumps(shown, indent=2))
        else:
            form = markdown if self.markdown else page
            print("\n\n".join(form(rows) for rows in told if rows))


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what this machine has, what would be slow on it, and what to do about that."""

    json: bool = False
    """Print JSON instead of text: sizes in bytes."""

    def __call__(self) -> None:
        from ownlatent.doctor import advice, examine, page

        facts = examine()
        if self.json:
            print(json.dumps(facts.as_dict() | {"advice": advice(facts)}, indent=2))
        else:
            print(page(facts))
