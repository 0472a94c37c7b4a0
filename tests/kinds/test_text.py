"""Text from end to end: pretrained, resumed, saved, reloaded, evaluated; and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.data.sentences import open_sentences
from ownlatent.kinds.text import BagOfTokens, Text
from ownlatent.views.tokens import TOKEN_RECIPES

THINGS = ["a small animal of the forest", "a large animal of the sea", "a plant with red flowers"]
ACTS = ["to walk over the hills", "to speak of the sea", "to see what others do"]
SENTENCES = [f"{text} and {n} more" for n in range(8) for text in THINGS + ACTS]
LABELS = ["noun", "noun", "noun", "verb", "verb", "verb"] * 8
SMALL: dict[str, Any] = {
    "batch_size": 8, "steps": 3, "optimizer": "adamw", "base_lr": 1e-3, "hidden": 16, "dim": 8,
    "precision": "fp32",
}  # fmt: skip


def write(path: Path, **more: Any) -> Path:
    rows = [{"text": t, "label": y} for t, y in zip(SENTENCES, LABELS, strict=True)]
    path.write_text("".join(json.dumps(row | more) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file and a finished run on it, both by the command line."""
    place = tmp_path_factory.mktemp("text")
    data = str(write(place / "a.jsonl"))
    command = "--batch-size 8 --steps 3 --optimizer adamw --set hidden=16 dim=8 --precision fp32"
    main(["pretrain", data, "--out", str(place / "run"), *command.split()])
    main(["evaluate", str(place / "run"), "--data", data])
    return place


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = ol.load_encoder(run).state_dict()
    return found


def test_the_command_line_trains_and_measures(made: Path) -> None:
    config = ol.Run(made / "run").config
    assert config["asked"]["backbone"] == "small-transformer" and config["plan"]["views"] == "text"
    assert config["data"]["images"] == len(SENTENCES)
    measured = json.loads((made / "run" / "evaluation.json").read_text())["results"]
    names = {row["features"] for row in measured}
    assert names == {"BYOL (online)", "random initialisation", "bag of tokens"}
    # Nouns begin with "a" and verbs with "to", each token a number of its own in the bag.
    linear = {r["features"]: r["accuracy"] for r in measured if r["protocol"] == "linear probe"}
    assert linear["bag of tokens"] == 1.0


@pytest.mark.parametrize("views", TOKEN_RECIPES)
@pytest.mark.parametrize("method", ["byol", "simclr"])
def test_python_trains_and_measures(views: str, method: str, tmp_path: Path) -> None:
    own = {"hidden": 16, "dim": 8}
    options = SMALL | {"backbone": "bag", "views": views, "method": method} | own
    run = ol.pretrain(SENTENCES, out=tmp_path / "run", **options)
    assert len(run.log) > 0 and np.isfinite(run.log[-1]["loss"])
    data = write(tmp_path / "a.jsonl")
    report = ol.evaluate(run.folder, data, test=data, baselines=False, protocols=["knn"])
    assert report["data"]["test_images_in_train"] == len(SENTENCES)


def test_group_norm_trains_both(tmp_path: Path) -> None:
    for name in ("bag", "small-transformer"):
        run = ol.pretrain(SENTENCES, out=tmp_path / name, **SMALL, norm="group", backbone=name)
        assert not any("running" in key for key in run.encoder().state_dict())


def test_a_run_that_stopped_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout, views, the tokens learned anew and the batches are those of the whole run."""
    from ownlatent.training import keeper

    options = SMALL | {"steps": 6, "checkpoint_steps": 3, "log_every": 1}
    data = write(tmp_path / "a.jsonl")
    whole = ol.pretrain(data, out=tmp_path / "whole", **options)

    class Killed(BaseException):
        pass

    after = keeper.Keeper.after

    def killed(self: Any, step: int) -> None:
        after(self, step)
        if step == 4:
            raise Killed

    monkeypatch.setattr(keeper.Keeper, "after", killed)
    with pytest.raises(Killed):
        ol.pretrain(data, out=tmp_path / "cut", **options)
    monkeypatch.undo()
    resumed = ol.resume(tmp_path / "cut")
    for (name, a), (_, b) in zip(
        weights(whole.folder).items(), weights(resumed.folder).items(), strict=True
    ):
        assert torch.equal(a, b), name
    assert [r["loss"] for r in whole.log] == [r["loss"] for r in resumed.log]


def test_the_encoder_takes_sentences_and_tokens(made: Path) -> None:
    encoder = ol.load_encoder(made / "run")
    features = encoder(["a plant", "to walk over the hills and far away beyond", "日本 é [PAD]"])
    assert features.shape == (3, 128) and features.dtype == torch.float32
    tokens = encoder.preprocessing.encode(["a plant"])
    torch.testing.assert_close(encoder(tokens), features[:1], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(encoder("a plant"), features[:1], atol=2e-6, rtol=1e-5)
    many = encoder(["a plant"] * 300)  # more than are encoded at once
    torch.testing.assert_close(many, features[:1].expand(300, -1), atol=2e-6, rtol=1e-5)
    assert float((features[0] - features[1]).detach().abs().max()) > 1e-3


def test_attention_is_of_images(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["attention", str(made / "run"), str(made / "a.jsonl")])
    assert ended.value.code == 2 and "no encoder of images: give one" in capsys.readouterr().err


def test_short_sentences_resume(tmp_path: Path) -> None:
    """The size of views is that of the encoder's tokens, not of these few."""
    data = tmp_path / "a.txt"
    data.write_text("".join(f"{word}\n" for word in "abcdefghij"))
    ol.pretrain(data, out=tmp_path / "run", **SMALL, backbone="bag")
    with pytest.raises(ol.UsageError, match="has finished: 3 steps of 3"):
        ol.resume(tmp_path / "run")


