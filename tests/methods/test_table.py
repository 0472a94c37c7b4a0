"""The comparison against METHODS.md §0, and the presets against §1-§8: tables written by hand."""

import json
from typing import Any

import pytest

from ownlatent.cli import main
from ownlatent.methods import METHODS, Preset, preset, presets
from ownlatent.methods.options import defaults
from ownlatent.methods.page import markdown, page
from ownlatent.methods.table import brief, comparison, details

# METHODS.md §0: negatives, queue, moving average, predictor, stop-gradient, prototypes, what
# prevents collapse; the batch is that of the published run.
COMPARISON = {
    "byol": ("no", "no", "0.996 to 1", "yes", "target", "no", "predictor", "4,096"),
    "simclr": ("the batch's", "optional", "no", "no", "no", "no", "negatives", "4,096"),
    "moco": ("earlier batches'", "65,536", "0.999", "no", "keys", "no", "negatives", "256"),
    "moco3": ("the batch's", "no", "0.996 to 1", "yes", "keys", "no", "negatives", "4,096"),
    "swav": ("no", "optional", "no", "no", "assignments", "3,000", "equipartition", "4,096"),
    "simsiam": ("no", "no", "no", "yes", "target", "no", "stop-gradient and predictor", "512"),
    "barlow-twins": ("no", "no", "no", "no", "no", "no", "decorrelation", "2,048"),
    "dino": ("no", "no", "0.996 to 1", "no", "teacher", "65,536", "centring", "1,024"),
    "vicreg": ("no", "no", "no", "no", "no", "no", "variance hinge", "2,048"),
    "mae": ("no", "no", "no", "no", "no", "no", "targets are pixels", "4,096"),
}
COLUMNS = (
    "negatives", "queue", "moving average", "predictor", "stop-gradient", "prototypes",
    "prevents collapse", "batch",
)  # fmt: skip
# ImageNet linear accuracy in print (METHODS.md, Results of each method).
TOP1 = {
    "byol": ["74.3"], "simclr": ["69.3", "71.7"], "moco": ["60.6", "67.7", "71.1"],
    "moco3": ["68.9", "72.8", "74.6"], "swav": ["75.3", "71.8"], "simsiam": ["68.1", "71.3"],
    "barlow-twins": ["73.2"], "dino": ["75.3", "77.0"], "vicreg": ["73.2"], "mae": ["68.0", "75.8"],
}  # fmt: skip


def test_the_comparison_is_that_of_the_papers() -> None:
    rows = {row["method"]: row for row in comparison()}
    assert list(rows) == list(COMPARISON) == list(METHODS) == list(TOP1)
    for name, facts in COMPARISON.items():
        for column, fact in zip(COLUMNS, facts, strict=True):
            found = rows[name][column]
            same = found.startswith(fact) if column == "prevents collapse" else found == fact
            assert same, (name, column, found)
        assert all(number in rows[name]["ImageNet linear top-1"] for number in TOP1[name])


