"""Sentences: from each kind of file to the same tokens, and what is refused."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ownlatent.data.sentences import Sentences, open_sentences
from ownlatent.data.texts import is_text
from ownlatent.data.tokens import MASK, OFFSET, PAD, learn_tokens
from ownlatent.errors import UsageError
from ownlatent.kinds import kind_of

TEXT = "an animal of the sea; a plant in bloom; to move, to speak, to see a thing"
SENTENCES = [f"{TEXT[i:]} {TEXT[:i]} {i}" for i in range(12)]
LABELS = ["b", "a", "c"] * 4


def jsonl(path: Path, **columns: Any) -> Path:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def files(folder: Path) -> list[Path]:
    """The sentences in every kind of file; all but the first with labels."""
    named = {each: folder / f"a.{each}" for each in ("txt", "jsonl", "csv", "tsv", "parquet")}
    named["txt"].write_text("\n".join(SENTENCES) + "\r\n")
    jsonl(named["jsonl"], sentence=SENTENCES, label=LABELS)
    for kind, mark in (("csv", ","), ("tsv", "\t")):
        rows = [f'{label}{mark}"{text}"' for text, label in zip(SENTENCES, LABELS, strict=True)]
        named[kind].write_text("\n".join([f"label{mark}text", *rows]))
    pq.write_table(pa.table({"text": SENTENCES, "label": LABELS}), named["parquet"])
    named["gz"] = folder / "a.jsonl.gz"
    named["gz"].write_bytes(gzip.compress(named["jsonl"].read_bytes()))
    return list(named.values())


def test_every_file_holds_the_same_sentences(tmp_path: Path) -> None:
    expected = open_sentences(SENTENCES)
    for path in files(tmp_path):
        assert kind_of(path).name == kind_of(str(path)).name == "text", path
        found = open_sentences(path)
        assert torch.equal(found.tokens, expected.tokens), path
        assert found.fingerprint == expected.fingerprint and found.meaning == expected.meaning
        if path.suffix != ".txt":
            assert found.classes == ["a", "b", "c"]  # sorted
            assert found.labels is not None and found.labels.tolist() == [1, 0, 2] * 4


def test_in_memory_as_in_a_file() -> None:
    table = pa.table({"text": SENTENCES, "y": LABELS})
    assert kind_of(table).name == kind_of(SENTENCES).name == "text"
    assert open_sentences(table).labels is not None
    assert open_sentences(table).fingerprint == open_sentences(tuple(SENTENCES)).fingerprint


def test_tables_and_images_stay_what_they_are(tmp_path: Path) -> None:
    rows = tmp_path / "a.csv"
    rows.write_text("height,context\n1,2\n3,4\n")
    captioned = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [b"x"], "text": ["a dog"]}), captioned)
    numbers = tmp_path / "b.parquet"
    pq.write_table(pa.table({"text": [1, 2]}), numbers)  # a number called text
    assert kind_of(rows).name == "vectors"
    assert kind_of(captioned).name == "images"
    assert kind_of(numbers).name == "vectors"
    for other in (np.zeros((3, 2)), "photos", [1, 2], [], None):
        assert not is_text(other)


def test_identity_does_not_depend_on_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one thing\n\n  \nanother thing\n")
    found = open_sentences(path)
    assert found.names == ["row:0", "row:3"]
    assert [name for name, _ in found.skipped] == ["row:1", "row:2"]
    digest = hashlib.blake2b(b"another thing", digest_size=16).digest()
    assert found.digests[1].tobytes() == digest
    content, sizes, ids = found.batch(torch.tensor([1]), "cpu")
    assert content.dtype == torch.int64 and sizes is None and ids.tolist() == [found.ids[1]]
    assert "2 sentences" in found.summary() and "2 empty skipped" in found.summary()


def test_tokens_are_those_of_the_byte_pair_encoding() -> None:
    """Merges by hand (Sennrich et al., 2016, algorithm 1): " abab" is there four times, with the
    pairs " a" (4), "ab" (8) and "ba" (4): so "ab" is merged first, and in the end the whole word.
    """
    tokens = learn_tokens(["abab abab", "ABAB abab"])
    model = json.loads(tokens.tokenizer)["model"]
    space = "\u0120"  # how a byte-level vocabulary writes a space
    assert model["merges"][0] == ["a", "b"]
    assert f"{space}abab" in model["vocab"] and len(model["vocab"]) == 256 + len(model["merges"])
    (row,) = tokens.encode(["abab aba"])
    names = {number + OFFSET: name for name, number in model["vocab"].items()}
    read = "".join(names[int(each)] for each in row)
    assert read == f"{space}abab{space}aba"
    assert len(row) > 2  # more than any sentence of the data has, and none is cut off
    assert int(row[0]) == model["vocab"][f"{space}abab"] + OFFSET
    assert tokens.encode(["ABAB"]).tolist() == tokens.encode(["abab"]).tolist()
    assert tokens.encode(["\ufb01n"]).tolist() == tokens.encode(["fin"]).tolist()  # NFKC


def test_no_text_is_a_special_token() -> None:
    tokens = learn_tokens(SENTENCES)
    strange = tokens.encode(["[PAD] [MASK] <pad> \x00 \x01", "日本 é \ud800"])
    there = strange[strange != 0]
    assert int(there.min()) >= OFFSET and PAD < MASK < OFFSET
    assert int(strange.max()) < tokens.vocabulary


def test_weights_are_inverse_document_frequencies() -> None:
    texts = ["cat cat cat", "cat dog", "dog", "bird"]
    tokens = learn_tokens(texts)
    rows = tokens.encode(texts)
    for token in rows.unique().tolist():
        if token >= OFFSET:
            found = sum(token in row for row in rows.tolist())
            expected = 1 + np.log(5 / (1 + found))  # scikit-learn's smooth_idf
            assert tokens.weights[token] == pytest.approx(expected, abs=1e-4)
    assert tokens.weights[:OFFSET] == (0.0, 0.0)


def test_learning_is_the_same_in_every_process() -> None:
    program = (
        "import sys, hashlib; from ownlatent.data.tokens import learn_tokens;"
        f"t = learn_tokens({SENTENCES!r});"
        "print(hashlib.sha256(repr(t).encode()).hexdigest())"
    )
    ends = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": n},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed, n in (("1", "1"), ("2", "4"))
    }  # fmt: skip
    assert ends == {hashlib.sha256(repr(learn_tokens(SENTENCES)).encode()).hexdigest() + "\n"}


def test_long_sentences_keep_their_beginning() -> None:
    long = [" ".join(f"{n}" for n in range(start, start + 200)) for start in (0, 1000)]
    found = open_sentences(long)
    assert found.tokens.shape == (2, 64) and found.meaning.length == 64
    assert torch.equal(found.tokens, found.meaning.encode(long)) and bool((found.tokens > 0).all())


def test_an_encoders_tokens_are_kept() -> None:
    first = open_sentences(SENTENCES)
    again = open_sentences(["a quite different sentence"], meaning=first.meaning)
    assert again.meaning is first.meaning
    assert torch.equal(again.tokens, first.meaning.encode(["a quite different sentence"]))


BAD = [
    ("empty.txt", b"", "holds no sentence: give it some"),
    ("blank.txt", b"\n \n\n", "holds no sentence: give it some"),
    ("latin.txt", "caf\xe9 au lait".encode("latin-1"), "is not UTF-8 (unexpected end|invalid"),
    ("latin.csv", b"text\ncaf\xe9 au lait\n", "is not UTF-8"),
    ("other.jsonl", b'{"body": "a", "n": 1}\n', "no column of texts called text or sentence; it"),
    ("numbers.jsonl", b'{"text": 1}\n{"text": 2}\n', "no column of texts called"),
    ("cut.jsonl", b'{"text": "a"}\n{"text": "b', "Line 2 of .* is no JSON: write it again"),
    ("list.jsonl", b"[1]\n", "Line 1 of .* is no JSON object"),
    ("cut.txt.gz", gzip.compress(b"a\nb")[:-9], "is not readable"),
]


@pytest.mark.parametrize(("name", "content", "says"), BAD, ids=[name for name, *_ in BAD])
def test_what_cannot_be_read(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    says = says.replace("(unexpected end|invalid", r"\((unexpected end|invalid)")
    with pytest.raises(UsageError, match=says) as refused:
        open_sentences(path)
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")


def test_what_cannot_be_sentences(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist: give a file of sentences"):
        open_sentences(tmp_path / "nowhere.txt")
    with pytest.raises(UsageError, match="Sentence 1 of the data is of type int"):
        open_sentences(["a", 1])
    with pytest.raises(UsageError, match="has no labels: give it a column"):
        open_sentences(SENTENCES, labelled=True)
    path = jsonl(tmp_path / "a.jsonl", text=SENTENCES, label=[None, *LABELS[1:]])
    with pytest.raises(UsageError, match=r"1 of 12 labels in .* are missing"):
        open_sentences(path, labelled=True)
    with pytest.raises(UsageError, match="has no column 'topic'; it has text, label"):
        open_sentences(path, label="topic")


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r'pip install "ownlatent\[text\]"'):
        open_sentences(SENTENCES)


def test_labels_may_be_of_one_type_or_several(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": 1, "x": [1]}\n{"text": "b", "label": "one", "x": {}}\n')
    found = open_sentences(path)
    assert isinstance(found, Sentences) and found.classes == ["1", "one"]