def test_what_an_encoder_stores_comes_back(made: Path) -> None:
    stored = json.loads((made / "run" / "encoder" / "config.json").read_text())["preprocessing"]
    learned = open_sentences(made / "a.jsonl").meaning
    assert Text().restored(stored) == learned  # so its sentences can be given as they are
    samples = open_sentences(made / "a.jsonl")
    ol.evaluate(made / "run", samples, baselines=False, protocols=["knn"])
    with pytest.raises(ol.UsageError, match="sentences given have no labels: open a file"):
        ol.evaluate(made / "run", open_sentences(SENTENCES))
    others = open_sentences(pa.table({"text": SENTENCES[:4], "label": LABELS[:4]}))
    with pytest.raises(ol.UsageError, match="other tokens than the encoder: give their file"):
        ol.evaluate(made / "run", others)


def test_the_baseline_is_tf_idf(made: Path) -> None:
    """Against scikit-learn's, on the same counts."""
    samples = open_sentences(made / "a.jsonl")
    bag = BagOfTokens(samples.meaning)(samples.tokens)
    size = samples.meaning.vocabulary
    counts = np.stack([np.bincount(row[row > 0], minlength=size) for row in samples.tokens.numpy()])
    expected = TfidfTransformer().fit_transform(counts).toarray()
    np.testing.assert_allclose(bag.numpy(), expected, atol=1e-4)  # weights have four places


