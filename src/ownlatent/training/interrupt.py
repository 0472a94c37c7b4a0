"""Ctrl-C and SIGTERM: finish the step, save, and leave."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Stopped(KeyboardInterrupt):
    """The run was asked to stop; it has saved a checkpoint. The message says how to go on.

    Attributes:
        number: of the signal, such as ``signal.SIGTERM``.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Interrupt:
    """While it is entered, SIGINT and SIGTERM are noted instead of obeyed; a second one is obeyed.

    Only a program's main thread can do this; in another one signals act as before.
    """

    def __init__(self) -> None:
        self.number = 0
        """The signal that came, or 0."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
