"""Searching a store by images and by its own samples, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.embeddings import write_embeddings
from ownlatent.embeddings.store import KEY


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, save_encoder) -> Path:
    """Thirty images of two classes, embedded in both forms, and other encoders."""
    folder, draw = tmp_path_factory.mktemp("search"), np.random.default_rng(0)
    for number in range(30):
        file = folder / "images" / f"class-{number % 2}" / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        colour = draw.integers(0, 256, 3)
        noise = draw.integers(-40, 40, (20, 24, 3))
        Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8)).save(file)
    save_encoder(folder / "run", 0)
    save_encoder(folder / "other", 1)
    save_encoder(folder / "wide", 0, "resnet10t")
    for form in ("parquet", "lance"):
        write_embeddings(folder / "run", folder / "images", out=folder / f"s.{form}", labelled=True)
    return folder


@pytest.mark.parametrize("form", ["parquet", "lance"])
def test_hits_are_those_of_the_definition(place: Path, form: str) -> None:
    files = [place / "images" / "class-0" / "04.png", place / "images" / "class-1" / "11.png"]
    found = ol.search(place / f"s.{form}", files, k=30)
    table = pq.read_table(place / "s.parquet")
    bank = np.stack(table["vector"].to_numpy()).astype(np.float64)
    encoder = ol.load_encoder(place / "run")
    for one, file in zip(found, files, strict=True):
        assert one.query == str(file)
        with Image.open(file) as image, torch.no_grad():
            query = encoder(image)[0].double().numpy()
        cosines = bank @ query / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
        np.testing.assert_allclose(
            [h.similarity for h in one.hits], np.sort(cosines)[::-1], atol=1e-5
        )
        assert one.hits[0].path == f"{file.parent.name}/{file.name}"
        assert one.hits[0].label == file.parent.name
        assert [hit.rank for hit in one.hits] == list(range(1, 31))
        for hit in one.hits:
            assert table["id"][hit.row].as_py() == hit.id
            assert table["path"][hit.row].as_py() == hit.path


def test_like_a_sample_of_the_store(place: Path) -> None:
    store = ol.open_store(place / "s.parquet")
    by_path, by_id = ol.search(store, like=["class-0/04.png", str(store.ids[2])], k=30)
    assert len(by_path.hits) == 29 and "class-0/04.png" not in [h.path for h in by_path.hits]
    assert by_path.hits == by_id.hits and by_id.query == store.names[2] == "class-0/04.png"
    with pytest.raises(ol.UsageError, match="no sample 'nothing'"):
        ol.search(store, like="nothing")
    for both in ({}, {"query": "a.png", "like": "b"}):
        with pytest.raises(ol.UsageError, match="Search for a query"):
            ol.search(store, **both)


def test_images_in_memory_are_queries(place: Path) -> None:
    file = place / "images" / "class-0" / "04.png"
    with Image.open(file) as image:
        pixels = torch.from_numpy(np.array(image)).movedim(-1, 0)
        picture = image.copy()
    found = ol.search(place / "s.parquet", [picture, pixels, file], k=5)
    assert found[0].hits == found[1].hits == found[2].hits
    assert [one.query for one in found] == ["query 1", "query 2", str(file)]


def test_another_encoder_is_refused(place: Path, tmp_path: Path) -> None:
    store, query = place / "s.parquet", place / "images" / "class-0" / "04.png"
    moved = tmp_path / "moved"
    shutil.copytree(place / "run", moved)
    assert ol.search(store, query, run=moved, k=1)[0].hits[0].path == "class-0/04.png"
    with pytest.raises(ol.UsageError, match="other weights"):
        ol.search(store, query, run=place / "other")
    with pytest.raises(ol.UsageError, match=r"512 dimensions .* holds 1536"):
        ol.search(store, query, run=place / "wide")
    with pytest.raises(ol.UsageError, match="no encoder"):
        ol.search(store, query, run=tmp_path)
    table = pq.read_table(store)
    origin = json.loads(table.schema.metadata[KEY])
    for source, says in (
        ({"run": str(tmp_path / "gone")}, "no longer at .*gone; say with --run"),
        (None, "name it with --run"), ({"run": 3}, "name it with --run"),
    ):  # fmt: skip
        told = {KEY: json.dumps(origin | {"source": source}).encode()}
        pq.write_table(table.replace_schema_metadata(told), tmp_path / "s.parquet")
        with pytest.raises(ol.UsageError, match=says):
            ol.search(tmp_path / "s.parquet", query)


def test_queries_that_cannot_be_read(place: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "words.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    store = place / "s.parquet"
    for name in ("torn.png", "words.jpg", "empty.jpg", "gone.jpg", "."):
        with pytest.raises(ol.UsageError, match="cannot be read") as told:
            ol.search(store, tmp_path / name)
        assert "\n" not in str(told.value)
    for query in (3, [], [None]):
        with pytest.raises(ol.UsageError, match="query"):
            ol.search(store, query)
    with pytest.raises(ol.UsageError, match="at least 1"):
        ol.search(store, place / "images" / "class-0" / "04.png", k=0)


def test_from_the_command_line(place: Path, tmp_path: Path, capsys) -> None:
    store, query = str(place / "s.lance"), str(place / "images" / "class-0" / "04.png")
    main(["search", store, query, "-k", "3"])
    shown = capsys.readouterr().out
    assert "exact, for 30 vectors" in shown and "1.0000  class-0  class-0/04.png" in shown
    main(["search", store, query, query, "-k", "3", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert len(told) == 2 and told[1]["hits"][0]["path"] == "class-0/04.png"
    main(["search", store, "--like", "class-0/04.png", "-k", "3"])
    assert "rank" in capsys.readouterr().out
    for words, says in (
        (["search", str(tmp_path / "gone.lance"), query], "no store"),
        (["search", store], "Search for a query"),
        (["search", store, str(tmp_path / "gone.jpg")], "cannot be read"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        told = capsys.readouterr().err
        assert says in told and told.count("\n") == 1


def test_rows_are_queries_too(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("x,y\n" + "\n".join(f"{n},{n * n % 17}" for n in range(40)) + "\n")
    ol.pretrain(table, out=tmp_path / "run", steps=1, batch_size=8)
    write_embeddings(tmp_path / "run", table, out=tmp_path / "t.parquet")
    found = ol.search(tmp_path / "t.parquet", [table], k=1)
    assert [one.hits[0].path for one in found] == [f"row:{n}" for n in range(40)]
