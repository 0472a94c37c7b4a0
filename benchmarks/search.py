"""Stores of vectors: memory while they are written, and how fast and how well they are searched.

    python benchmarks/search.py [--rows 200000] [--only synthetic|real]

Synthetic: rows of a table, in 500 clusters of unequal spread on a 24-dimensional subspace with a
little noise around it, through an ``mlp-large`` after one step (512 features):
``write_embeddings`` as anybody calls it, in a process of its own whose memory is read at each part.
Real: the 50,000 CIFAR-10 (JPEG) training images where ``--images`` has them, else the
20,000 packaged, through a BYOL encoder of a run (``--run``) or else an untrained ``small-resnet``.

Queries are fresh rows, or images that are not in the store. recall@10 is against cosines in float64
of the vectors before they were rounded to what the store keeps. Latencies are medians, one query at
a time, with the store open and the encoder's time left out; one thread of torch.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import torch
from kept import RESULTS

import ownlatent as ol
from ownlatent.demo import TEST, TRAIN
from ownlatent.embeddings import open_store, write_embeddings
from ownlatent.embeddings.lance import lancedb, open_table, reading
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing
from ownlatent.training.provenance import processor

K, QUERIES = 10, 200
FORMS = ("parquet", "lance")
DTYPES = ("float32", "float16")


def rows(count: int, seed: int) -> np.ndarray:
    """float32 ``[N, 64]`` in clusters."""
    shape, draw = np.random.default_rng(0), np.random.default_rng(seed)
    basis = shape.normal(size=(24, 64)) / 24**0.5
    middle, spread = shape.normal(size=(500, 24)), shape.uniform(0.2, 0.8, size=(500, 1))
    of = draw.integers(0, 500, count)
    inside = middle[of] + spread[of] * draw.normal(size=(count, 24))
    return (inside @ basis + 0.05 * draw.normal(size=(count, 64))).astype(np.float32)


def memory() -> float:
    """Resident now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def write(run: str, data: str, out: str, dtype: str, told: Any) -> None:
    """In a process of its own: rows done, seconds and MiB, at each part and at the end."""
    torch.set_num_threads(1)
    began, seen = time.perf_counter(), []

    def note(done: int, count: int) -> None:
        seen.append([done, round(time.perf_counter() - began, 1), round(memory())])

    write_embeddings(run, data, out=out, dtype=dtype, progress=note)
    # Not getrusage's, which begins at what the process had that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    told.put({"seen": seen, "seconds": time.perf_counter() - began, "peak": round(peak)})


def written(run: Path, data: Path, out: Path, dtype: str) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    job = context.Process(target=write, args=(str(run), str(data), str(out), dtype, told))
    job.start()
    made = told.get(timeout=3000)
    job.join()
    seen = made["seen"]
    quarter = [memory for done, _, memory in seen if done >= seen[-1][0] / 4]
    return {
        "seconds": round(made["seconds"], 1),
        "joining and index, seconds": round(made["seconds"] - seen[-1][1], 1),
        "MiB at the first part": seen[0][2], "MiB at a quarter": quarter[0],
        "MiB at the last part": seen[-1][2], "MiB at most between": max(quarter),
        "MiB at most, index and all": made["peak"],
        "MiB on disk": round(size(out) / 2**20),
    }  # fmt: skip


def size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def timed(ask: Callable[[np.ndarray], np.ndarray], queries: np.ndarray) -> tuple[float, list[Any]]:
    """Median milliseconds of a query, and what each found."""
    ask(queries[0])
    took, found = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(ask(query))
        took.append(1e3 * (time.perf_counter() - began))
    return round(statistics.median(took), 2), found


def recall(found: list[Any], truth: np.ndarray) -> float:
    shared = [len(set(a[:K]) & set(b)) for a, b in zip(found, truth.tolist(), strict=True)]
    return round(sum(shared) / (K * len(truth)), 4)


def truth(whole: Path, queries: np.ndarray) -> np.ndarray:
    """The ten nearest by cosine, in float64: a computation apart from the library's."""
    import pyarrow.parquet as pq

    scores = []
    asked = queries.astype(np.float64) / np.linalg.norm(queries, axis=1, keepdims=True)
    with pq.ParquetFile(whole) as file:
        for batch in file.iter_batches(8192, columns=["vector"]):
            bank = batch.column(0).flatten().to_numpy().reshape(len(batch), -1).astype(np.float64)
            scores.append(asked @ bank.T / np.linalg.norm(bank, axis=1))
    return np.argsort(-np.concatenate(scores, 1), axis=1)[:, :K]


