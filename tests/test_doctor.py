"""Doctor: the facts it must name, and the advice that each condition brings."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ownlatent import doctor
from ownlatent.cli import main
from ownlatent.doctor import Facts, advice, page

GOOD = Facts(
    versions={"python": "3.11.7", "torch": "2.14.0"},
    system="Linux",
    processor="a processor, AVX512",
    cores=8,
    threads=8,
    busy=0.5,
    gpus=["a GPU, 80 GB"],
    driver=True,
    compiler="/usr/bin/g++",
    native_bf16=True,
    images_per_second=5000.0,
    memory=32 * 10**9,
    disk=100 * 10**9,
    gloo=True,
    torchrun=True,
    tensorboard=True,
)


def changed(**facts: Any) -> Facts:
    return Facts(**GOOD.as_dict() | facts)


def test_nothing_to_say_of_a_good_machine() -> None:
    assert advice(GOOD) == []
    assert "Nothing here would slow a run down" in page(GOOD)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"gpus": []}, "CUDA_VISIBLE_DEVICES"),
        ({"gpus": [], "driver": False}, "--backbone small-resnet"),
        ({"gpus": [], "native_bf16": False}, "emulates bf16"),
        ({"compiler": None}, "install g++"),
        ({"threads": 1}, "unset OMP_NUM_THREADS"),
        ({"threads": 64}, "OMP_NUM_THREADS=8"),
        ({"busy": 20.0}, "20 processes share 8 cores"),
        ({"images_per_second": 100.0}, "Decoding is slow (100 images/s"),
        ({"memory": 2 * 10**9}, "2.0 GB of memory"),
        ({"disk": 10**9}, "--keep 1"),
        ({"gloo": False}, "no gloo"),
        ({"torchrun": False}, "torch.distributed.run"),
        ({"tensorboard": False}, "ownlatent[track]"),
    ],
)
def test_each_condition_has_its_sentence(condition: dict[str, Any], says: str) -> None:
    found = [sentence for sentence in advice(changed(**condition)) if says in sentence]
    assert len(found) == 1 and found[0].endswith(".")
    assert says in page(changed(**condition))


def test_here(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert {"ownlatent", "torch", "python"} <= facts["versions"].keys()
    assert facts["cores"] >= 1 and facts["images_per_second"] > 0 and facts["disk"] > 0
    sentences = facts.pop("advice")
    assert sentences == advice(Facts(**facts))


@pytest.mark.parametrize("script", [None, "exit 1", "exec sleep 60", 'echo nothing > "$3"'])
def test_a_compiler_counts_only_if_it_works(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is missing, fails, hangs, or makes what does not run."""
    compiler = tmp_path / "compiler"
    if script is not None:
        compiler.write_text(f"#!/bin/sh\n{script}\n")
        compiler.chmod(0o755)
    monkeypatch.setitem(os.environ, "CXX", str(compiler))
    monkeypatch.setattr(doctor, "_PATIENCE", 0.2)
    assert doctor._begin_compiling()() is None
