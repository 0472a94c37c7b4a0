"""Tables: read, made into numbers, seen in views, trained on and measured."""

import gzip
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.data.columns import Encode
from ownlatent.data.table import Table, is_table, open_table
from ownlatent.encoder import EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.philox import box_muller
from ownlatent.views.rows import RowRecipe, RowViews

CSV = "size,colour,weight,label\n1.5,red,10,b\n2.5,blue,,a\n-1,red,30,b\n,green,20,a\n"
SMALL = {
    "backbone": "mlp-small", "steps": 4, "batch_size": 8, "hidden": 16, "dim": 8, "log_every": 2,
    "precision": "fp32",
}  # fmt: skip


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Two classes that a number and a category tell apart."""
    draw = np.random.default_rng(0)
    rows = ["a,b,c,class"]
    for n in range(80):
        side = n % 2
        rows.append(f"{draw.normal() + 3 * side:.4f},{draw.normal():.4f},{'xy'[side]},{side}")
    path = tmp_path / "many.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_is_read(csv: Path) -> None:
    table = open_table(csv)
    assert table.columns.names == ("size", "colour", "weight")
    assert table.columns.categories == ((), ("blue", "green", "red"), ())
    assert table.classes == ["a", "b"] and table.labels is not None
    assert table.labels.tolist() == [1, 0, 1, 0]
    assert table.values[:, 1].tolist() == [2, 0, 2, 1]
    assert table.columns.mean[0] == pytest.approx(1.0) and math.isnan(float(table.values[3, 0]))
    assert table.columns.mean[2] == pytest.approx(20.0)


def test_encoded_as_scikit_learn_does(csv: Path) -> None:
    table = open_table(csv)
    encoded = Encode(table.columns)(table.values)
    numbers = np.array([[1.5, 10], [2.5, np.nan], [-1, 30], [np.nan, 20]])
    scaled = np.nan_to_num(StandardScaler().fit_transform(numbers))
    colours = np.array([["red"], ["blue"], ["red"], ["green"]])
    hot = OneHotEncoder(sparse_output=False).fit_transform(colours)
    expected = np.concatenate([scaled[:, :1], hot, scaled[:, 1:]], 1)
    np.testing.assert_allclose(encoded.numpy(), expected, atol=1e-6)
    assert Encode(table.columns).owners.tolist() == [0, 1, 1, 1, 2]


def test_arrays_are_scaled_alike() -> None:
    values = np.random.default_rng(0).normal(3, 5, (50, 4))
    values[3, 1] = np.nan
    table = open_table(values)
    expected = np.nan_to_num(StandardScaler().fit_transform(values))
    np.testing.assert_allclose(Encode(table.columns)(table.values).numpy(), expected, atol=1e-5)


def test_forms_of_a_table_agree(csv: Path, tmp_path: Path) -> None:
    arrow = pa.table(
        {
            "size": [1.5, 2.5, -1.0, None],
            "colour": ["red", "blue", "red", "green"],
            "weight": [10, None, 30, 20],
            "label": ["b", "a", "b", "a"],
        }
    )
    pq.write_table(arrow, tmp_path / "table.parquet")
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "table.tsv").write_text(CSV.replace(",", "\t"))
    first = open_table(csv)
    for other in ("table.parquet", "table.csv.gz", "table.tsv"):
        assert is_table(tmp_path / other)
        assert open_table(tmp_path / other).fingerprint == first.fingerprint
    assert open_table(arrow).fingerprint == first.fingerprint


def test_a_first_row_with_a_number_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("1,x,0\n2,y,1\n")
    table = open_table(path, label="-1")
    assert len(table) == 2 and table.columns.names == ("column 0", "column 1")
    assert table.labels is not None and table.labels.tolist() == [0, 1]


def test_another_table_is_read_with_the_encoders_columns(csv: Path, tmp_path: Path) -> None:
    known = open_table(csv).columns
    other = tmp_path / "other.csv"
    other.write_text("weight,colour,size\n10,violet,1\n")  # another order, an unknown value
    table = open_table(other, columns=known)
    encoded = Encode(known)(table.values)[0]
    assert table.values[0].tolist() == [1, -1, 10]
    assert encoded[1:4].tolist() == [0, 0, 0]
    assert encoded[0] == pytest.approx(0.0) and encoded[4] < 0
    other.write_text("weight,size\n10,1\n")
    with pytest.raises(UsageError, match="has no column 'colour'"):
        open_table(other, columns=known)


def made(recipe: RowRecipe, table: Table, count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows as they are, and their first views, by columns of numbers."""
    views = RowViews(recipe, table.columns, table.values)
    rows, _, ids = table.batch(torch.arange(count), "cpu")
    return views.encode(rows), views(rows, ids, 3, 7)[0]


