"""Our curves beside the papers'."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from benchmarks.ablations.axes import Axis
from benchmarks.ablations.results import Result, half_width, spread

COLOURS = ("#1f5fa8", "#c8501e", "#3c8c4a", "#7a4fa0", "#8c6d1f", "#5b6770", "#b0306a", "#2a9d9d",
           "#000000")  # fmt: skip


def draw(path: Path, axis: Axis, results: list[Result], base: list[float]) -> None:
    """Left what was measured here, right what is printed, where something is."""
    labels = list(dict.fromkeys(r.row.label for r in results))
    printed = any(r.row.printed is not None for r in results)
    with plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "ownlatent", "font.size": 9}):
        figure, panels = plt.subplots(
            1, 2 if printed else 1, figsize=(8.4 if printed else 5.2, 3.6), squeeze=False,
            layout="constrained",
        )  # fmt: skip
        ours = panels[0][0]
        _panel(ours, axis, results, labels, "here")
        if base and not axis.relative:
            ours.axhline(sum(base) / len(base), color="grey", lw=1, ls=":", label="untrained")
        ours.set_title("here")
        if printed:
            _panel(panels[0][1], axis, results, labels, "printed")
            panels[0][1].set_title("in print")
        what = "linear accuracy, points lost or won" if axis.relative else "linear accuracy, %"
        ours.set_ylabel(what)
        handles, names = ours.get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8
        )
        figure.suptitle(axis.title, fontsize=10)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _panel(panel, axis: Axis, results: list[Result], labels: list[str], which: str) -> None:
    deviation, freedom = spread(results)
    places = list(dict.fromkeys(r.row.x for r in results))
    step = min(0.08, 0.5 / len(labels)) if freedom or axis.points else 0.0
    for number, (label, colour) in enumerate(zip(labels, COLOURS * 2, strict=False)):
        aside = (number - (len(labels) - 1) / 2) * step  # so that intervals can be told apart
        mine = [r for r in results if r.row.label == label]
        values = [r.mean if which == "here" else r.row.printed for r in mine]
        known = [(r, v) for r, v in zip(mine, values, strict=True) if v is not None and v == v]
        if not known:
            continue
        start = known[0][1] if axis.relative else 0.0
        x = [places.index(r.row.x) + aside for r, _ in known]
        y = [v - start for _, v in known]
        error = None
        if which == "here":
            error = [half_width(deviation, freedom, len(r.linear)) for r, _ in known]
        panel.errorbar(x, y, yerr=error, color=colour, marker="o", ms=4, capsize=2,
                       lw=0 if axis.points else 1.4, elinewidth=1.2,
                       label=label)  # fmt: skip
    panel.set_xticks(range(len(places)), places, rotation=20 if len(places) > 4 else 0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", lw=0.4, alpha=0.6)
