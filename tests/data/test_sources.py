"""Folders, arrays and tables: what is listed, how it is named, what is refused."""

import hashlib
import io
import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ownlatent.data import Unreadable, open_source, sample_id
from ownlatent.data.fingerprint import content_digest, data_fingerprint
from ownlatent.errors import UsageError

RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def put(root, *names, pixels=IMAGES[0]):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(pixels))


def refused(data, *parts, **options):
    """One sentence, with these parts."""
    with pytest.raises(UsageError) as error:
        open_source(data, **options)
    sentence = str(error.value)
    assert "\n" not in sentence and all(part in sentence for part in parts), sentence


# Identity


def test_sample_id_is_the_signed_blake2b_of_the_path():
    for name in ("a/b.jpg", "row:0", "ünï/ж.png"):
        hashed = hashlib.blake2b(name.encode(), digest_size=8).digest()
        assert sample_id(name) == struct.unpack(">q", hashed)[0]
    assert sample_id(os.fsdecode(b"\xff.png")) != sample_id(os.fsdecode(b"\xfe.png"))


def test_ids_and_labels_of_others_stay_when_a_file_is_added(tmp_path):
    put(tmp_path, "a/1.png", "c/2.png")
    before = dict(zip(*(lambda s: (s.names, s.ids.tolist()))(open_source(tmp_path)), strict=True))
    put(tmp_path, "a/0.png", "b/9.png")
    source = open_source(tmp_path)
    after = dict(zip(source.names, source.ids.tolist(), strict=True))
    assert len(after) == 4 and before.items() <= after.items()


def test_fingerprint_sees_every_byte_and_id_but_not_the_order():
    ids = RNG.integers(-(2**63), 2**63 - 1, 5)
    digests = RNG.integers(0, 256, (5, 16), dtype=np.uint8)
    whole = data_fingerprint(ids, digests)
    order = RNG.permutation(5)
    assert data_fingerprint(ids[order], digests[order]) == whole
    pairs = sorted(zip(ids.tolist(), map(bytes, digests), strict=True))
    packed = b"".join(struct.pack(">q", each) + digest for each, digest in pairs)
    assert whole == hashlib.sha256(packed).hexdigest()
    assert data_fingerprint(ids, digests[order]) != whole
    digests[3, 7] ^= 1
    assert data_fingerprint(ids, digests) != whole


def test_digest_is_of_the_encoded_bytes_or_of_the_pixels(tmp_path):
    put(tmp_path, "1.png")
    encoded = (tmp_path / "1.png").read_bytes()
    folder = open_source(tmp_path)
    expected = hashlib.blake2b(encoded, digest_size=16).digest()
    assert folder.digest(0) == folder.read_with_digest(0)[1] == expected
    last, first = open_source(IMAGES), open_source(IMAGES.transpose(0, 3, 1, 2))
    in_order = IMAGES[2].transpose(2, 0, 1).tobytes()
    assert last.digest(2) == first.digest(2) == hashlib.blake2b(in_order, digest_size=16).digest()
    assert content_digest(IMAGES[0]) != content_digest(IMAGES[1])


# Folders


