"""Doubles, oddities, a selection, clusters and a classifier: each against what was planted."""

import csv
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.embeddings import (
    classify,
    clusters,
    duplicates,
    neighbours,
    outliers,
    select,
    spare,
    write_clusters,
)
from ownlatent.embeddings.kmeans import kmeans
from ownlatent.embeddings.lists import read_labels, write_list
from ownlatent.embeddings.store import unit


def _at(cosine: float, of: np.ndarray, seed: int) -> np.ndarray:
    """A vector that has this cosine to ``of``."""
    other = np.random.default_rng(seed).normal(size=of.shape)
    other -= other @ of / (of @ of) * of
    return cosine * of / np.linalg.norm(of) + (1 - cosine**2) ** 0.5 * other / np.linalg.norm(other)


@pytest.mark.parametrize("sizes", [(1024, 8192), (64, 256)])
def test_planted_doubles_are_found_and_none_else(make, monkeypatch, sizes) -> None:
    module = import_module("ownlatent.embeddings.duplicates")
    monkeypatch.setattr(module, "_ROWS", sizes[0])
    monkeypatch.setattr(module, "_COLUMNS", sizes[1])
    vectors = np.random.default_rng(0).normal(size=(900, 64)).astype(np.float32)
    vectors[700] = 3 * vectors[5]  # a copy, of another length
    vectors[850] = _at(0.992, vectors[20], 1)
    vectors[21] = _at(0.988, vectors[300], 2)  # near, and yet below
    vectors[400] = _at(0.993, vectors[30], 3)
    vectors[899] = _at(0.993, vectors[400], 4)  # a chain: no double of 30 itself
    vectors[600:640] = vectors[3]  # more copies than anybody has neighbours
    groups = duplicates(make(vectors))
    assert [group.rows for group in groups] == [
        [3, *range(600, 640)], [30, 400, 899], [5, 700], [20, 850]
    ]  # fmt: skip
    assert groups[1].similarity == pytest.approx([1, 0.993, unit(vectors)[899] @ unit(vectors)[30]])
    assert groups[2].similarity == pytest.approx([1, 1])
    store = make(vectors)  # what may go is a double of what stays
    assert [spare(store, group) for group in groups] == [
        list(range(600, 640)), [400], [700], [850]
    ]  # fmt: skip
    exact = duplicates(make(vectors), threshold=1)
    assert [group.rows for group in exact] == [[3, *range(600, 640)], [5, 700]]
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(ol.UsageError, match="threshold"):
            duplicates(make(vectors), threshold=wrong)


def test_groups_that_meet_late_are_one(make, monkeypatch) -> None:
    """Pairs 10-500 and 20-600 are found before 500-600 joins them."""
    monkeypatch.setattr(import_module("ownlatent.embeddings.duplicates"), "_ROWS", 64)
    vectors = np.random.default_rng(0).normal(size=(700, 64)).astype(np.float32)
    vectors[500] = _at(0.995, vectors[10], 1)
    vectors[600] = _at(0.995, vectors[500], 2)
    vectors[20] = _at(0.995, vectors[600], 3)
    (group,) = duplicates(make(vectors))
    assert group.rows == [10, 20, 500, 600]


def test_all_alike_is_one_group(make) -> None:
    (group,) = duplicates(make(np.ones((3000, 4), np.float32)))
    assert group.rows == list(range(3000))


def test_neighbours_leave_a_sample_out(make, clustered) -> None:
    vectors = clustered(300, 8, 4)
    vectors[50:80] = vectors[0]  # copies hide a sample from its own nearest
    near = neighbours(make(vectors), 5)
    whole = unit(vectors) @ unit(vectors).T
    np.fill_diagonal(whole, -2)
    assert not (near.rows == np.arange(300)[:, None]).any()
    np.testing.assert_allclose(near.similarity, -np.sort(-whole)[:, :5], atol=1e-5)
    for k in (0, 300):
        with pytest.raises(ol.UsageError, match="from 1 to 299"):
            neighbours(make(vectors), k)