# epochs, batch, optimizer, base lr, weight decay, warm-up (METHODS.md, Optim. of each method; of
# DINO the commands of its README: 8 processes of 64 images); then options, and fields not as usual.
_SWAV = {"crops": 6, "final_lr": 1e-3, "decay_all": True}
_SWAV_OPTIONS = {
    "hidden": 2048, "dim": 128, "prototypes": 3000, "temperature": 0.1, "epsilon": 0.05,
    "iterations": 3, "freeze": 1,
}  # fmt: skip
_DINO = {"clip": 3.0}
_DINO_OPTIONS = {
    "hidden": 2048, "bottleneck": 256, "prototypes": 65536, "tau": 0.996, "temperature": 0.1,
    "teacher_start": 0.04, "center_momentum": 0.9, "head_norm": False, "freeze": 1,
}  # fmt: skip
_VICREG = {"hidden": 8192, "dim": 8192, "invariance": 25, "variance": 25, "covariance": 1}
_BYOL = {"hidden": 4096, "dim": 256}
_MOCO = {"decay_all": True, "bn_group": 32}  # 256 images on 8 GPUs
_MOCO_OPTIONS = {"dim": 128, "queue": 65536, "tau": 0.999, "symmetric": False}
_MOCO3 = {"hidden": 4096, "dim": 256, "layers": 2, "predictor_norm": False, "temperature": 1.0}
_SIMSIAM = {"decay_all": True, "predictor_fixed": True}
_SIMSIAM_OPTIONS = {"hidden": 2048, "dim": 2048, "bottleneck": 512}
_SIMCLR = {"hidden": 0, "dim": 128, "temperature": 0.1, "memory": 0}
Case = tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]
PAPERS: dict[tuple[str, str], Case] = {
    ("byol", "paper-40"): ((40, 4096, "lars", 0.45, 1e-6, 10), _BYOL | {"tau": 0.97}, {}),
    ("byol", "paper-100"): ((100, 4096, "lars", 0.45, 1e-6, 10), _BYOL | {"tau": 0.99}, {}),
    ("byol", "paper-300"): ((300, 4096, "lars", 0.3, 1e-6, 10), _BYOL | {"tau": 0.99}, {}),
    ("byol", "paper-1000"): ((1000, 4096, "lars", 0.2, 1.5e-6, 10), _BYOL | {"tau": 0.996}, {}),
    ("byol", "paper-512"): ((1000, 512, "lars", 0.4, 1.5e-6, 10), _BYOL | {"tau": 0.9995}, {}),
    ("byol", "imagenette"): ((1000, 256, "lars", 2.0, 1e-6, 10), _BYOL | {"tau": 0.996}, {}),
    ("simclr", "paper-100"): (
        (100, 4096, "lars-simclr", 0.3, 1e-6, 10), _SIMCLR | {"layers": 2}, {}
    ),
    ("simclr", "paper-1000"): (
        (1000, 4096, "lars-simclr", 0.3, 1e-6, 10), _SIMCLR | {"layers": 2}, {}
    ),
    ("simclr", "v2"): ((800, 4096, "lars-simclr", 0.3, 1e-4, 10), _SIMCLR | {"layers": 3}, {}),
    ("moco", "v1"): (
        (200, 256, "sgd", 0.03, 1e-4, 0),
        _MOCO_OPTIONS | {"head": "linear", "temperature": 0.07},
        _MOCO | {"schedule": "steps"},
    ),
    ("moco", "v2-200"): (
        (200, 256, "sgd", 0.03, 1e-4, 0),
        _MOCO_OPTIONS | {"head": "mlp", "hidden": 0, "temperature": 0.2},
        _MOCO,
    ),
    ("moco", "v2-800"): (
        (800, 256, "sgd", 0.03, 1e-4, 0),
        _MOCO_OPTIONS | {"head": "mlp", "hidden": 0, "temperature": 0.2},
        _MOCO,
    ),
    ("moco3", "paper-100"): ((100, 4096, "lars", 0.6, 1e-6, 10), _MOCO3 | {"tau": 0.99}, {}),
    ("moco3", "paper-300"): ((300, 4096, "lars", 0.3, 1e-6, 10), _MOCO3 | {"tau": 0.99}, {}),
    ("moco3", "paper-1000"): ((1000, 4096, "lars", 0.3, 1.5e-6, 10), _MOCO3 | {"tau": 0.996}, {}),
    ("moco3", "vit"): (
        (300, 4096, "adamw", 1.5e-4, 0.1, 40),
        _MOCO3 | {"layers": 3, "predictor_norm": True, "temperature": 0.2, "tau": 0.99},
        {"decay_all": True, "frozen_patches": True},
    ),
    ("swav", "paper"): ((800, 4096, "larc", 0.3, 1e-6, 10), _SWAV_OPTIONS | {"queue": 0}, _SWAV),
    ("swav", "paper-256"): (
        (400, 256, "larc", 0.6, 1e-6, 0),
        _SWAV_OPTIONS | {"queue": 3840, "queue_start": 15},
        _SWAV,
    ),
    ("simsiam", "paper"): (
        (100, 512, "sgd", 0.05, 1e-4, 0), _SIMSIAM_OPTIONS | {"layers": 3}, _SIMSIAM
    ),
    ("simsiam", "cifar"): (
        (800, 512, "sgd", 0.03, 5e-4, 0), _SIMSIAM_OPTIONS | {"layers": 2}, _SIMSIAM
    ),
    ("barlow-twins", "paper"): (
        (1000, 2048, "lars", 0.2, 1e-6, 10),
        {"hidden": 8192, "dim": 8192, "off_diagonal": 0.0051},
        {"final_lr": 1e-3, "bias_lr": 0.0048 / 0.2},
    ),
    ("dino", "paper-100"): (
        (100, 512, "adamw", 5e-4, 0.04, 10),
        _DINO_OPTIONS | {"teacher_end": 0.04, "fixed_length": True},
        _DINO | {"crops": 8, "final_weight_decay": 0.4, "final_lr": 1e-6 / 1e-3},
    ),
    ("dino", "paper-800"): (
        (800, 1024, "adamw", 5e-4, 0.04, 10),
        _DINO_OPTIONS | {"teacher_end": 0.07, "teacher_warmup": 30, "fixed_length": False},
        _DINO | {"crops": 10, "final_weight_decay": 0.4, "final_lr": 1e-6 / 2e-3},
    ),
    ("dino", "resnet"): (
        (100, 512, "sgd", 0.03, 1e-4, 10),
        _DINO_OPTIONS | {"teacher_end": 0.04, "fixed_length": True},
        _DINO | {"crops": 8, "final_lr": 1e-6 / 0.06},
    ),
    ("vicreg", "paper-100"): ((100, 512, "lars", 0.3, 1e-6, 10), _VICREG, {"final_lr": 1e-3}),
    ("vicreg", "paper-1000"): ((1000, 2048, "lars", 0.2, 1e-6, 10), _VICREG, {"final_lr": 1e-3}),
    ("mae", "paper"): (
        (800, 4096, "adamw", 1.5e-4, 0.05, 40),
        {"mask": 0.75, "normalise": True, "width": 512, "depth": 8, "heads": 16}, {},
    ),
}  # fmt: skip
_LISTED = (
    "source", "epochs", "batch_size", "optimizer", "base_lr", "weight_decay", "warmup_epochs",
    "views", "options",
)  # fmt: skip
USUAL = {
    name: field.default
    for name, field in Preset.__dataclass_fields__.items()
    if name not in _LISTED
}