def test_a_folder_is_listed_in_order_whatever_its_depth_and_case(tmp_path):
    names = ["b/z.png", "a.PNG", "b/c/d.jpeg", "b/c.Jpg", "t.tif", "t.TIFF", "w.webp", "m.bmp"]
    put(tmp_path, *names, ".hidden.png", ".cache/x.png", "b/._c.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(str(tmp_path))
    assert source.names == sorted(names) and len(source) == 8
    assert source.ids.tolist() == [sample_id(name) for name in sorted(names)]
    assert source.labels is None and source.classes is None and source.name == str(tmp_path)
    np.testing.assert_array_equal(source.read(0), IMAGES[0].transpose(2, 0, 1))


def test_links_are_followed_and_a_circle_ends(tmp_path):
    put(tmp_path, "elsewhere/1.png", "data/2.png")
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/circle").symlink_to(tmp_path / "data")
    assert open_source(tmp_path / "data").names == ["2.png", "link/1.png"]


def test_labels_are_the_first_folders_in_sorted_order(tmp_path):
    put(tmp_path, "dog/1.png", "cat/x/1.png", "cat/2.png", "emu/1.png")
    source = open_source(tmp_path, labelled=True)
    assert source.classes == ["cat", "dog", "emu"]
    assert source.labels.dtype == torch.int64
    assert dict(zip(source.names, source.labels.tolist(), strict=True)) == {
        "cat/x/1.png": 0, "cat/2.png": 0, "dog/1.png": 1, "emu/1.png": 2}  # fmt: skip
    put(tmp_path, "loose.png")
    refused(tmp_path, "loose.png", "one folder per class", labelled=True)
    assert len(open_source(tmp_path)) == 5


def test_paths_that_cannot_be_data(tmp_path):
    refused(tmp_path / "nowhere", "does not exist", "give a folder")
    refused(tmp_path, "holds no files")
    (tmp_path / "a.txt").write_text("")
    refused(tmp_path, "holds only other files (a.txt)")
    refused(tmp_path / "a.txt", "kind not known")
    put(tmp_path, "1.png")
    refused(tmp_path / "1.png", "single image")
    (tmp_path / "x.parquet").write_bytes(b"")
    refused(tmp_path, "both images (1.png) and Parquet files (x.parquet)")


def test_an_unreadable_image_is_named(tmp_path):
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/text.jpg").write_text("not an image")
    (tmp_path / "b.png").unlink()
    (tmp_path / "b.png").symlink_to(tmp_path / "gone")
    source = open_source(tmp_path)
    for read in (source.read, source.header, source.digest):
        with pytest.raises(Unreadable, match=r"b\.png"):
            read(1)
    with pytest.raises(Unreadable, match=r"^sub/text\.jpg: not a JPEG") as error:
        source.read(2)
    assert (error.value.name, "not a JPEG" in error.value.why) == ("sub/text.jpg", True)


# Arrays


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("shape", "channels_at"),
    [((6, 8, 9), None), ((6, 8, 9, 3), 3), ((6, 3, 8, 9), 1), ((6, 20, 20, 16), 3),
     ((6, 16, 20, 20), 1), ((6, 8, 8, 1), 3), ((6, 1, 8, 8), 1), ((6, 4, 2, 4), 3)],
)  # fmt: skip
def test_the_channel_axis_of_arrays_and_tensors(shape, channels_at, dtype):
    array = RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    expected = array[:, None] if channels_at is None else np.moveaxis(array, channels_at, 1)
    for data in (array, torch.from_numpy(array)):
        source = open_source(data)
        got = np.stack([source.read(row) for row in range(6)])
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)
        assert source.names[:2] == ["row:0", "row:1"] and source.ids[1] == sample_id("row:1")
        assert source.header(0)[:3] == (*expected.shape[2:], expected.shape[1])


def test_arrays_are_not_copied():
    assert np.shares_memory(open_source(IMAGES).read(0), IMAGES)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (IMAGES / 255, "float64"),
        (np.full((2, 8, 8), np.nan, np.float32), "float32"),
        (IMAGES.astype(np.int64), "int64"),
        (IMAGES > 3, "bool"),
        (np.array([{}, None]), "object"),
        (torch.zeros(2, 3, 8, 8), "float32"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.bfloat16), "bfloat16"),
        (np.zeros((8, 8), np.uint8), "[8, 8]"),
        (np.zeros((1, 2, 3, 8, 8), np.uint8), "[1, 2, 3, 8, 8]"),
        (np.zeros((0, 8, 8), np.uint8), "no pixel"),
        (np.zeros((2, 17, 18, 19), np.uint8), "at most 16 channels"),
    ],
)
def test_arrays_that_cannot_be_images(array, why):
    refused(array, why)


def test_npy_is_mapped_and_npz_brings_labels(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    source = open_source(tmp_path / "x.npy")
    assert source.on_disk and source.labels is None
    np.testing.assert_array_equal(source.read(3), IMAGES[3].transpose(2, 0, 1))
    for image_key, label_key in (("images", "labels"), ("x", "y"), ("data", "label")):
        np.savez(tmp_path / "x.npz", **{image_key: IMAGES, label_key: np.arange(6, dtype=np.int32)})
        source = open_source(tmp_path / "x.npz", labelled=True)
        assert source.labels.dtype == torch.int64 and source.labels.tolist() == list(range(6))
        assert open_source(tmp_path / "x.npz").labels is not None


def test_array_files_that_cannot_be_data(tmp_path):
    for content in (b"", b"text", b"PK\3\4broken"):
        for name in ("x.npy", "x.npz"):
            (tmp_path / name).write_bytes(content)
            refused(tmp_path / name, "not a readable NumPy file")
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    refused(tmp_path / "x.npy", "not a readable NumPy file")
    np.savez(tmp_path / "x.npz", a=IMAGES, b=IMAGES)
    refused(tmp_path / "x.npz", "holds a, b", "images, x, data")
    for labels in (np.arange(5), np.linspace(0, 1, 6), np.array(list("abcdef"))):
        np.savez(tmp_path / "x.npz", x=IMAGES, y=labels)
        refused(tmp_path / "x.npz", "one integer for each of the 6 images")
    np.savez(tmp_path / "x.npz", x=IMAGES)
    refused(tmp_path / "x.npz", "has no labels", labelled=True)
    refused(IMAGES, "the array has no labels", labelled=True)


# Parquet

ENCODED = [png(image) for image in IMAGES]


def write_parquet(path, columns, features=None, **options):
    table = pa.table(columns)
    if features:
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, **options)