def test_planted_outliers_come_first(make, clustered) -> None:
    vectors = clustered(400, 16, 4, spread=0.2)
    odd = [7, 130, 131, 390]
    vectors[odd] = 4 * np.random.default_rng(5).normal(size=(4, 16))
    vectors[131] = vectors[130]  # two copies of one oddity do not hide each other
    found = outliers(make(vectors))
    assert set(found.rows[:4].tolist()) == set(odd)
    assert sorted(found.rows.tolist()) == list(range(400))
    whole = unit(vectors).astype(np.float64) @ unit(vectors).astype(np.float64).T
    np.fill_diagonal(whole, -2)
    expected = 1 - (-np.sort(-whole)[:, :10]).mean(1)
    np.testing.assert_allclose(found.score, expected[found.rows], atol=1e-5)
    assert (np.diff(found.score) <= 0).all()


@pytest.mark.parametrize("how", ["typical", "farthest"])
def test_a_selection_covers_every_cluster(make, clustered, how: str) -> None:
    sizes = [300, 150, 60, 20, 8, 3]
    of = np.repeat(np.arange(6), sizes)
    middle = np.random.default_rng(3).normal(size=(6, 32))
    noise = 0.1 * np.random.default_rng(4).normal(size=(len(of), 32))
    store = make((middle[of] + noise).astype(np.float32))
    chosen = select(store, 6, how=how)
    assert sorted(of[chosen].tolist()) == [0, 1, 2, 3, 4, 5]
    random = np.random.default_rng(0).choice(len(of), 6, replace=False)
    assert len(set(of[random].tolist())) < 6  # which chance does not
    assert np.array_equal(chosen, select(store, 6, how=how))
    if how == "typical":
        assert of[chosen].tolist() == [0, 1, 2, 3, 4, 5]  # the largest first
        whole = unit(store.vectors()[of == 1].mean(0, keepdims=True))
        assert (store.vectors() @ whole[0])[chosen[1]] == pytest.approx(
            (store.vectors() @ whole[0])[of == 1].max(), abs=1e-6
        )
    for n in (1, len(of)):
        assert len(set(select(store, n, how=how).tolist())) == n
    for n in (0, len(of) + 1):
        with pytest.raises(ol.UsageError):
            select(store, n)