@pytest.fixture(scope="module")
def numbers() -> Table:
    return open_table(np.random.default_rng(1).normal(size=(400, 6)).astype(np.float32))


def test_swapped_values_are_another_rows(numbers: Table) -> None:
    plain, view = made(RowRecipe(swap=0.3), numbers)
    changed = plain != view
    assert 0.26 < changed.float().mean() < 0.34
    for column in range(6):
        assert torch.isin(view[:, column], plain[:, column]).all()


def test_masked_values_are_the_mean(numbers: Table) -> None:
    plain, view = made(RowRecipe(mask=0.25), numbers)
    assert 0.21 < (view == 0).float().mean() < 0.29
    assert torch.equal(view[view != 0], plain[view != 0])


def test_noise_and_scale_are_as_wide_as_they_say(numbers: Table) -> None:
    plain, view = made(RowRecipe(noise=0.2), numbers)
    assert (view - plain).std() == pytest.approx(0.2, rel=0.08)
    plain, view = made(RowRecipe(scale=0.3), numbers)
    factors = view / plain
    assert 0.7 <= factors.min() < 0.72 and 1.28 < factors.max() <= 1.3001


def test_a_category_is_masked_whole(csv: Path) -> None:
    table = open_table(csv)
    views = RowViews(RowRecipe(mask=0.5), table.columns, table.values)
    for epoch in range(20):
        view = views(table.values, table.ids, epoch, 0)[0]
        assert set(view[:, 1:4].sum(1).tolist()) <= {0.0, 1.0}


def test_normal_numbers_have_the_normal_moments() -> None:
    u, v = torch.rand(2, 200_000, generator=torch.Generator().manual_seed(0))
    drawn = box_muller(u, v)
    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert drawn.std() == pytest.approx(1, abs=0.01)
    assert drawn.pow(4).mean() == pytest.approx(3, abs=0.1)


def test_a_view_is_a_function_of_row_epoch_and_seed(numbers: Table) -> None:
    views = RowViews("rows-all", numbers.columns, numbers.values)
    rows, _, ids = numbers.batch(torch.arange(32), "cpu")
    whole = views(rows, ids, 1, 5)
    order = torch.randperm(32)
    for a, b in zip(whole, views(rows[order], ids[order], 1, 5), strict=True):
        assert torch.equal(a[order], b)
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], views(rows, ids, 2, 5)[0])
    assert not torch.equal(whole[0], views(rows, ids, 1, 6)[0])


@pytest.mark.parametrize("method", ["byol", "swav", "barlow-twins"])
def test_every_method_takes_rows(method: str, many: Path, tmp_path: Path) -> None:
    options = {k: v for k, v in SMALL.items() if k != "hidden"}
    run = ol.pretrain(many, out=tmp_path / "run", method=method, **options)
    features = run.encoder()(open_table(many).values)
    assert features.shape == (80, 128) and features.isfinite().all()