def change(stored: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The stored tokens with another length, weights, or part of the tokeniser's model."""
    model = json.loads(stored["tokenizer"])
    for name, value in values.items():
        if name in model["model"]:
            model["model"][name] = value
        else:
            stored[name] = value
    return {"tokenizer": json.dumps(model)} | {k: v for k, v in stored.items() if k != "tokenizer"}


def vocabulary(stored: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = json.loads(stored["tokenizer"])["model"]["vocab"]
    return found


HOSTILE: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
    ("no JSON", lambda s: s | {"tokenizer": "{"}),
    ("no text", lambda s: s | {"tokenizer": 3}),
    ("a list", lambda s: s | {"tokenizer": "[]"}),
    ("no model", lambda s: s | {"tokenizer": "{}"}),
    ("deep", lambda s: s | {"tokenizer": "[" * 100_000}),
    ("vocabulary", lambda s: change(s, vocab=["a"])),
    ("huge number", lambda s: change(s, vocab=vocabulary(s) | {"a": 10**12})),
    ("negative", lambda s: change(s, vocab=vocabulary(s) | {"a": -1})),
    ("float", lambda s: change(s, vocab=vocabulary(s) | {"a": 1.5})),
    ("another word", lambda s: change(s, vocab=vocabulary(s) | {"new": len(vocabulary(s))})),
    ("a byte missing", lambda s: change(s, vocab={"?" * 9 if k == "a" else k: v
                                                  for k, v in vocabulary(s).items()}, merges=[])),
    ("merges", lambda s: change(s, merges=[["a", "zzz"]])),
    ("a merge of one", lambda s: change(s, merges=[["a"]])),
    ("a merge of numbers", lambda s: change(s, merges=[[1, 2]])),
    ("length", lambda s: s | {"length": 10**9}),
    ("no length", lambda s: s | {"length": 0}),
    ("weights", lambda s: s | {"weights": s["weights"][:-1]}),
    ("NaN", lambda s: s | {"weights": [float("nan"), *s["weights"][1:]]}),
    ("texts", lambda s: s | {"weights": ["1"] * len(s["weights"])}),
    ("missing", lambda s: {k: v for k, v in s.items() if k != "weights"}),
    ("too much", lambda s: s | {"more": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_hostile_settings_are_refused(
    name: str, change: Callable[[dict[str, Any]], dict[str, Any]], made: Path, tmp_path: Path
) -> None:
    config = json.loads((made / "run" / "encoder" / "config.json").read_text())
    config["preprocessing"] = change(config["preprocessing"])
    (tmp_path / "online.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ol.UsageError, match=r"config\.json is damaged") as refused:
        ol.load_encoder(tmp_path)
    assert "\n" not in str(refused.value)


def test_the_rest_of_the_stored_tokeniser_does_nothing(made: Path) -> None:
    """Say a pattern that would take for ever, or tokens of its own."""
    config = json.loads((made / "run" / "encoder" / "config.json").read_text())
    stored = config["preprocessing"]
    learned = Text().restored(stored)
    tokenizer = json.loads(stored["tokenizer"]) | {
        "normalizer": {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""},
        "added_tokens": [{"id": 0, "content": "plant"}],
    }
    changed = Text().restored(stored | {"tokenizer": json.dumps(tokenizer)})
    assert torch.equal(changed.encode(SENTENCES), learned.encode(SENTENCES))


WRONG_CALLS: list[tuple[Any, str]] = [
    ([], "Give a list of at least one sentence"),
    (["a", ""], "Sentence 1 is empty: leave it out"),
    (["a", 3], "Give sentences as texts; got int"),
    ({"a": 1}, "Give a list of at least one sentence"),
    (torch.zeros(2, 3), "tokens int64"),
    (torch.ones(3, dtype=torch.int64), r"tokens int64 \[B, L\]; got int64 \[3\]"),
    (torch.full((1, 2), 10**6), "Tokens are numbers from 0 to"),
    (torch.full((1, 2), -1), "Tokens are numbers from 0 to"),
    (torch.tensor([[0, 5]]), "Sentences begin with a token, and zeros only follow"),
    (torch.tensor([[5, 0, 5]]), "Sentences begin with a token, and zeros only follow"),
]


@pytest.mark.parametrize(("given", "says"), WRONG_CALLS, ids=[says for _, says in WRONG_CALLS])
def test_what_the_encoder_does_not_take(given: Any, says: str, made: Path) -> None:
    with pytest.raises(ol.UsageError, match=says):
        ol.load_encoder(made / "run")(given)


BAD = [
    ("a.txt", "", "", "holds no sentence: give it some"),
    ("a.txt", "only one\n", "", "only one sentence: give sentences that differ"),
    ("a.txt", "the same\n" * 9, "", "9 sentences that are all the same"),
    ("a.txt", b"caf\xe9\n", "", "is not UTF-8"),
    (
        "a.jsonl",
        '{"body": "a"}\n',
        "",
        "called text or sentence; it has body: rename",
    ),
    ("a.txt", "a\nb\nc\nd\n", "--labelled", "has no labels: give it a column"),
    ("a.txt", "a\nb\nc\nd\n", "--size 32", "leave --size, --crops and --reference out"),
    ("a.txt", "a\nb\nc\nd\n", "--views rows", "choose one of text, text-dropout"),
    ("a.txt", "a\nb\nc\nd\n", "--backbone small-transfomer", "did you mean small-transformer?"),
    ("a.txt", "a\nb\nc\nd\n", "--backbone resnet18", "choose small-transformer or bag"),
    ("a.txt", "a\nb\nc\nd\n", "--drop-path 0.1", "no drop-path: leave these options out"),
    ("a.txt", "a\nb\nc\nd\n", "--batch-size 5", "take --batch-size 4 or less"),
    ("b.txt", None, "", "does not exist: give a file of sentences"),
]


@pytest.mark.parametrize(("name", "content", "options", "says"), BAD, ids=[b[3] for b in BAD])
def test_bad_input(
    name: str,
    content: str | bytes | None,
    options: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", name, "--out", "out", "--steps", "1", *options.split()])
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(said) == 1 and says in said[0]
    assert not Path("out").exists()


def test_a_file_of_sentences_is_read(made: Path, tmp_path: Path) -> None:
    encoder = ol.load_encoder(made / "run")
    path = tmp_path / "s.txt"
    path.write_text("\n".join(SENTENCES[:3]) + "\n")
    expected = encoder(SENTENCES[:3])
    torch.testing.assert_close(encoder(str(path)), expected)
    torch.testing.assert_close(encoder(path), expected)
    assert encoder(str(tmp_path / "no.txt")).shape[0] == 1  # no file, so a sentence
