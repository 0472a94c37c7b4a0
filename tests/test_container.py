"""The container file, as far as it can be judged without building it."""

import fnmatch
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Containerfile").read_text()


def steps() -> list[tuple[str, str]]:
    """Its instructions and what they are given, comments and line ends taken out."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (x.partition(" ") for x in joined.splitlines() if x)]


def ignored(path: str) -> bool:
    """By .dockerignore: the last rule that fits decides; a folder's is its files'."""
    verdict = False
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if rule and not rule.startswith("#"):
            kept, pattern = rule.startswith("!"), rule.lstrip("!")
            forms = [pattern, f"{pattern}/*", pattern.replace("**/", "*/") + "/*"]
            if any(fnmatch.fnmatch(path, form) for form in forms):
                verdict = not kept
    return verdict


def test_what_is_copied_is_there_and_sent() -> None:
    copies = [shlex.split(rest) for word, rest in steps() if word == "COPY"]
    sources = [name for each in copies if not each[0].startswith("--") for name in each[:-1]]
    assert {"pyproject.toml", "requirements.lock", "src"} <= set(sources)
    for name in sources:
        assert (ROOT / name).exists() and not ignored(name), name
    assert not ignored("src/ownlatent/cli/__init__.py")
    for name in (".git/config", ".venv/bin/python", "runs/a/log.jsonl", "tests/test_cli.py"):
        assert ignored(name), name
    assert ignored("src/ownlatent/__pycache__/encoder.pyc")


def test_the_build_has_what_the_package_is_built_from() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = " ".join(rest for word, rest in steps() if word == "COPY").split()
    assert {project["readme"], *project["license-files"]} <= set(copied)


def test_it_is_pinned_and_names_no_host() -> None:
    installs = [rest for word, rest in steps() if word == "RUN" and "uv pip install" in rest]
    assert installs
    for each in installs:
        assert "--constraint requirements.lock" in each or "--no-deps" in each, each
    assert "://" not in TEXT
    images = [rest.split()[0] for word, rest in steps() if word == "FROM"]
    assert set(images) == {"python:${PYTHON}-slim"}


def test_it_runs_as_nobody_in_particular() -> None:
    words = [word for word, _ in steps()]
    last = len(words) - words[::-1].index("FROM")
    final = steps()[last:]
    users = [rest for word, rest in final if word == "USER"]
    assert users == ["1000"] and "root" not in users  # by number, which clusters ask for
    assert ("ENTRYPOINT", '["ownlatent"]') in final
    assert [w for w, _ in final].index("USER") < [w for w, _ in final].index("ENTRYPOINT")
    assert not [rest for word, rest in final if word == "RUN" and "pip install" in rest]
