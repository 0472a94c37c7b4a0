"""Completion, asked of the shells themselves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ownlatent.cli import main
from ownlatent.cli.completion import script

# As readline does it: the words, the cursor behind the last, and the function that is registered.
ASK = """
source {script}
registered=$(complete -p ownlatent)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}
name=${{registered##*-F }}; name=${{name%% *}}
$name ownlatent "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    path = tmp_path_factory.mktemp("completion") / "ownlatent.bash"
    path.write_text(script("bash"))
    return path


def completed(path: Path, *words: str) -> list[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", ASK.format(script=path), "bash", "ownlatent", *words],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stderr == ""
    return sorted(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pret"], ["pretrain"]),
        (["re"], ["report", "resume"]),
        (["pretrain", "--acc"], ["--accelerator", "--accumulate"]),
        (["pretrain", "photos/", "--opti"], ["--optimizer"]),
        (["pretrain", "--optimizer", "l"], ["lars"]),
        (["pretrain", "--place", ""], ["auto", "device", "disk", "host", "stream"]),
    ],
)
def test_bash_completes(bash: Path, words: Sequence[str], expected: list[str]) -> None:
    assert completed(bash, *words) == expected


def test_bash_completes_every_command(bash: Path) -> None:
    from typing import get_args

    from ownlatent.cli import Command

    names = {get_args(each)[1].name for each in get_args(Command)}
    assert len(names) > 10 and names <= set(completed(bash, ""))


def test_files_where_nothing_else_is_known(bash: Path) -> None:
    """Data and runs are paths; the scripts as tyro writes them offer nothing for them."""
    asked = f"source {bash}; complete -p ownlatent"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert "-o default" in done.stdout and "-F _tyro_ownlatent ownlatent" in done.stdout
    assert '[[ -z "$completions" ]] && { _files; return; }' in script("zsh")
    assert "--no-files" not in script("fish")


def test_fish_completes(tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish here")
    (tmp_path / "script").write_text(script("fish"))
    (tmp_path / "photos").mkdir()

    def fish(words: str) -> list[str]:
        asked = f"source script; complete -C 'ownlatent {words}'"
        done = subprocess.run(
            ["fish", "-c", asked], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        return [line.split("\t")[0] for line in done.stdout.splitlines() if line]

    assert fish("pret") == ["pretrain"]
    assert fish("pretrain --acc") == ["--accelerator", "--accumulate"]
    assert fish("pretrain pho") == ["photos/"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["completion", shell])
    path = tmp_path / "script"
    path.write_text(capsys.readouterr().out)
    assert "--checkpoint-minutes" in path.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    subprocess.run([shell, "-n", str(path)], check=True, capture_output=True)
