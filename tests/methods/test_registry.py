"""Methods of other packages, and what is said when one is not there or is broken."""

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ownlatent as ol
from ownlatent import methods
from ownlatent.cli import main
from ownlatent.methods import METHODS, find, preset, presets
from ownlatent.methods.registry import names, title
from ownlatent.methods.table import comparison

Install = Callable[[str, dict[str, str], str], None]
PLAIN = """
from ownlatent.methods import SimSiam
class Mine(SimSiam):
    def __init__(self, backbone, *, hidden=16, dim=8, bottleneck=4, note: str | None = None):
        super().__init__(backbone, hidden=hidden, dim=dim, bottleneck=bottleneck)
"""
ROOM = Path(methods.__file__).parent
FILES = sorted(ROOM / f"{name.replace('-', '_')}.py" for name in METHODS)


def one_sentence(error: pytest.ExceptionInfo[ol.UsageError]) -> str:
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text and text[-1] in ".?"
    return text


def images(count: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 16, 16), dtype=np.uint8)


SMALL = {"backbone": "small-resnet", "batch_size": 16, "steps": 2, "precision": "fp32"}


def test_an_entry_point_is_enough(installed: Install, tmp_path: Path) -> None:
    """No about, no presets, no annotations, an optional option: it trains, and is in the table."""
    installed("outside", {"mine": "outside:Mine"}, PLAIN)
    assert names() == [*list(METHODS), "mine"]
    run = ol.pretrain(images(), out=tmp_path / "run", method="mine", hidden=12, **SMALL)
    assert run.config["plan"]["options"]["hidden"] == 12
    assert run.config["plan"]["options"]["note"] is None
    row = comparison()[-1]
    assert (row["method"], row["predictor"], row["moving average"]) == ("mine", "yes", "no")


def test_a_method_put_into_methods_trains(installed: Install, tmp_path: Path) -> None:
    class Mine(methods.SimSiam):
        presets = {}  # noqa: RUF012

    METHODS["mine"] = Mine
    with pytest.raises(ol.UsageError) as error:
        ol.pretrain(images(), out=tmp_path / "no", method="mine", **SMALL)
    assert "no preset" in one_sentence(error)
    Mine.presets = {"small": preset("simsiam")}
    ol.pretrain(images(), out=tmp_path / "run", method="mine", hidden=16, dim=8, **SMALL)


@pytest.mark.parametrize(
    ("points", "code", "says"),
    [
        ({"broken": "outside_broken:Mine"}, "import not_there", "not_there"),
        ({"broken": "outside_broken:Mine"}, "raise ValueError('a\\nb.')", "a b"),
        ({"broken": "outside_broken:Mine"}, "raise ValueError", "ValueError"),
        ({"broken": "outside_broken:Mine"}, "Other = 1", "Mine"),
        ({"broken": "outside_broken:Mine"}, "Mine = 1", "subclass of ownlatent.methods.Method"),
        ({"broken": "outside_broken:Mine"}, "class Mine: pass", "subclass"),
        ({"broken": "outside_nowhere:Mine"}, "", "outside_nowhere"),
    ],
)
def test_a_broken_package(points: dict[str, str], code: str, says: str, installed: Install) -> None:
    installed("outside_broken", points, code)
    with pytest.raises(ol.UsageError) as error:
        find("broken")
    text = one_sentence(error)
    assert says in text and "broken" in text
    rows = comparison()  # the others' table is still there
    assert [row["method"] for row in rows] == [*METHODS, "broken"]
    assert says in rows[-1]["paper"]


@pytest.mark.parametrize(("asked", "near"), [("byoll", "byol"), ("MoCo", "moco"), ("barlow", "ba")])
def test_an_unknown_method(asked: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ol.UsageError, match=f"'{asked}'.*{near}") as error:
        presets(asked)
    one_sentence(error)
    with pytest.raises(SystemExit) as stopped:
        main(["methods", asked])
    assert stopped.value.code == 2 and near in capsys.readouterr().err


def test_a_packages_method_has_near_names_too(installed: Install) -> None:
    installed("outside", {"minerva": "outside:Mine"}, PLAIN)
    with pytest.raises(ol.UsageError, match="did you mean minerva"):
        find("minerwa")


def test_ours_come_before_a_packages_of_the_same_name(installed: Install) -> None:
    installed("outside", {"byol": "outside:Mine"}, PLAIN)
    assert find("byol") is methods.BYOL and names() == list(METHODS)


def test_titles_are_those_in_print() -> None:
    printed = ["BYOL", "SimCLR", "MoCo", "MoCo v3", "SwAV", "SimSiam", "Barlow Twins", "DINO",
               "VICReg", "MAE"]  # fmt: skip
    assert [title(name) for name in METHODS] == printed
    assert title("gone") == "GONE"  # a run of a package that is no longer here


def test_an_unknown_preset() -> None:
    with pytest.raises(ol.UsageError, match=r"paper-100.*imagenette") as error:
        preset("byol", "papper")
    one_sentence(error)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_method_is_one_short_file_that_knows_no_training(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 120
    imported = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            imported.append(node.module or "")
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
    rooms = {name.split(".")[1] for name in imported if name.startswith("ownlatent.")}
    assert rooms <= {"methods", "networks", "objectives", "schedules"}
    others = {name.split(".")[0] for name in imported} - {"ownlatent"}
    assert others <= {"collections", "math", "typing", "torch"}
    assert not any(name.startswith(("torch.optim", "torch.utils")) for name in imported)