def searched(place: Path, queries: np.ndarray, best: np.ndarray) -> dict[str, Any]:
    """Every way to find the nearest in a Lance store, and in a Parquet file."""
    told: dict[str, Any] = {}
    began = time.perf_counter()
    store = open_store(place)
    told["open, seconds"] = round(time.perf_counter() - began, 2)
    told["how"] = store.how()
    if store._ask is not None:
        said, found = timed(lambda q: store.near(q[None], K).rows[0], queries)
        told["index"] = {"ms": said, "recall": recall(found, best)}
    began = time.perf_counter()
    store.vectors()
    told["read all vectors, seconds"] = round(time.perf_counter() - began, 2)
    said, found = timed(lambda q: store.near(q[None], K, exact=True).rows[0], queries)
    told["exact"] = {"ms": said, "recall": recall(found, best)}
    return told


def asking(place: Path, **options: int) -> Callable[[np.ndarray], list[int]]:
    """LanceDB's own search of a table, with options."""
    table = open_table(place)
    batches = reading(table, ["id"], own=True)
    ids = np.concatenate([batch.column("_rowid").to_numpy() for batch in batches])
    order = {int(own): row for row, own in enumerate(ids)}

    def ask(query: np.ndarray) -> list[int]:
        asked = table.search(query, vector_column_name="vector").distance_type("cosine")
        for name, value in options.items():
            asked = getattr(asked, name)(value)
        got = asked.limit(K).select(["_distance"]).with_row_id(True).to_arrow()
        return [order[int(each)] for each in got["_rowid"].to_numpy()]

    return ask


def indices(
    place: Path, bare: Path, queries: np.ndarray, best: np.ndarray, built: float
) -> dict[str, Any]:
    """LanceDB's kinds of index side by side, of which one was chosen.

    Args:
        place: a store, with the index that was chosen if it is large.
        bare: its copy without one.
        built: seconds that joining and the index of ``place`` took.
    """
    from lancedb.index import HnswSq, IvfPq

    told: dict[str, Any] = {}
    said, found = timed(asking(bare), queries[:20])
    told["none, from the disk"] = {"ms": said, "recall": recall(found, best[:20])}
    for name, kind in (("IVF-HNSW-SQ", HnswSq), ("IVF-PQ", IvfPq)):
        where, seconds, before = place, built, size(bare)
        if kind is IvfPq or not open_table(place).list_indices():
            where, began = bare, time.perf_counter()
            before = size(bare)
            open_table(bare).create_index(
                "vector", config=kind(distance_type="cosine"), replace=True
            )
            seconds = round(time.perf_counter() - began, 1)
        told[name] = {"seconds": seconds, "MiB": round((size(where) - before) / 2**20)}
        for options in ({"nprobes": 20}, {"nprobes": 20, "refine_factor": 5}):
            said, found = timed(asking(where, **options), queries)
            words = " ".join(f"{key}={value}" for key, value in options.items())
            told[name][words] = {"ms": said, "recall": recall(found, best)}
    return told