def test_every_preset_of_a_paper_is_listed() -> None:
    assert set(PAPERS) == {(m, p) for m in METHODS for p in presets(m) if p != "small"}
    assert all("small" in presets(name) for name in METHODS)


@pytest.mark.parametrize(("name", "key"), PAPERS)
def test_a_preset_is_the_papers(name: str, key: str) -> None:
    recipe = preset(name, key)
    numbers, options, fields = PAPERS[name, key]
    assert (
        recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.base_lr, recipe.weight_decay,
        recipe.warmup_epochs,
    ) == numbers  # fmt: skip
    assert (defaults(METHODS[name]) | dict(recipe.options)).items() >= options.items()
    for field, usual in USUAL.items():
        expected = fields.get(field, usual)
        found = getattr(recipe, field)
        same = (
            found == pytest.approx(expected) if isinstance(expected, float) else found == expected
        )
        assert same, (field, found, expected)


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("name", [None, *METHODS])
def test_tables_fit_and_cut_no_word(name: str | None, width: int) -> None:
    parts = [comparison()]
    if name is not None:
        known = details(name)
        parts = [known["options"], brief(known["presets"])]
    for rows in parts:
        text = page(rows, width)
        assert all(len(line) <= width for line in text.splitlines())
        assert "…" not in text
        words = set(text.split())
        for row in rows:
            for value in row.values():
                if isinstance(value, str):
                    assert words >= set(value.split()), value


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["methods", "--json"])
    assert [row["method"] for row in json.loads(capsys.readouterr().out)] == list(METHODS)
    main(["methods", "moco", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert {row["option"]: row["default"] for row in shown["options"]} == defaults(METHODS["moco"])
    for row in shown["presets"]:  # complete: a preset can be made from it again
        assert Preset(**{k: v for k, v in row.items() if k != "preset"}) == preset(
            "moco", row["preset"]
        )
    main(["methods", "byol"])
    text = capsys.readouterr().out
    assert "l2 | layer | batch | none" in text and "imagenette" in text


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = markdown(comparison()).splitlines()
    assert len(lines) == 2 + len(METHODS)
    assert len({line.count("|") for line in lines}) == 1
    main(["methods", "vicreg", "--markdown"])
    assert capsys.readouterr().out.startswith("| option | type | default |")


def test_choices_stay_one_cell_in_markdown() -> None:
    lines = markdown(details("byol")["options"]).splitlines()
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
