"""Where a step's time goes."""

import time


class Clock:
    """Adds up the seconds between laps under a name each.

    On a GPU the laps measure what the host waits for, not the device's own time.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        """Begin a lap without counting what came before."""
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Count the time since the last lap as ``name``'s."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def share(self, *names: str) -> float:
        """The part of all counted time that ``names`` took, in [0, 1]."""
        return sum(self.seconds.get(name, 0.0) for name in names) / max(self.total, 1e-9)