def measured(run: Path, data: Path, queries: np.ndarray, folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = {"queries": len(queries)}
    best = None
    for dtype in DTYPES:
        for form in FORMS:
            out = folder / f"{dtype}.{form}"
            made = written(run, data, out, dtype)
            if best is None:
                best = truth(out, queries)
            told[f"{form} {dtype}"] = {"written": made} | searched(out, queries, best)
            print(f"{form} {dtype}: {json.dumps(told[f'{form} {dtype}'])}", flush=True)
    store = open_store(folder / "float32.lance")
    told |= {"rows": len(store), "dim": store.dim}
    bare = folder / "bare.lance"
    lancedb().connect(folder).create_table(
        "bare", pa.RecordBatchReader.from_batches(
            open_table(store.path).schema, store._batches(["id", "path", "label", "vector"])
        )
    )  # fmt: skip
    built = told["lance float32"]["written"]["joining and index, seconds"]
    told["indices"] = indices(store.path, bare, queries, best, built)
    print(json.dumps(told["indices"]), flush=True)
    return told


def synthetic(folder: Path, count: int) -> dict[str, Any]:
    np.save(folder / "rows.npy", rows(count, 1))
    ol.pretrain(
        folder / "rows.npy", out=folder / "run", backbone="mlp-large", steps=1, batch_size=256
    )
    encoder = ol.load_encoder(folder / "run")
    with torch.inference_mode():
        queries = encoder(rows(QUERIES, 2)).numpy()
    return measured(folder / "run", folder / "rows.npy", queries, folder)


def real(folder: Path, run: Path | None, images: Path | None) -> dict[str, Any]:
    if run is None:
        torch.manual_seed(0)
        net, _ = backbone("small-resnet", 3, 32)
        settings = Preprocessing(3, 32, 1.0, (0.5,) * 3, (0.25,) * 3)
        run = folder / "untrained"
        EncoderFolder.write(run / "encoder", {"online": Encoder(net, "small-resnet", settings)})
    from ownlatent.data import as_canvases
    from ownlatent.evaluation.features import embed
    from ownlatent.evaluation.subjects import find_subjects

    ((title, encoder),) = find_subjects(
        run, network=None, backbone=None, baselines=False, seed=0, device="cpu"
    ).nets
    canvases = as_canvases(TEST, view_size=32)
    queries = embed(encoder, canvases).numpy()[:: len(canvases) // QUERIES][:QUERIES]
    told = measured(run, Path(images or TRAIN), queries, folder)
    return told | {"encoder": title, "images": "CIFAR-10 (JPEG)"}


def page(told: dict[str, Any]) -> str:
    lines = [
        "# Stores and search", "",
        "`python benchmarks/search.py`; what each figure is: its docstring. Latency: median ms of "
        f"one query among {QUERIES}, k = {K}, torch on one thread.",
        f"Machine: {told['machine']}. LanceDB {told['lancedb']}.",
    ]  # fmt: skip
    for name in ("synthetic", "real"):
        if name not in told:
            continue
        part = told[name]
        what = f", {part['images']}, {part['encoder']}" if name == "real" else ""
        lines += [
            "",
            f"## {name.capitalize()}: {part['rows']:,} vectors of {part['dim']}{what}",
            "",
        ]
        lines += [
            "| store | MiB: first part | a quarter | last part | most, joining and index too | "
            "written, s | of that joining and index, s | on disk, MiB |", "|" + "---|" * 8,
        ]  # fmt: skip
        stores = [(f"{form} {dtype}") for dtype in DTYPES for form in FORMS]
        for store in stores:
            made = part[store]["written"]
            lines.append(
                f"| {store} | {made['MiB at the first part']} | {made['MiB at a quarter']} | "
                f"{made['MiB at the last part']} | {made['MiB at most, index and all']} | "
                f"{made['seconds']:.0f} | {made['joining and index, seconds']:.0f} | "
                f"{made['MiB on disk']} |"
            )
        lines += [
            "", "| store | as chosen | open, s | index: ms | recall@10 | exact: ms | recall@10 | "
            "exact, reading all once, s |", "|" + "---|" * 8,
        ]  # fmt: skip
        for store in stores:
            one = part[store]
            held = one.get("index", {"ms": "-", "recall": "-"})
            lines.append(
                f"| {store} | {one['how'].split(',')[0]} | {one['open, seconds']} | {held['ms']} | "
                f"{held['recall']} | {one['exact']['ms']} | {one['exact']['recall']} | "
                f"{one['read all vectors, seconds']} |"
            )
        lines += ["", "| LanceDB's index, float32 | options | ms | recall@10 | built in, s | MiB |",
                  "|" + "---|" * 6]  # fmt: skip
        for kind, one in part["indices"].items():
            if "ms" in one:
                lines.append(f"| {kind} | - | {one['ms']} | {one['recall']} | - | - |")
                continue
            for options, each in one.items():
                if isinstance(each, dict):
                    lines.append(
                        f"| {kind} | {options} | {each['ms']} | {each['recall']} | "
                        f"{one['seconds']} | {one['MiB']} |"
                    )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--only", choices=("synthetic", "real"))
    parser.add_argument("--run", type=Path, help="a BYOL run of small images")
    parser.add_argument("--images", type=Path, help="more images than those packaged")
    given = parser.parse_args()
    torch.set_num_threads(1)
    record = RESULTS / "search.json"
    told = json.loads(record.read_text()) if record.is_file() else {}
    machine = f"{len(os.sched_getaffinity(0))} cores ({processor()})"
    told |= {"machine": machine, "lancedb": lancedb().__version__}
    for name in ("synthetic", "real"):
        if given.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                told[name] = (
                    synthetic(place, given.rows) if name == "synthetic"
                    else real(place, given.run, given.images)
                )  # fmt: skip
            record.write_text(json.dumps(told, indent=1) + "\n")
            (RESULTS / "search.md").write_text(page(told))


if __name__ == "__main__":
    main()
