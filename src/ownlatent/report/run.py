"""The report of one run, from what the run left on disk."""

from pathlib import Path
from typing import Any

import torch

from ownlatent.data import Canvases, Data, decode_canvases, open_source
from ownlatent.encoder import EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.evaluation import embed, nearest
from ownlatent.evaluation.table import read_results
from ownlatent.report.page import Report, write_report
from ownlatent.report.pictures import draw_views, picture
from ownlatent.training.folder import RunFolder
from ownlatent.views import Views

_QUERIES, _NEIGHBOURS = 10, 8


def report(run: str | Path, data: Data, *, test: Data | None = None) -> Path:
    """Write ``report.html`` in a finished run's folder.

    Args:
        run: the run's folder.
        data: images to show the views of and to search in.
        test: images whose neighbours are looked for; None: among the data themselves.

    Raises:
        UsageError: the folder holds no finished run.
    """
    run = Path(run)
    folder = EncoderFolder.find(run)
    if not (run / "log.jsonl").is_file():
        raise UsageError(f"{run} is not a run folder: it has no log.jsonl.")
    config, log = RunFolder(run).config(), RunFolder(run).log()
    results = []
    if (run / "evaluation.json").is_file():
        results = read_results(run / "evaluation.json")
    plan = config["plan"]
    bank = decode_canvases(open_source(data), view_size=plan["size"])
    queries = bank if test is None else decode_canvases(open_source(test), view_size=plan["size"])
    if len(bank) < 2:
        raise UsageError("One image has no neighbours; give --data at least two.")
    views = Views(plan["views"], plan["size"], reference=config["asked"]["reference"])
    content = Report(
        title=run.name,
        headline=_headline(results, config),
        facts=_facts(config, log),
        log=log,
        evaluation=results,
        views=draw_views(bank, views, images=8, draws=3, seed=config["asked"]["seed"]),
        neighbours=_neighbours(folder.load(), bank, queries),
        config=config,
    )
    return write_report(run / "report.html", content)


def _headline(results: list[dict[str, Any]], config: dict[str, Any]) -> str:
    method = config["asked"]["method"].upper()
    probes = [r for r in results if r["protocol"] == "linear probe"]
    if not probes:
        return f"{method} ran for {config['plan']['total_steps']:,} steps without labels."
    own, *baselines = probes
    against = ", ".join(f"{r['features']} {r['accuracy']:.1%}" for r in baselines)
    return (
        f"A linear probe on what {method} learned without labels is right for "
        f"{own['accuracy']:.1%} of test images" + (f" ({against})." if against else ".")
    )


def _facts(config: dict[str, Any], log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    plan, machine = config["plan"], config["machine"]
    facts = [
        ("images", f"{config['data']['images']:,}"),
        ("backbone", config["asked"]["backbone"]),
        ("views", f"{plan['views']}, {plan['size']} pixels"),
        ("steps", f"{plan['total_steps']:,} of {plan['batch_size']} images"),
    ]
    if log:
        facts.append(("time", f"{log[-1]['seconds'] / 60:.1f} minutes"))
    threads = f", {machine['threads']} threads" if machine["device"] == "cpu" else ""
    facts.append(("device", f"{machine['device']}{threads}, {plan['precision']}"))
    return facts


def _neighbours(encoder: Any, bank: Canvases, queries: Canvases) -> list[dict[str, Any]]:
    rows = torch.linspace(0, len(queries) - 1, min(_QUERIES, len(queries))).long()
    pixels, sizes, ids = queries.batch(rows, "cpu")
    with torch.inference_mode():
        asked = encoder(pixels, sizes)
    same = bank is queries
    similarities, found = nearest(
        embed(encoder, bank),
        asked,
        min(_NEIGHBOURS, len(bank) - same),
        bank.ids if same else None,
        ids if same else None,
    )

    def label(canvases: Canvases, row: int) -> str | None:
        if canvases.labels is None or canvases.labels[row] < 0:
            return None
        number = int(canvases.labels[row])
        return canvases.classes[number] if canvases.classes else str(number)

    return [
        {
            "query": picture(pixels[index]),
            "query_label": label(queries, int(rows[index])),
            "neighbours": [
                {
                    "image": picture(bank.batch(torch.tensor([row]), "cpu")[0][0]),
                    "similarity": similarity,
                    "label": label(bank, row),
                }
                for similarity, row in zip(
                    similarities[index].tolist(), found[index].tolist(), strict=True
                )
            ],
        }
        for index in range(len(rows))
    ]
