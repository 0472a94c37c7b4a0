"""A store in either form: what is read from it, how near things are found, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ownlatent as ol
from ownlatent.embeddings import index, open_store
from ownlatent.embeddings.store import KEY, unit

FORMS = ("store.parquet", "store.lance")


def brute(bank: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Cosines by their definition, in float64."""
    bank, queries = bank.astype(np.float64), queries.astype(np.float64)
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(bank, axis=1)
    return queries @ bank.T / lengths


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_is_written_is_read(make, clustered, name: str, dtype: type) -> None:
    vectors = clustered(20_000 if name == FORMS[1] else 9_000, 8, 5).astype(dtype)
    labels = [None if row % 3 else "a" for row in range(len(vectors))]
    store = make(vectors, labels=labels, name=name, more=[1])
    assert len(store) == len(vectors) and store.dim == 8 and store.origin["more"] == [1]
    assert store.labels == labels and store.names[77] == "00077.png"
    expected = vectors.astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert store.vectors().dtype == np.float32
    np.testing.assert_allclose(store.vectors(), expected, atol=1e-6)
    assert len(set(store.ids.tolist())) == len(vectors)


@pytest.mark.parametrize("name", FORMS)
def test_the_nearest_are_those_of_the_definition(make, clustered, name: str, monkeypatch) -> None:
    monkeypatch.setattr("ownlatent.embeddings.store._COSINES", 7000)  # seven queries at a time
    vectors, queries = clustered(1000, 12, 9), 50 * clustered(40, 12, 9, seed=1)
    near = make(vectors, name=name).near(queries, 13)
    cosines = brute(vectors, queries)
    order = np.argsort(-cosines, axis=1)[:, :13]
    assert np.array_equal(near.rows, order)
    np.testing.assert_allclose(near.similarity, np.take_along_axis(cosines, order, 1), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_index_of_a_large_store(make, clustered, monkeypatch, dtype: type) -> None:
    monkeypatch.setattr(index, "LARGE", 3000)
    vectors = clustered(4000, 32, 40).astype(dtype)
    queries = clustered(50, 32, 40, seed=2)[:, ::1]
    queries = vectors[:50].astype(np.float32) + 0.2 * queries
    store = make(vectors, name="store.lance")
    assert "IVF-HNSW-SQ" in store.how() and "4,000" in store.how()
    assert "exact" in store.how(101) and "as asked" in store.how(exact=True)
    near = store.near(queries, 10)
    assert store._vectors is None  # none was read
    cosines = brute(vectors, queries)
    truth = np.argsort(-cosines, axis=1)[:, :10]
    shared = [len(set(a) & set(b)) for a, b in zip(near.rows.tolist(), truth.tolist(), strict=True)]
    assert np.mean(shared) / 10 >= 0.95
    own = np.take_along_axis(cosines, near.rows, 1)
    np.testing.assert_allclose(near.similarity, own, atol=2e-3 if dtype == np.float16 else 1e-5)
    exact = store.near(queries, 10, exact=True)
    assert np.array_equal(np.sort(exact.rows), np.sort(truth))
    small = make(vectors, name="other.parquet")
    assert "exact" in small.how() and "without an index" in small.how()
    monkeypatch.setattr(index, "LARGE", 5000)
    assert "exact" in make(vectors, name="third.lance").how()


def test_vectors_of_any_length_are_compared() -> None:
    rows = np.array([[3e38, 3e38], [1e-38, 0], [0, 0], [-3, 4]], np.float32)
    expected = [[0.5**0.5, 0.5**0.5], [1, 0], [0, 0], [-0.6, 0.8]]
    np.testing.assert_allclose(unit(rows), expected, atol=1e-6)


def test_a_file_is_never_outside(make, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    for file in (root / "sub" / "a.png", outside / "b.png", root / "notes.txt"):
        file.write_bytes(b"x")
    (root / "link.png").symlink_to(outside / "b.png")
    (root / "out").symlink_to(outside)
    (root / "ring.png").symlink_to(root / "ring.png")
    (root / "within.png").symlink_to(root / "sub" / "a.png")
    names = ["sub/a.png", "within.png", "../outside/b.png", "link.png", "out/b.png", "ring.png",
             str(outside / "b.png"), "notes.txt", "gone.png", "a\0b.png", "sub", "", "row:3",
             "x" * 5000 + ".png"]  # fmt: skip
    vectors = np.eye(len(names), dtype=np.float32)
    store = make(vectors, names, root=str(root))
    found = [store.file(row) for row in range(len(names))]
    assert found == [root / "sub" / "a.png"] * 2 + [None] * (len(names) - 2)
    for elsewhere in (None, 3, str(tmp_path / "nowhere"), "\0"):
        assert make(vectors, names, root=elsewhere).file(0) is None


def test_stores_that_cannot_be_read(make, clustered, tmp_path: Path, monkeypatch) -> None:
    good = make(clustered(50, 4, 2)).path
    table = pq.read_table(good)
    cases: dict[str, object] = {
        "gone.parquet": None, "gone.lance": None, "store.npz": b"",
        "empty.parquet": b"", "noise.parquet": b"PAR1" + bytes(200) + b"PAR1",
        "half.parquet": good.read_bytes()[: good.stat().st_size // 2],
        "other.parquet": table.replace_schema_metadata(None),
        "hostile.parquet": table.replace_schema_metadata({KEY: b"[" * 100_000}),
        "list.parquet": table.replace_schema_metadata({KEY: b"[1]"}),
        "number.parquet": table.replace_schema_metadata({KEY: b'{"encoder": 1, "weights": ""}'}),
        "none.parquet": table.slice(0, 0),
        "columns.parquet": table.drop_columns(["label"]),
        "ragged.parquet": table.set_column(3, "vector", pa.array([[1.0]] * 50)),
        "words.parquet": table.set_column(3, "vector", table["path"]),
        "nulls.parquet": table.set_column(1, "path", pa.array([None] * 50, pa.string())),
    }  # fmt: skip
    says = {"gone": "no store", "other": "which encoder", "hostile": "which encoder",
            "list": "which encoder", "number": "which encoder", "none": "no vectors",
            "store": "ends in"}  # fmt: skip
    for name, content in cases.items():
        path = tmp_path / "bad" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            pq.write_table(content, path)
        with pytest.raises(ol.UsageError, match=says.get(path.stem, "is damaged")) as told:
            open_store(path)
        assert "\n" not in str(told.value) and name in str(told.value)


def test_damage_within_is_told(make, clustered, tmp_path: Path) -> None:
    whole = make(clustered(3000, 16, 2)).path
    content = bytearray(whole.read_bytes())
    content[len(content) * 2 // 3] ^= 1  # one bit, of a number
    (tmp_path / "bit.parquet").write_bytes(content)
    with pytest.raises(ol.UsageError, match="is damaged"):
        open_store(tmp_path / "bit.parquet").vectors()
    lance = make(clustered(3000, 16, 2), name="whole.lance").path
    for what in ("data", "_versions"):
        folder = tmp_path / f"{what}.lance"
        shutil.copytree(lance, folder)
        for file in (folder / what).iterdir():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
        with pytest.raises(ol.UsageError, match="is damaged"):
            open_store(folder).vectors()
    (tmp_path / "bare.lance").mkdir()
    with pytest.raises(ol.UsageError, match="is damaged"):
        open_store(tmp_path / "bare.lance")
    nothing = clustered(30, 4, 2)
    nothing[7, 2] = np.nan
    with pytest.raises(ol.UsageError, match="1 of 30 vectors"):
        make(nothing, name="nan.parquet").vectors()
    holes = pq.read_table(make(clustered(30, 4, 2), name="holes.parquet").path)
    rows = [None if row == 5 else [1.0] * 4 for row in range(30)]
    holes = holes.set_column(3, "vector", pa.array(rows, pa.list_(pa.float32(), 4)))
    pq.write_table(holes, tmp_path / "holes2.parquet")
    with pytest.raises(ol.UsageError, match="vectors are missing"):
        open_store(tmp_path / "holes2.parquet").vectors()


def test_queries_that_cannot_be(make, clustered) -> None:
    store = make(clustered(30, 4, 2))
    for queries, k, says in (
        (np.ones((2, 5)), 3, "4 dimensions"), (np.ones(4), 3, "4 dimensions"),
        (np.ones((1, 4)), 31, "k must lie"), (np.ones((1, 4)), 0, "at least 1"),
        (np.full((1, 4), np.inf), 3, "infinity"),
    ):  # fmt: skip
        with pytest.raises(ol.UsageError, match=says):
            store.near(queries, k)


def test_origin_is_json_in_both_forms(make, clustered) -> None:
    for name in FORMS:
        assert make(clustered(9, 4, 2), name=name, root="/a").origin == {
            "encoder": "BYOL (online)", "weights": "0" * 32, "root": "/a"
        }  # fmt: skip
    held = pq.read_schema(make(clustered(9, 4, 2), name="b.parquet").path).metadata
    assert json.loads(held[KEY])["weights"] == "0" * 32