def test_a_run_resumes_to_the_bit(many: Path, tmp_path: Path) -> None:
    whole = ol.pretrain(many, out=tmp_path / "whole", checkpoint_steps=2, keep=9, **SMALL)
    ol.pretrain(many, out=tmp_path / "again", checkpoint_steps=2, keep=9, **SMALL)
    again = tmp_path / "again"
    newest = max((again / "checkpoints").iterdir(), key=lambda p: p.name)
    for path in (again / "checkpoints").iterdir():
        if path == newest:
            shutil.rmtree(path)
    (again / "state.json").write_text(json.dumps({"state": "stopped", "message": ""}))
    with pytest.raises(UsageError, match="The rows are not those that"):
        ol.resume(again, np.eye(80))
    ol.resume(again)
    a, b = (r.encoder().state_dict() for r in (whole, ol.Run(again)))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_from_the_command_line_to_a_report(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["--backbone", "mlp-small", "--steps", "4", "--batch-size", "8", "--out", str(run)]
    main(["pretrain", str(many), *words])
    main(["evaluate", str(run), "--data", str(many)])
    out = capsys.readouterr().out
    assert "raw features" in out and "random initialisation" in out
    main(["report", str(run)])
    page = (run / "report.html").read_text()
    assert "of test rows" in page and "inputs" in page
    assert "Accuracy on rows held out" in page and "fitted on 64 rows" in page
    card = (run / "encoder" / "README.md").read_text()
    assert "An encoder of rows" in card and "image" not in card.lower()
    main(["evaluate", str(run), "--data", str(many), "--test", str(many), "--protocols", "knn"])
    assert "80 test rows also occur" in (run / "encoder" / "README.md").read_text()
    again = tmp_path / "again"
    shutil.copytree(run, again)
    main(["report", str(run), str(again), "--out", str(tmp_path / "both.html")])
    both = (tmp_path / "both.html").read_text()
    assert "Accuracy on rows held out" in both and "fitted on 80 rows" in both


def test_an_encoder_comes_back_with_its_columns(many: Path, tmp_path: Path) -> None:
    run = ol.pretrain(many, out=tmp_path / "run", **SMALL)
    encoder = ol.load_encoder(tmp_path / "run")
    table = open_table(many)
    with torch.inference_mode():
        expected = encoder(table.values)
        torch.testing.assert_close(encoder(str(many)), expected)  # its label is no feature
        torch.testing.assert_close(encoder(pa.table({
            "c": ["x"], "a": [float(table.values[0, 0])], "b": [float(table.values[0, 1])]
        })), expected[:1])  # fmt: skip
    assert run.config["asked"]["backbone"] == "mlp-small"
    with pytest.raises(UsageError, match=r"takes rows \[B, 3\]"):
        encoder(torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("name", "value"), [("names", []), ("mean", [0.0]), ("std", "x"), ("categories", [1, 2, 3])]
)
def test_damaged_columns_are_refused(name: str, value: object, many: Path, tmp_path: Path) -> None:
    ol.pretrain(many, out=tmp_path / "run", **SMALL)
    path = tmp_path / "run" / "encoder" / "config.json"
    config = json.loads(path.read_text())
    config["preprocessing"][name] = value
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match="is damaged"):
        EncoderFolder.find(tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("a,b\n", {}, "holds no row"),
        ("", {}, "is not a readable table"),
        ("a,b\n1,2\n1,2\n", {}, "that are all the same"),
        ("a,b\n1,2\n3,4\n", {"label": "z"}, "has no column 'z'; it has a, b"),
        ("a,b\n1,2\n3,4\n", {"labelled": True}, "say which it is by --label"),
        ("a,b\n1,2\n3,4\n", {"size": 32}, "Rows have no pixels"),
        ("a,b\n1,2\n3,4\n", {"backbone": "resnet18"}, "choose one of mlp"),
        ("a,b\n1,2\n3,4\n", {"views": "byol"}, "No views of rows are called 'byol'"),
        ("a\n" + "\n".join(f"word{n}" for n in range(300)), {}, "300 different texts"),
    ],
)
def test_bad_tables_get_a_sentence(
    content: str, options: dict[str, object], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=says):
        ol.pretrain(path, out=tmp_path / "run", batch_size=2, **options)
    assert not (tmp_path / "run").exists()


def test_images_have_no_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Images have no columns"):
        ol.pretrain(np.zeros((8, 8, 8, 3), np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None,
                    None], out=tmp_path / "run", label="a", backbone="small-resnet")  # fmt: skip
