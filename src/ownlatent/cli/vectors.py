"""Commands about an encoder's vectors: they are made once, and what asks of them is quick."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Write an encoder's vectors of every sample into a Parquet file or a Lance table.

    Stopped or killed, the same command goes on where it was.
    """

    run: Positional[str]
    """Run folder, or another encoder, as of evaluate."""
    data: Positional[str]
    """Samples of the encoder's kind."""
    out: Path
    """Store to write, .parquet or .lance: id, path, label and vector of each sample."""
    labelled: bool = False
    """Class folders are labels."""
    label: str | None = None
    """Column of a table that holds the labels. [label, class, target or y]"""
    network: Literal["online", "target", "middle"] | None = None
    """Which network. [the one the method is evaluated by]"""
    backbone: str | None = None
    """Network that a state dict is of, such as resnet50."""
    dtype: Literal["float32", "float16"] = "float32"
    """Of the vectors."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the network; bf16 is faster where the machine computes in it."""
    device: str = "cpu"
    """Where features are computed: cpu or cuda."""

    def __call__(self) -> None:
        from ownlatent.embeddings import write_embeddings

        done = write_embeddings(**vars(self))
        skipped = f", {len(done.skipped)} unreadable skipped" if done.skipped else ""
        print(f"{done.vectors:,} vectors of {done.dim}{skipped}: {done.path}")


@dataclass(frozen=True, kw_only=True)
class Search:
    """Find the samples of a store most like a query, or like one of its own."""

    store: Positional[Path]
    """What embed wrote, .parquet or .lance."""
    query: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="[QUERY ...]")] = ()
    """Image files; of an encoder of another kind sounds, sentences, or a table of rows."""
    like: tuple[str, ...] = ()
    """Instead, samples of the store, by path or id."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 20
    """How many are found for each."""
    run: str | None = None
    """The store's encoder, if it has moved."""
    network: Literal["online", "target", "middle"] | None = None
    """With --run: which network."""
    backbone: str | None = None
    """With --run: network that a state dict is of."""
    exact: bool = False
    """Compare with all vectors, although there is an index."""
    json: bool = False
    """Print JSON."""
    device: str = "cpu"
    """Where queries are embedded: cpu or cuda."""

    def __call__(self) -> None:
        from ownlatent.embeddings import open_store, search

        store = open_store(self.store)
        given = {k: v for k, v in vars(self).items() if k not in ("store", "query", "like", "json")}
        found = search(store, list(self.query) or None, like=self.like or None, **given)
        if self.json:
            shown = [{"query": one.query, "hits": [hit._asdict() for hit in one.hits]}
                     for one in found]  # fmt: skip
            print(json.dumps(shown, indent=1))
            return
        print(f"search    {store.how(self.k + bool(self.like), exact=self.exact)}")
        for one in found:
            print(f"\n{one.query}")
            _table(
                ("rank", "similarity", "label", "path"),
                (
                    (hit.rank, f"{hit.similarity:.4f}", hit.label or "", hit.path)
                    for hit in one.hits
                ),
            )


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Find groups of samples that are nearly one: copies, and files resized or saved again."""

    store: Positional[Path]
    """What embed wrote."""
    threshold: float = 0.99
    """Cosine from which two samples are doubles; copies have 1."""
    out: Path | None = None
    """List to write (.csv, .json; .txt: paths that may go, doubles of what stays)."""

    def __call__(self) -> None:
        from ownlatent.embeddings import duplicates, open_store, spare
        from ownlatent.embeddings.lists import require_list, write_list

        out = require_list(self.out) if self.out else None
        store = open_store(self.store)
        groups = duplicates(store, threshold=self.threshold, progress=_bar("comparing"))
        held = sum(len(group.rows) for group in groups)
        print(
            f"{len(groups):,} groups of {held:,} samples, {held - len(groups):,} of them to spare, "
            f"at a cosine of {self.threshold:g} or more, of {len(store):,}"
        )
        if held > len(store) / 5:
            print("That is many: this encoder finds much alike; look, and raise --threshold.")
        rows = [
            (number, store.names[row], store.labels[row], f"{similarity:.6f}")
            for number, group in enumerate(groups)
            for row, similarity in zip(*group, strict=True)
        ]
        for group in groups[:_SHOWN]:
            print()
            for row, similarity in zip(*group, strict=True):
                print(f"{similarity:.4f}  {store.names[row]}")
        if out is not None:
            if out.suffix.lower() == ".txt":
                rows = [(0, store.names[row], None, "") for group in groups
                        for row in spare(store, group, self.threshold)]  # fmt: skip
            write_list(out, ("group", "path", "label", "similarity"), rows)
            print(f"\n{out}")
        elif len(groups) > _SHOWN:
            print(f"\n... and {len(groups) - _SHOWN:,} more groups; --out list.csv has them all.")


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """Find the samples least like all others."""

    store: Positional[Path]
    """What embed wrote."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 20
    """How many are shown, and written."""
    neighbours: int = 10
    """The score is 1 minus the mean cosine to this many nearest others."""
    out: Path | None = None
    """List to write: .csv, .json, or .txt of paths alone."""

    def __call__(self) -> None:
        from ownlatent.checks import require_within
        from ownlatent.embeddings import open_store, outliers
        from ownlatent.embeddings.lists import require_list, write_list

        out = require_list(self.out) if self.out else None
        require_within("n", self.n, 1, 10**9)
        store = open_store(self.store)
        found = outliers(store, k=self.neighbours, progress=_bar("comparing"))
        rows = [
            (f"{score:.6f}", store.names[row], store.labels[row])
            for row, score in zip(found.rows[: self.n], found.score, strict=False)
        ]
        _table(("score", "path"), ((f"{float(score):.4f}", path) for score, path, _ in rows))
        if out is not None:
            write_list(out, ("score", "path", "label"), rows)
            print(out)