def structs(encoded, paths=None):
    paths = paths or [None] * len(encoded)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": each, "path": path} for each, path in zip(encoded, paths, strict=True)]
    return pa.array(rows, type=kind)


def test_hugging_face_table_in_several_files_and_row_groups(tmp_path):
    features = {
        "mask": {"_type": "Image"},
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": ["cat", "dog", "emu"]},
    }
    for name, rows in (("b", slice(4, 6)), ("a", slice(0, 4))):
        columns = {
            "mask": structs(ENCODED[::-1][rows]),
            "image": structs(ENCODED[rows]),
            "label": pa.array([0, 1, 2, 2, 1, 0][rows], pa.int64()),
        }
        write_parquet(tmp_path / "d" / f"{name}.parquet", columns, features, row_group_size=3)
    source = open_source(tmp_path / "d", labelled=True)
    assert source.classes == ["cat", "dog", "emu"]
    assert source.labels.tolist() == [0, 1, 2, 2, 1, 0]
    assert source.ids.tolist() == [sample_id(f"row:{row}") for row in range(6)]
    for row in (5, 0, 3, 2, 4, 1):  # back and forth through the row groups
        np.testing.assert_array_equal(source.read(row), IMAGES[row].transpose(2, 0, 1))
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(source.digest, list(range(6)) * 20))
    assert digests == [content_digest(each) for each in ENCODED] * 20


@pytest.mark.parametrize(
    "columns",
    [
        {"img": pa.array(ENCODED, pa.binary())},
        {"photo": pa.array(ENCODED, pa.large_binary()), "text": pa.array(list("abcdef"))},
        {"photo": structs(ENCODED), "thumb": pa.array([1] * 6)},
        {"thumbnail": pa.array([b""] * 6), "image": structs(ENCODED)},
    ],
)
def test_the_image_column_without_metadata(tmp_path, columns):
    write_parquet(tmp_path / "x.parquet", columns)
    source = open_source(tmp_path / "x.parquet")
    np.testing.assert_array_equal(source.read(5), IMAGES[5].transpose(2, 0, 1))
    assert source.labels is None
    refused(tmp_path / "x.parquet", "has no labels", labelled=True)


def test_metadata_says_which_column_is_the_image(tmp_path):
    columns = {"audio": pa.array([b""] * 6), "picture": structs(ENCODED)}
    write_parquet(tmp_path / "x.parquet", columns, {"picture": {"_type": "Image"}})
    assert open_source(tmp_path / "x.parquet").digest(1) == content_digest(ENCODED[1])
    write_parquet(tmp_path / "x.parquet", columns)
    refused(tmp_path / "x.parquet", "audio, picture", "not clear")


@pytest.mark.parametrize("name", ["label", "labels", "fine_label"])
def test_label_columns_and_missing_labels(tmp_path, name):
    columns = {"image": structs(ENCODED), "coarse_label": pa.array([9] * 6)}
    columns[name] = pa.array([3, 1, None, 0, 2, 1], pa.int8())
    write_parquet(tmp_path / "x.parquet", columns)
    source = open_source(tmp_path / "x.parquet")
    assert source.labels.tolist() == [3, 1, -1, 0, 2, 1] and source.classes is None
    refused(tmp_path / "x.parquet", "1 of 6 labels", "missing or negative", labelled=True)


def test_tables_that_cannot_be_data(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 broken PAR1")
    refused(path, "not a readable Parquet file")
    write_parquet(path, {"text": pa.array(["a"])})
    refused(path, "not clear", "text")
    write_parquet(path, {"image": pa.array([], pa.binary())})
    refused(path, "holds no row")
    write_parquet(path, {"image": structs(ENCODED)})
    write_parquet(tmp_path / "y.parquet", {"photo": structs(ENCODED)})
    refused(tmp_path, "y.parquet has no column 'image'")


def test_a_row_without_bytes_is_unreadable(tmp_path):
    write_parquet(tmp_path / "x.parquet", {"image": structs([None, ENCODED[0]], ["a.png", None])})
    with pytest.raises(Unreadable, match=r"^row:0: .*embed the images"):
        open_source(tmp_path / "x.parquet").read(0)
