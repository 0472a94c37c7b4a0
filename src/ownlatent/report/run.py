"""The report of one run, or of several side by side, from what the runs left on disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ownlatent.checks import read_json
from ownlatent.data import Canvases, Data, as_canvases
from ownlatent.data.patterns import still_there
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.evaluation import embed, nearest
from ownlatent.evaluation.table import read_results
from ownlatent.kinds import KINDS, Kind
from ownlatent.methods.registry import title
from ownlatent.report.map import Map, thumbnails
from ownlatent.report.mistakes import read_mistakes
from ownlatent.report.oddities import read_oddities
from ownlatent.report.page import Report, write_comparison, write_report
from ownlatent.report.pictures import Picture, draw_views, picture
from ownlatent.report.places import read_places
from ownlatent.report.results import transferred
from ownlatent.training.folder import RunFolder
from ownlatent.views import Views

_QUERIES, _NEIGHBOURS = 10, 6
_MAPPED = 1000  # images laid out; of these the map has room for about 180


def report(
    runs: str | Path | Sequence[str | Path],
    data: Data | Canvases | None = None,
    *,
    test: Data | Canvases | None = None,
    out: str | Path | None = None,
) -> Path:
    """Write one page about a finished run, or one that compares several.

    Args:
        runs: a run's folder, or several.
        data: images to show the views of and to search in, or canvases decoded before. None: those
            that the run was trained on; several runs are then compared without images.
        test: images whose neighbours are looked for and that the map shows; None: the data.
        out: the page; None: ``report.html`` in the run's folder, or ``comparison.html`` here.

    Returns:
        the path of the page.

    Raises:
        UsageError: a folder holds no finished run, or the images are not where they were.
    """
    several = [runs] if isinstance(runs, str | Path) else list(runs)
    if not several:
        raise UsageError("Give the folder of at least one run.")
    finished = [_Finished.read(Path(run)) for run in several]
    if len(finished) > 1:
        return _compare(finished, data, test, Path("comparison.html") if out is None else out)
    (run,) = finished
    content = run.report(run.path.resolve().name)
    page = run.path / "report.html" if out is None else out
    if run.kind.name != "images":  # there is nothing to see of the samples
        return write_report(page, content)
    plan = run.config["plan"]
    bank = as_canvases(run.trained_on() if data is None else data, view_size=plan["size"])
    queries = bank if test is None else as_canvases(test, view_size=plan["size"])
    if len(bank) < 2:
        raise UsageError("One image has no neighbours; give --data at least two.")
    asked = run.config["asked"]
    views = Views(plan["views"], plan["size"], reference=asked.get("reference", False))
    seed = asked["seed"]
    encoder = run.encoder.load()
    content.views = draw_views(bank, views, images=8, draws=3, seed=seed)
    content.neighbours = _neighbours(encoder, bank, queries, _QUERIES)
    content.map = _map(encoder, queries)
    rows = {name: row for row, name in enumerate(bank.names)}
    content.oddities = read_oddities(
        run.path / "diagnostics.json",
        bank.fingerprint,
        lambda name: _picture(bank, rows[name]) if name in rows else None,
    )
    return write_report(page, content)


@dataclass(frozen=True)
class _Finished:
    """The files of a run."""

    path: Path
    encoder: EncoderFolder
    config: dict[str, Any]
    log: list[dict[str, Any]]
    evaluation: dict[str, Any]
    verdict: dict[str, Any] | None

    @classmethod
    def read(cls, path: Path) -> "_Finished":
        encoder = EncoderFolder.find(path)
        if not (path / "log.jsonl").is_file():
            raise UsageError(f"{path} is not a run folder: it has no log.jsonl.")
        measured, judged = path / "evaluation.json", path / "verdict.json"
        if measured.is_file():
            read_results(measured)
        return cls(
            path=path,
            encoder=encoder,
            config=RunFolder(path).config(),
            log=RunFolder(path).log(),
            evaluation=read_json(measured) if measured.is_file() else {},
            verdict=read_json(judged) if judged.is_file() else None,
        )

    @property
    def kind(self) -> Kind:
        """Of the data."""
        return KINDS[self.encoder.config["preprocessing"].get("kind", "images")]

    def trained_on(self) -> str:
        """The images the run was trained on, if they are still where they were."""
        data: str = self.config["asked"]["data"]
        if not still_there(data):
            raise UsageError(
                f"The images of this run are not at {data} (any more); say where with --data."
            )
        return data

    def report(self, title: str) -> Report:
        """What can be told without looking at images."""
        moved = self.path / "transfer.json"
        scored = (self.evaluation.get("data", {}).get("fingerprints") or [None])[-1]
        rows = [{**row, "images": scored} for row in self.evaluation.get("results", [])]
        return Report(
            title=title,
            headline=_headline(rows, self.config, self.kind.noun),
            noun=self.kind.noun,
            facts=_facts(self.config, self.log, self.kind),
            log=self.log,
            evaluation=rows,
            mistakes=read_mistakes(self.path / "confusion.json"),
            elsewhere=transferred(read_json(moved)) if moved.is_file() else (),
            places=read_places(self.path),
            oddities=read_oddities(self.path / "diagnostics.json", None, lambda _: None),
            verdict=self.verdict,
            config=self.config,
        )


def _compare(
    runs: list[_Finished],
    data: Data | Canvases | None,
    test: Data | Canvases | None,
    out: str | Path,
) -> Path:
    reports = [run.report(name) for run, name in zip(runs, _names(runs), strict=True)]
    if data is not None and all(run.kind.name == "images" for run in runs):
        size = max(run.config["plan"]["size"] for run in runs)
        bank = as_canvases(data, view_size=size)
        queries = bank if test is None else as_canvases(test, view_size=size)
        for run, content in zip(runs, reports, strict=True):
            content.neighbours = _neighbours(run.encoder.load(), bank, queries, _QUERIES // 2)
    return write_comparison(out, reports)


def _names(runs: list[_Finished]) -> list[str]:
    """The folders' names, with as many of their parents as it takes to tell them apart."""
    parts = [run.path.resolve().parts for run in runs]
    if len(set(parts)) < len(parts):
        raise UsageError("A run is given twice; name each one once.")
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def _headline(results: list[dict[str, Any]], config: dict[str, Any], noun: str) -> str:
    method = title(config["asked"]["method"])
    probes = [r for r in results if r["protocol"] == "linear probe"]
    if not probes:
        return f"{method} ran for {config['plan']['total_steps']:,} steps without labels."
    own, *baselines = probes
    against = ", ".join(f"{r['features']} {r['accuracy']:.1%}" for r in baselines)
    return (
        f"A linear probe on what {method} learned without labels is right for "
        f"{own['accuracy']:.1%} of test {noun}" + (f" ({against})." if against else ".")
    )