@dataclass(frozen=True, kw_only=True)
class Select:
    """Choose a few samples that stand for all: which to label first."""

    store: Positional[Path]
    """What embed wrote."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 50
    """How many."""
    how: Literal["typical", "farthest"] = "typical"
    """The middle of each of n clusters, or each the farthest from those before: rare ones too."""
    seed: int = 0
    """Of the clusters' first centres."""
    out: Path | None = None
    """List to write: .csv with an empty column "label" to fill in, for classify; .json; or .txt of
    paths alone."""

    def __call__(self) -> None:
        from ownlatent.embeddings import open_store, select
        from ownlatent.embeddings.lists import require_list, write_list

        out = require_list(self.out) if self.out else None
        store = open_store(self.store)
        names = [store.names[row] for row in select(store, self.n, how=self.how, seed=self.seed)]
        if out is None:
            print("\n".join(names))
            return
        write_list(out, ("path", "label"), [(name, "") for name in names])
        print(f"{len(names):,} of {len(store):,} samples: {out}")
        if out.suffix.lower() == ".csv":
            print(f"Fill in its column label, then: ownlatent classify {self.store} --labels {out}")


@dataclass(frozen=True, kw_only=True)
class Classify:
    """From a few labels to a label for every sample, with the accuracy to expect."""

    store: Positional[Path]
    """What embed wrote."""
    labels: Path
    """A .csv with columns path and label, such as select writes; empty labels do not count."""
    out: Path = Path("predictions.csv")
    """List to write: path, label (where given), predicted, confidence."""
    seed: int = 0
    """Of the folds that accuracy is measured by."""

    def __call__(self) -> None:
        from ownlatent.embeddings import classify, open_store
        from ownlatent.embeddings.lists import require_list, write_list

        out = require_list(self.out)
        store = open_store(self.store)
        made = classify(store, self.labels, seed=self.seed)
        labelled = int((made.given >= 0).sum())
        print(f"fitted      {labelled:,} labels of {len(made.classes)} classes")
        if made.held_out is None:
            print("held out    too few labels to measure accuracy: give two or more of each class")
        else:
            low, high = made.held_out.interval
            print(
                f"held out    {made.held_out.accuracy:.1%} right (95 % interval {low:.1%} to "
                f"{high:.1%}), by cross-validation; samples unlike those labelled may be harder"
            )
        rows = (
            (name, made.classes[given] if given >= 0 else "", made.classes[guess], f"{sure:.4f}")
            for name, given, guess, sure in zip(
                store.names, made.given, made.predicted, made.confidence, strict=True
            )
        )
        write_list(out, ("path", "label", "predicted", "confidence"), rows)
        print(f"predicted   {len(store):,} samples: {out}")


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Sort samples that belong together into a folder each."""

    store: Positional[Path]
    """What embed wrote."""
    out: Path
    """Folder to make: a folder of links for each cluster, and clusters.csv."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 20
    """How many clusters."""
    copy: bool = False
    """Copies of the files instead of links."""
    seed: int = 0
    """Of the clusters' first centres."""

    def __call__(self) -> None:
        from ownlatent.embeddings import clusters, open_store, write_clusters
        from ownlatent.embeddings.clusters import require_empty

        require_empty(self.out)
        store = open_store(self.store)
        found = clusters(store, self.k, seed=self.seed, progress=_bar("clustering"))
        placed = write_clusters(store, found, self.out, copy=self.copy)
        sizes = ", ".join(f"{size:,}" for size in found.sizes[:_SHOWN])
        more = ", ..." if len(found.sizes) > _SHOWN else ""
        print(f"{self.k:,} clusters of {sizes}{more} samples")
        what = "copies" if self.copy else "links"
        print(f"{self.out}: clusters.csv and {placed:,} {what} of {len(store):,} samples")
        if not placed:
            root = store.origin.get("root")
            print(f"No sample is a file below {root}." if root else "The samples are no files.")


_SHOWN = 10


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print columns, numbers to the right."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    right = {"rank", "similarity", "score"}
    for line in lines:
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(line, widths, head, strict=True)
        )
        print("  ".join(cells).rstrip())


def _bar(what: str) -> Any:
    from ownlatent.training.progress import bar

    return bar(what)
