"""Completion of the command line by a shell's Tab key."""

import contextlib
import io
from dataclasses import dataclass
from typing import Literal

import tyro
from tyro.conf import Positional

_FILES = {
    "bash": ("complete -F", "complete -o bashdefault -o default -F"),
    "zsh": (
        "  # Parse completions into",
        '  [[ -z "$completions" ]] && { _files; return; }\n\n  # Parse completions into',
    ),
    "fish": ("complete --no-files", "complete"),
}
"""What to change for file names where nothing else is known: data and runs are such."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print what makes a shell complete this command line.

    bash: put `source <(ownlatent completion bash)` into ~/.bashrc. zsh: `ownlatent completion zsh >
    _ownlatent` in a folder of $fpath. fish: `ownlatent completion fish >
    ~/.config/fish/completions/ownlatent.fish`. It is written anew after an update.
    """

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """Shell."""

    def __call__(self) -> None:
        print(script(self.shell))


def script(shell: str) -> str:
    """The completion script of a shell."""
    from ownlatent.cli import OPTIONS, Command

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(Command, args=["--tyro-write-completion", shell, "-"], **OPTIONS)
    lines = said.getvalue().rstrip().split("\n")
    # A description of two lines would be read as two things to choose from.
    flat = [x.replace("\\n", " ") if x.startswith("COMPLETION_SPEC") else x for x in lines]
    return "\n".join(flat).replace(*_FILES[shell])