def _facts(config: dict[str, Any], log: list[dict[str, Any]], kind: Kind) -> list[tuple[str, str]]:
    plan, machine = config["plan"], config["machine"]
    grown = f"{plan['start_size']} to " if plan.get("start_size") else ""
    facts = [
        (kind.noun, f"{config['data']['images']:,}"),
        ("backbone", config["asked"]["backbone"]),
        ("views", f"{plan['views']}, {grown}{plan['size']} {kind.unit}"),
        ("steps", f"{plan['total_steps']:,} of {plan['batch_size']} {kind.noun}"),
    ]
    if log:
        facts.append(("time", f"{log[-1]['seconds'] / 60:.1f} minutes"))
    threads = ""
    if machine["device"] == "cpu":
        threads = f", {machine['threads']} thread{'s' if machine['threads'] != 1 else ''}"
    facts.append(("device", f"{machine['device']}{threads}, {plan['precision']}"))
    return facts


def _spread(canvases: Canvases, count: int) -> Tensor:
    """Rows spread evenly over the data, at most ``count``."""
    return torch.linspace(0, len(canvases) - 1, min(count, len(canvases))).long()


def _label(canvases: Canvases, row: int) -> str | None:
    if canvases.labels is None or canvases.labels[row] < 0:
        return None
    number = int(canvases.labels[row])
    return canvases.classes[number] if canvases.classes else str(number)


def _picture(canvases: Canvases, row: int) -> Picture:
    return picture(canvases.batch(torch.tensor([row]), "cpu")[0][0])


def _encoded(encoder: Encoder, canvases: Canvases, rows: Tensor) -> Tensor:
    """Features ``[B, D]`` of some rows, 256 at a time."""
    with torch.inference_mode():
        batches = (canvases.batch(some, "cpu")[:2] for some in torch.split(rows, 256))
        return torch.cat([encoder(pixels, sizes) for pixels, sizes in batches])


def _map(encoder: Encoder, canvases: Canvases) -> Map | None:
    rows = _spread(canvases, _MAPPED)

    def of(describe: Callable[[Canvases, int], Any]) -> Callable[[int], Any]:
        return lambda index: describe(canvases, int(rows[index]))

    return thumbnails(_encoded(encoder, canvases, rows).numpy(), of(_picture), of(_label))


def _neighbours(
    encoder: Encoder, bank: Canvases, queries: Canvases, count: int
) -> list[dict[str, Any]]:
    """The nearest images of some queries; none where the features are not numbers."""
    rows = _spread(queries, count)
    asked, searched = _encoded(encoder, queries, rows), embed(encoder, bank)
    if not (asked.isfinite().all() and searched.isfinite().all()):
        return []
    same = bank is queries
    similarities, found = nearest(
        searched,
        asked,
        min(_NEIGHBOURS, len(bank) - same),
        bank.ids if same else None,
        queries.ids[rows] if same else None,
    )
    return [
        {
            "query": _picture(queries, int(rows[index])),
            "query_label": _label(queries, int(rows[index])),
            "neighbours": [
                {"image": _picture(bank, row), "similarity": similarity, "label": _label(bank, row)}
                for similarity, row in zip(
                    similarities[index].tolist(), found[index].tolist(), strict=True
                )
            ],
        }
        for index in range(len(rows))
    ]
