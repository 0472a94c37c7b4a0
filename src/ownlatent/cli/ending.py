"""How a command that cannot go on ends: one sentence, and an exit code."""

import sys
from typing import NoReturn


def end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(code)