def test_a_selection_among_copies(make) -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    for how in ("typical", "farthest"):
        chosen = select(make(vectors), 7, how=how)
        assert len(set(chosen.tolist())) == 7 and len(set((chosen // 10).tolist())) == 3


def test_farthest_is_gonzalez(make, clustered) -> None:
    """Each chosen sample is the one whose nearest chosen one is farthest."""
    store = make(clustered(200, 6, 10))
    chosen, cosines = select(store, 12, how="farthest"), store.vectors() @ store.vectors().T
    for step in range(1, 12):
        nearest = cosines[:, chosen[:step]].max(1)
        nearest[chosen[:step]] = np.inf
        assert nearest[chosen[step]] == pytest.approx(nearest.min(), abs=1e-6)


def test_kmeans_is_as_good_as_scikit_learns(clustered) -> None:
    vectors = unit(clustered(1500, 24, 12, spread=0.8))
    best = min(
        float(((vectors - found.centres[found.of]) ** 2).sum())
        for found in (kmeans(vectors, 12, seed=seed) for seed in range(5))
    )
    theirs = KMeans(12, n_init=5, random_state=0).fit(vectors).inertia_
    # Its centres are means, which are nearer than those of unit length; put on the sphere:
    sums = np.stack([vectors[np.arange(1500) % 12 == c].sum(0) for c in range(12)])
    planted = float(((vectors - unit(sums)[np.arange(1500) % 12]) ** 2).sum())
    assert theirs < best < planted * 1.02
    found = kmeans(vectors, 12)
    np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1, atol=1e-5)
    assert np.array_equal(found.of, (vectors @ found.centres.T).argmax(1))
    for one, other in zip(found, kmeans(vectors, 12), strict=True):
        assert np.array_equal(one, other)


def test_clusters_become_folders(make, clustered, tmp_path: Path) -> None:
    of = np.repeat([0, 1, 2], [20, 50, 30])
    middle = np.random.default_rng(0).normal(size=(3, 8))
    vectors = middle[of] + 0.05 * np.random.default_rng(1).normal(size=(100, 8))
    names = [f"{'ab'[row % 2]}/{row:03}.png" for row in range(100)]
    for row, name in enumerate(names[:90]):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(str(row))
    names[99] = "../../secret.png"
    names[98] = Path("..", "root", "a", "000.png").as_posix()  # would be placed beside the folder
    names[97] = str(tmp_path / "root/a/000.png")
    (tmp_path / "secret.png").write_text("s")
    store = make(vectors.astype(np.float32), names, root=str(tmp_path / "root"))
    found = clusters(store, 3)
    assert found.sizes == [50, 30, 20]
    assert len({(a, b) for a, b in zip(of.tolist(), found.of.tolist(), strict=True)}) == 3
    for copy in (False, True):
        out = tmp_path / f"out{copy}"
        assert write_clusters(store, found, out, copy=copy) == 90
        files = [file for file in out.rglob("*.png")]
        assert {f.relative_to(out).as_posix() for f in files} == {
            f"{found.of[row]}/{names[row]}" for row in range(90)
        }
        assert all(f.is_symlink() != copy for f in files)
        assert all(int(f.read_text()) == int(f.stem) for f in files)
        with (out / "clusters.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 100 and rows[0]["cluster"] == "0"
        assert {row["path"]: int(row["cluster"]) for row in rows} == dict(
            zip(names, found.of.tolist(), strict=True)
        )
        with pytest.raises(ol.UsageError, match="holds something"):
            write_clusters(store, found, out)
    for k in (0, 101):
        with pytest.raises(ol.UsageError):
            clusters(store, k)


@pytest.mark.parametrize("dim", [20, 100])  # fewer and more than there are labels
def test_a_classifier_from_few_labels(make, clustered, dim: int) -> None:
    vectors = clustered(600, dim, 3, spread=0.1 * dim)
    truth = np.arange(600) % 3
    store = make(vectors)
    shown = np.random.default_rng(1).permutation(600)[:60]
    made = classify(store, {store.names[row]: "abc"[truth[row]] for row in shown})
    assert made.classes == ["a", "b", "c"]
    rest = np.setdiff1d(np.arange(600), shown)
    accuracy = (made.predicted[rest] == truth[rest]).mean()
    assert made.held_out is not None and made.held_out.n_test == 60
    low, high = made.held_out.interval
    assert low < accuracy < high  # what was told is what came
    # scikit-learn's minimum at the same strength, on the same standardised vectors
    x = StandardScaler().fit_transform(store.vectors().astype(np.float64))
    probe = LogisticRegression(C=1 / (60 * made.strength), tol=1e-8, max_iter=2000)
    expected = probe.fit(x[shown], truth[shown]).predict_proba(x)
    np.testing.assert_allclose(made.confidence, expected.max(1), atol=5e-3)
    assert (made.predicted == expected.argmax(1)).mean() > 0.995
    assert np.array_equal(np.flatnonzero(made.given >= 0), np.sort(shown))


def test_what_accuracy_is_told_of_labels_that_mean_nothing(make, clustered) -> None:
    store = make(clustered(400, 200, 1))  # more dimensions than labels: all can be fitted
    made = classify(store, {store.names[row]: "ab"[row % 2] for row in range(100)})
    assert made.held_out is not None and 0.3 < made.held_out.accuracy < 0.7


def test_too_few_labels_for_an_accuracy(make, clustered) -> None:
    store = make(clustered(90, 8, 3))
    made = classify(store, {store.names[row]: "abc"[row] for row in range(3)})
    assert made.held_out is None
    assert (made.predicted == np.arange(90) % 3).mean() > 0.9


def test_labels_that_cannot_be(make, clustered, tmp_path: Path) -> None:
    csv.field_size_limit(131_072)  # Python's own; some libraries raise it for all
    store = make(clustered(30, 4, 2))
    first, second = store.names[:2]
    for text, says in (
        (f"path,label\n{first},a\n{second},a\n", "at least two classes, but every label is 'a'"),
        (f"path,label\nnowhere.png,a\n{first},b\n", "1 of 2 paths are not in"),
        (f"path,label\n{first},\n{second}, \n", "No label is filled in"),
        (f"path,label\n{first},a\n{first},b\n", "both 'a' and 'b'"),
        (f"file,class\n{first},a\n", "columns called path and label"),
        ("", "columns called path and label"),
        ("path,label\n" + "x" * 200_000 + ",a\n", "is no table"),
    ):
        (tmp_path / "labels.csv").write_text(text)
        with pytest.raises(ol.UsageError, match=says):
            classify(store, tmp_path / "labels.csv")
    with pytest.raises(ol.UsageError, match="cannot be read"):
        classify(store, tmp_path / "gone.csv")
    spread = f"\ufeffpath;label\r\n{first};a\r\n{second};b\r\n"  # as a spreadsheet saves it
    (tmp_path / "labels.csv").write_text(spread)
    assert classify(store, tmp_path / "labels.csv").classes == ["a", "b"]


def test_no_spreadsheet_takes_a_name_for_a_formula(tmp_path: Path) -> None:
    names = ["=1+1.png", "+a.png", "@b.png", "-c.png", "d.png", "-0.5", "'e.png"]
    out = tmp_path / "list.csv"
    write_list(out, ("path", "label"), [(name, "=x") for name in names])
    with out.open(newline="") as file:
        cells = [row["path"] for row in csv.DictReader(file)]
    assert cells == ["'=1+1.png", "'+a.png", "'@b.png", "'-c.png", "d.png", "-0.5", "'e.png"]
    assert read_labels(out) == dict.fromkeys(names, "=x")


def test_from_the_command_line(make, clustered, tmp_path: Path, capsys) -> None:
    vectors = clustered(90, 8, 3, spread=0.2)
    vectors[80] = vectors[2]
    place = str(make(vectors, labels=["x"] * 90).path)
    out = {form: str(tmp_path / f"list{form}") for form in (".csv", ".txt", ".json")}
    main(["duplicates", place, "--threshold", "0.9999", "--out", out[".csv"]])
    assert "1 groups of 2 samples, 1 of them to spare" in capsys.readouterr().out
    assert Path(out[".csv"]).read_text().splitlines() == [
        "group,path,label,similarity", "0,00002.png,x,1.000000", "0,00080.png,x,1.000000"
    ]  # fmt: skip
    main(["duplicates", place, "--threshold", "0.9999", "--out", out[".txt"]])
    assert Path(out[".txt"]).read_text() == "00080.png\n"
    main(["outliers", place, "-n", "4", "--out", out[".json"]])
    listed = json.loads(Path(out[".json"]).read_text())
    assert len(listed) == 4 and set(listed[0]) == {"score", "path", "label"}
    labels, done = tmp_path / "labels.csv", tmp_path / "done.csv"
    main(["select", place, "-n", "12", "--out", str(labels)])
    head, *rows = labels.read_text().splitlines()
    assert head == "path,label" and all(row.endswith(",") for row in rows) and len(rows) == 12
    filled = [row + "abc"[int(row.split(".")[0]) % 3] for row in rows[:11]]
    labels.write_text("\n".join([head, *filled, rows[11]]))
    main(["classify", place, "--labels", str(labels), "--out", str(done)])
    assert "11 labels of 3 classes" in capsys.readouterr().out
    with done.open() as file:
        told = list(csv.DictReader(file))
    right = [row["predicted"] == "abc"[int(row["path"].split(".")[0]) % 3] for row in told]
    assert len(told) == 90 and sum(right) >= 88 and sum(row["label"] != "" for row in told) == 11
    main(["clusters", place, "-k", "3", "--out", str(tmp_path / "sorted")])
    assert "0 links of 90" in capsys.readouterr().out
    for words in (
        ["duplicates", place, "--out", out[".csv"]], ["outliers", place, "--out", "list.xls"],
        ["clusters", place, "--out", str(tmp_path / "sorted")], ["select", place, "-n", "91"],
        ["classify", place, "--labels", str(labels), "--out", str(done)],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1
