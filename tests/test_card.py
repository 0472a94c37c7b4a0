"""The model card: every figure there, nothing made up, and no text that becomes markup."""

import json
import math
import re
from pathlib import Path
from typing import Any

from ownlatent.card import write_card

ENCODER = {
    "backbone": "small-resnet",
    "num_features": 512,
    "networks": ["online", "target"],
    "preprocessing": {"channels": 3, "size": 32},
    "provenance": {"method": "byol", "seed": 7, "versions": {"torch": "2.14.0"}},
}
CONFIG = {
    "asked": {"preset": "small", "init": None},
    "plan": {"views": "cifar-byol", "size": 20, "total_steps": 3000, "batch_size": 64,
             "optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0005, "tau": 0.9, "hidden": 1024,
             "dim": 256, "precision": "bf16"},
    "data": {"images": 20000, "fingerprint": "27d0e026", "skipped": [["a.jpg", "cut short"]]},
    "versions": {"python": "3.11.7", "torch": "2.14.0"},
}  # fmt: skip
VERDICT = {"verdict": "healthy", "why": "Features use 18.7 directions.", "advice": "Go on."}
EVALUATION = {
    "results": [
        {"features": "BYOL (online)", "protocol": "linear probe", "accuracy": 0.5382, "low": 0.5227,
         "high": 0.5536, "n_train": 10000, "n_test": 4000, "seed": 3, "details": "frozen | L2"},
        {"features": "raw pixels", "protocol": "linear probe", "accuracy": math.nan, "low": None,
         "high": math.inf, "n_train": 10000, "n_test": 4000, "seed": 3, "details": "frozen | L2"},
    ],
    "data": {"test_images_in_train": 12},
}  # fmt: skip


def card(tmp_path: Path, **files: Any) -> str:
    folder = tmp_path / "my_run"
    (folder / "encoder").mkdir(parents=True)
    (folder / "encoder/config.json").write_text(json.dumps(files.pop("encoder", ENCODER)))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    path = write_card(folder)
    assert path == folder / "encoder" / "README.md"
    assert [each.name for each in path.parent.iterdir() if each.suffix == ".tmp"] == []
    return path.read_text(encoding="utf-8")


def test_it_holds_each_figure(tmp_path: Path) -> None:
    text = card(tmp_path, config=CONFIG, verdict=VERDICT, evaluation=EVALUATION)
    assert "| BYOL (online) | linear probe | 53.8 | 52.3 to 55.4 | 10,000 | 4,000 | 3 |" in text
    dash = "\N{EN DASH}"
    assert f"| raw pixels | linear probe | {dash} | {dash} to {dash} | 10,000 | 4,000 | 3 |" in text
    assert "- BYOL (online), raw pixels: frozen \\| L2" in text
    assert "12 test images also occur" in text
    assert "**healthy** Features use 18.7 directions. Go on." in text
    for cells in ("images | 20,000", "fingerprint | 27d0e026", "unreadable and skipped | 1",
                  "method | byol", "preset | small", "optimizer steps | 3,000", "batch size | 64",
                  "view size | 20 pixels", "peak learning rate | 0.1", "weight decay | 0.0005",
                  "seed | 7", "python | 3.11.7", "torch | 2.14.0"):  # fmt: skip
        assert f"| {cells} |" in text, cells
    assert "vector of 512 numbers" in text and "online and target networks" in text
    assert "nan" not in text and "None" not in text


def test_the_front_matter_is_what_the_hub_reads_and_names_no_licence(tmp_path: Path) -> None:
    _, front, _ = card(tmp_path, config=CONFIG).split("---\n", 2)
    assert front.splitlines() == [
        "library_name: ownlatent", "pipeline_tag: image-feature-extraction", "tags:",
        "- self-supervised-learning", "- image-feature-extraction", "- byol",
    ]  # fmt: skip


def test_before_evaluation_it_says_so(tmp_path: Path) -> None:
    text = card(tmp_path, config=CONFIG)
    assert "Not evaluated yet" in text and "Nothing has been measured yet" in text
    assert "Verdict" not in text


def test_an_encoder_alone_is_enough(tmp_path: Path) -> None:
    text = card(tmp_path, encoder={"backbone": "resnet18"})
    assert "`resnet18`" in text and "Recipe" in text


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    evil = "x |\n# y <script>alert(1)</script> [z](http://a) ![i](b) `c` **d**\n---\nlicense: mit"
    result = {**EVALUATION["results"][0], "features": evil, "protocol": evil, "details": evil}  # type: ignore[index]
    text = card(
        tmp_path,
        encoder={**ENCODER, "backbone": evil, "networks": [evil], "provenance": {"method": evil}},
        config={"asked": {"preset": evil}, "data": {"summary": evil}, "versions": {evil: evil}},
        verdict={"verdict": evil, "why": evil, "advice": evil},
        evaluation={"results": [result]},
    )
    assert "<script" not in text.lower() and not re.search(r"(?<!\\)(\]\(|!|\*\*d)", text)
    assert "\nlicense:" not in text and text.count("\n---\n") == 1
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert all("y" not in line or line.startswith(("# my", "## ")) for line in headings)
    for line in text.splitlines():
        if line.startswith("| ") and "x" in line and "alert" in line:
            assert line.replace("\\|", "").count("|") in (3, 8)
