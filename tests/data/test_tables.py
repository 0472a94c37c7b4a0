"""Tables as people have them: what is read, what is said of it, and what is refused."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ownlatent.data.columns import Encode
from ownlatent.data.separated import is_header
from ownlatent.data.table import Table, open_table
from ownlatent.data.texts import read_texts
from ownlatent.errors import UsageError
from ownlatent.kinds import KINDS, kind_of


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def labels(table: Table) -> list[int]:
    assert table.labels is not None
    return table.labels.tolist()


def encoded(table: Table) -> list[list[float]]:
    rows: list[list[float]] = Encode(table.columns)(table.values).tolist()
    return rows


# --- names, delimiters and headers ----------------------------------------------------------------


def test_spaces_around_names_and_texts_mean_nothing(write: Any) -> None:
    table = open_table(write("a , b, label \n1, red,  x\n2,red ,x\n3, blue , y\n"))
    assert table.columns.names == ("a", "b") and table.classes == ["x", "y"]
    assert table.columns.categories == ((), ("blue", "red")) and labels(table) == [0, 0, 1]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_semicolons_and_tabs_are_recognised(delimiter: str, write: Any) -> None:
    path = write("a,b,label\n1,u,x\n2,v,y\n".replace(",", delimiter))
    table = open_table(path)
    assert table.columns.names == ("a", "b") and labels(table) == [0, 1]
    assert open_table(path, columns=table.columns).classes == ["x", "y"]
    texts = write("text;label\nyes, it is;x\nno;y\n")
    assert kind_of(texts).name == "text"
    assert read_texts(texts, "it")[0] == ["yes, it is", "no"]


HEADERS = [
    ("a,b", ["1,2"], True),
    ("p,x,x", ["e,x,n"], True),  # as ever: nothing tells that it is none
    ("1,x,0", ["2,y,1"], False),
    ("1,2,3", ["4,5,6"], False),
    ("?,1,2", ["3,4,5"], False),  # a missing value is no name
    ("0,1,2,label", ["5,3,1,0", "4,3,?,1"], True),
    ("0,1,2,label", ["5,3,1,setosa", "4,3,1,virginica"], True),  # by the name of the labels
    ("age,2020,income", ["30,1,>50K"], True),
    ("1,y", ["2,n", "3,y"], False),  # y is no name where it comes again
    ("a_1,1_000", ["x,y"], True),
]


@pytest.mark.parametrize(("first", "others", "header"), HEADERS)
def test_a_header_is_told_from_a_row(first: str, others: list[str], header: bool) -> None:
    rows = [each.split(",") for each in others]
    assert is_header(first.split(","), rows, ["label", "y"]) is header


def test_the_data_line_says_what_was_made_of_the_file(write: Any) -> None:
    said = open_table(write("age,2020,y\n30,1,2\n31,2,3\n")).summary()
    assert said == "2 rows of 2 numbers; the first row is the header; labels from 'y'"
    assert open_table(write("1,2\n3,4\n")).summary() == "2 rows of 2 numbers; no header"
    named = open_table(write("1,income\n2,u\n3,v\n"), label="income")  # asked for: so it is a name
    assert len(named) == 2 and named.classes == ["u", "v"]


def test_endings_may_be_in_capitals(write: Any, tmp_path: Path) -> None:
    content = "a,b\n1,2\n3,5\n"
    first = open_table(write(content)).fingerprint
    pq.write_table(pa.table({"a": [1, 3], "b": [2, 5]}), tmp_path / "X.PARQUET")
    np.savez(tmp_path / "X.npz", x=np.array([[1.0, 2], [3, 5]]))
    (tmp_path / "X.npz").rename(tmp_path / "X.NPZ")
    write(gzip.compress(content.encode()), "X.CSV.GZ")
    for name in ("X.PARQUET", "X.NPZ", "X.CSV.GZ"):
        assert kind_of(tmp_path / name).name == "vectors"
        assert open_table(tmp_path / name).fingerprint == first


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "array", "nanoseconds"])
def test_timestamps_stay_apart(form: str, write: Any) -> None:
    stamps = 1_700_000_000 + np.arange(100)
    if form == "csv":
        table = open_table(write("t\n" + "\n".join(map(str, stamps)) + "\n"))
    elif form == "array":
        table = open_table(stamps[:, None])
    else:
        table = open_table(pa.table({"t": stamps * 10**9 + 1}))
    made = torch.tensor(encoded(table))[:, 0]
    expected = (np.arange(100) - 49.5) / np.arange(100).std()
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-4)
    assert len(np.unique(table.digests, axis=0)) == 100
    rows = KINDS["vectors"].preprocess(table.columns)(table.values)
    assert len(rows.unique()) == 100


@pytest.mark.parametrize("constant", [0.1, 1e9 + 0.1, -3.3e-7])
def test_a_constant_has_no_deviation(constant: float) -> None:
    values = np.full((1003, 1), constant)
    for table in (open_table(values), open_table(pa.table({"a": values[:, 0]}))):
        assert table.columns.std == (1.0,)
    values[:500] = np.nextafter(constant, 10)  # apart by rounding only
    assert open_table(values).columns.std == (1.0,)


# --- categories -----------------------------------------------------------------------------------


def test_a_missing_value_is_not_the_category_none(write: Any) -> None:
    known = open_table(write("c\nNone\nsome\n")).columns
    assert open_table(write("c,d\n,1\nNone,2\n"), columns=known).values.tolist() == [[-1], [0]]


def test_categories_are_texts_whatever_a_file_makes_of_them(write: Any) -> None:
    known = open_table(write("c,d\ntrue,01\nfalse,A2\nmaybe,01\n")).columns
    assert known.categories == (("false", "maybe", "true"), ("01", "A2"))
    other = open_table(write("c,d\ntrue,01\nfalse,01\n"), columns=known)
    assert other.values.tolist() == [[2, 0], [0, 0]]
    frame = pa.table({"c": [True, False, None], "d": ["A2", "01", "1"]})
    assert open_table(frame, columns=known).values.tolist() == [[2, 1], [0, 0], [-1, -1]]
    assert open_table(pa.table({"c": [True, False]})).columns.categories == (("false", "true"),)


def test_whole_numbers_are_the_same_categories_as_floats() -> None:
    known = open_table(pa.table({"c": pa.array([1, 2]).dictionary_encode()})).columns
    other = open_table(pa.table({"c": [2.0, None, float("nan")]}), columns=known)
    assert other.values.tolist() == [[1], [-1], [-1]]


def test_a_typing_error_in_a_column_of_numbers_is_named(write: Any) -> None:
    said = open_table(write("age,b\n31,1\n3O,2\n40,1\n50,4\n")).summary()
    assert "'age' is a category and not a number, as it holds '3O'" in said
    assert "is a category and" not in open_table(write("c,b\nx,1\n3,2\ny,1\n")).summary()
    many = "age\n" + "\n".join(map(str, range(300))) + "\n3O\n"
    with pytest.raises(UsageError, match="has 301 different texts, such as '3O', more than"):
        open_table(write(many))


def test_empty_columns_are_left_out_and_may_be_empty_later(write: Any) -> None:
    table = open_table(write("a,b,c\n1,,x\n2,?,y\n"))
    assert table.columns.names == ("a", "c")
    assert "'b' is left out, as it holds nothing" in table.summary()
    nan = pa.table({"a": [1.0, 2.0], "b": [float("nan")] * 2})
    assert open_table(nan).columns.names == ("a",)
    other = open_table(write("a,c\n,\n,\n"), columns=table.columns)
    assert other.values[:, 0].isnan().all() and other.values[:, 1].tolist() == [-1, -1]
    assert encoded(other) == [[0, 0, 0]] * 2


# --- labels ---------------------------------------------------------------------------------------


def test_labels_that_are_missing_are_no_class(write: Any) -> None:
    table = open_table(pa.table({"a": [1, 2, 3], "y": [1.0, float("nan"), 2.0]}))
    assert table.classes == ["1", "2"] and labels(table) == [0, -1, 1]
    path = write("a,label\n1,x\n2,\n3,y\n")
    assert labels(open_table(path)) == [0, -1, 1]
    with pytest.raises(UsageError, match=r"1 of 3 labels in .*table.csv are missing"):
        open_table(path, labelled=True)


def test_a_feature_of_the_encoder_is_no_label(write: Any) -> None:
    path = write("a,y,income\n1,2,u\n2,3,v\n")
    known = open_table(path, label="income").columns
    assert known.names == ("a", "y")
    assert open_table(path, columns=known).classes is None  # y is a feature here
    assert open_table(path, columns=known, label="income").classes == ["u", "v"]
    for label in ("y", "1"):
        with pytest.raises(UsageError, match=r"with 'y' as a feature.*anew with --label y"):
            open_table(path, columns=known, label=label)


# --- what is refused ------------------------------------------------------------------------------

REFUSED = [
    ("p,x,x,n\ne,x,y,n\n", {}, "several columns called 'x': give each a name of its own, in a fir"),
    ("a,größe\n1,2\n".encode("latin-1"), {}, "is not UTF-8: save it as UTF-8"),
    ("a,b\n1,größe\n".encode("latin-1"), {}, "is not UTF-8: save it as UTF-8"),
    (("a,b\n" + 20000 * "1,x\n" + "1,größe\n").encode("latin-1"), {}, "is not UTF-8: save it as"),
    ("a,b\n1,2\n", {"label": "--1"}, "has no column '--1'"),
    ("a,b\n1,2\n", {"label": "²"}, "has no column '²'"),
    ("", {}, "is not a readable table .it is empty"),
    ("\n\n", {}, "is not a readable table .it is empty"),
    ("a,b\n1,2,3\n", {}, "is not a readable table"),
]


@pytest.mark.parametrize(("content", "options", "says"), REFUSED)
def test_a_bad_file_gets_a_sentence(content: Any, options: Any, says: str, write: Any) -> None:
    with pytest.raises(UsageError, match=says):
        open_table(write(content), **options)


def test_what_is_no_table_gets_a_sentence(write: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be a list: give a .csv"):
        open_table([[1, 2]])
    with pytest.raises(UsageError, match=r"nofile.csv does not exist: give a .csv"):
        open_table(tmp_path / "nofile.csv")
    with pytest.raises(UsageError, match=r"is a folder: give a .csv"):
        open_table(tmp_path)
    with pytest.raises(UsageError, match=r"'y' in .* are \[1\]: give one for each of the 2 rows"):
        np.savez(tmp_path / "a.npz", x=np.ones((2, 2)), y=np.ones(1))
        open_table(tmp_path / "a.npz")


def test_an_encoder_says_what_rows_it_takes(write: Any) -> None:
    known = open_table(write("a,c\n1,u\n2,v\n")).columns
    rows = KINDS["vectors"].preprocess(known)
    with pytest.raises(UsageError, match="cannot be a dict"):
        rows.tensors({"a": [1]})
    with pytest.raises(UsageError, match="differ in length"):
        rows.tensors([[1, 2], [1]])
    for wrong in (7.0, -2.0, 0.5):
        with pytest.raises(
            UsageError, match=f"'c' is a category of 2 values and cannot be {wrong:g}"
        ):
            open_table(np.array([[1.0, wrong]]), columns=known)
        with pytest.raises(UsageError, match=f"cannot be {wrong:g}: give their places from 0 to 1"):
            rows(torch.tensor([[1.0, wrong]]))
    assert rows(torch.tensor([[1.5, float("nan")]])).tolist() == [[0, 0, 0]]
    table = open_table(write("a,c\n3,u\n"), columns=known)
    assert torch.equal(rows.tensors(table)[0], table.values)
    with pytest.raises(UsageError, match=r"'a' of .* holds 'x', where the encoder takes numbers"):
        open_table(write("a,c\nx,u\n"), columns=known)
    assert (
        open_table(pa.table({"a": ["1.5", None], "c": ["u", "v"]}), columns=known).values[0, 0]
        == 1.5
    )
