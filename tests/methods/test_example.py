"""The example of docs/add-a-method.md, installed beside the library as its readers would."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ownlatent as ol
from ownlatent.demo import TEST
from ownlatent.methods import METHODS, find
from ownlatent.methods.table import comparison

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tico"
CODE = (EXAMPLE / "ownlatent_tico.py").read_text()
POINTS = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
FAST = (
    "--method tico --set hidden=32 dim=16 --backbone small-resnet --size 16 --batch-size 32 "
    "--steps 3 --log-every 1 --precision fp32 --warmup-epochs 0 --crops 1"
)


@pytest.fixture
def tico(installed: Any) -> Any:
    installed("ownlatent_tico", POINTS["ownlatent.methods"], CODE)
    yield find("tico")
    sys.modules.pop("ownlatent_tico", None)


class Flat(nn.Module):
    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :6]


def test_the_document_quotes_the_files() -> None:
    text = (ROOT / "docs" / "add-a-method.md").read_text()
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.DOTALL)
    assert CODE in blocks
    assert (EXAMPLE / "pyproject.toml").read_text() in blocks


def test_it_is_found_and_listed(tico: Any) -> None:
    row = next(row for row in comparison() if row["method"] == "tico")
    assert (row["moving average"], row["stop-gradient"]) == ("0.97 to 1", "target")
    assert row["paper"] == "Zhu et al., 2022"


def test_its_loss_is_the_equation(tico: Any) -> None:
    """1 - z . z' + rho z C z with C = beta C + (1 - beta) mean(z z), view by view, in numpy."""
    torch.manual_seed(0)
    method = tico(Flat(), hidden=8, dim=4).double()
    views = [torch.randn(16, 3, 2, 2, dtype=torch.float64) for _ in range(3)]
    before = np.zeros((4, 4))
    for step in range(2):
        z = [method.online(view)[1].detach().numpy() for view in views]
        t = [method.target(view)[1].numpy() for view in views[:2]]
        z = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in z]
        t = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in t]
        losses = []
        for i, j in [(0, 1), (1, 0), (2, 0), (2, 1)]:
            moment = 0.9 * before + 0.1 * z[i].T @ z[i] / 16
            contrast = np.einsum("ni,ij,nj->n", z[i], moment, z[i])
            losses.append(np.mean(1 - (z[i] * t[j]).sum(1) + 20 * contrast))
        outcome = method(views)
        assert outcome.loss.item() == pytest.approx(np.mean(losses), rel=1e-12)
        method.after_step(step, 2, outcome.kept)
        before = 0.9 * before + 0.1 * (z[0].T @ z[0] + z[1].T @ z[1]) / 32
        np.testing.assert_allclose(method.moment.numpy(), before, rtol=1e-12)


def test_one_process_is_two_by_the_command(tmp_path: Path, lay_down: Any) -> None:
    """As the document tells its readers to test a method of theirs; with a local crop."""
    (tmp_path / "site").mkdir()
    lay_down(tmp_path / "site", "ownlatent_tico", POINTS["ownlatent.methods"], CODE)
    paths = [str(tmp_path / "site"), str(ROOT / "src")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    logs = []
    for world in (1, 2):
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
        command = [sys.executable, *(launcher if world > 1 else []), "-m", "ownlatent"]
        done = subprocess.run(
            [*command, "pretrain", TEST, *FAST.split(), "--out", f"run{world}"],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        logs.append(ol.Run(tmp_path / f"run{world}").log)
    # In float32 rounding grows from step to step.
    for one, two, tolerance in zip(*logs, (1e-5, 1e-3, 1e-2), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=tolerance)


def test_it_is_gone_with_its_package() -> None:
    assert "tico" not in METHODS
