"""The tutorials do what they say: their code is run, in order, and prints what they show.

Of each page in docs/tutorials the ``python`` and ``sh`` blocks are run in an empty folder, and a
``text`` block is what the block before it printed, ``...`` standing for what differs from run to
run; spaces and empty lines do not count. A command whose comment says ``exit code 1`` must end so;
all others must succeed. Blocks in other languages are only to be read.
"""

import contextlib
import difflib
import io
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from ownlatent.cli import main
from ownlatent.methods import METHODS

ROOT = Path(__file__).parents[1]
DOTS = re.compile(r"(?:\\\.){3}(?!\\\.)")  # the last three of several, escaped
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@contextlib.contextmanager
def heard(example: Example) -> Iterator[io.StringIO]:
    """Keep what a block prints, on either stream and in the log, for the block after it."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("ownlatent")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield said
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        example.namespace["_said"] = said.getvalue()


def run_python(example: Example) -> str | None:
    with heard(example):
        return PythonEvaluator()(example)


def run_shell(example: Example) -> str | None:
    with heard(example) as said:
        for command in example.parsed.replace("\\\n", " ").splitlines():
            words = shlex.split(command, comments=True)
            if not words:
                continue
            code = run_words(words, command, said)
            due = re.search(r"# .*\bexit code (\d+)", command)
            if code != (int(due[1]) if due else 0):
                return f"{command}\nended with exit code {code}, saying:\n{said.getvalue()}"
    return None


def run_words(words: list[str], command: str, said: io.StringIO) -> int:
    """Our own command in this process, which has torch already; others in a shell."""
    if words[0] == "ownlatent" and not set(words) & {"|", "&&", ";", ">"}:
        try:
            main(words[1:])
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0
    places = (str(ROOT / "src"), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    said.write(done.stdout)
    return done.returncode


def compare(example: Example) -> str | None:
    got = example.namespace.pop("_said", None)
    if got is None:
        return "no block before this one printed anything"
    if pattern(example.parsed).fullmatch("\n".join(tidy(got)) + "\n"):
        return None
    return "\n".join(["not what was printed:", *difflib.ndiff(tidy(example.parsed), tidy(got))])


def pattern(shown: str) -> re.Pattern[str]:
    """What may be printed: a line of dots is any lines or none, dots within a line are anything."""
    lines = [
        r"(?:.*\n)*" if line == "..." else DOTS.sub(".*", re.escape(line)) + r"\n"
        for line in tidy(shown)
    ]
    return re.compile("".join(lines))


def tidy(text: str) -> list[str]:
    """Lines that are not empty, with one space where there are several."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


SYBIL = Sybil(
    parsers=[
        CodeBlockParser("python", run_python),
        CodeBlockParser("sh", run_shell),
        CodeBlockParser("text", compare),
    ]
)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, and the table of methods as it was afterwards."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    known = dict(METHODS)
    yield tmp_path
    METHODS.clear()
    METHODS.update(known)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_tutorial(page: Path, desk: Path) -> None:
    for example in SYBIL.parse(page).examples():
        example.evaluate()


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```python\nassert 1 == 2\n```\n", "AssertionError"),
        ("```sh\nownlatent evaluate nowhere --data nowhere\n```\n", "exit code 2"),
        ("```sh\nfalse\n```\n", "exit code 1"),
        ("```sh\ntrue  # exit code 1\n```\n", "exit code 0"),
        ("```python\nprint('a')\n```\n\n```text\nb\n```\n", "not what was printed"),
        ("```text\nb\n```\n", "no block before"),
    ],
)
def test_a_page_that_is_wrong_is_found(page: str, complaint: str, desk: Path) -> None:
    (desk / "page.md").write_text(page)
    with pytest.raises(Exception) as found:
        for example in SYBIL.parse(desk / "page.md").examples():
            example.evaluate()
    assert complaint in f"{found.type.__name__} {found.value}"
