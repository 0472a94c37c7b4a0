"""MLflow: a tracking server, or a database file."""

import logging
import os
import re
import time
from pathlib import Path
from typing import Any

from ownlatent.tracking.tracker import Facts, flat

_STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_BATCH = 100
"""Parameters that MLflow takes at a time."""
_LONGEST = 6000
"""Characters of a parameter that it takes."""


class MLflow:
    """In the store of ``MLFLOW_TRACKING_URI``, or else MLflow's own default, a database in the
    working directory."""

    def __init__(self, folder: Path, note: dict[str, str] | None, start: int) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # A server that is away must not hold a run up for the minutes of MLflow's own seven tries.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # they report on every table that they make
            logging.getLogger(name).setLevel(logging.WARNING)
        store = (note or {}).get("store") or mlflow.get_tracking_uri()
        self._client = MlflowClient(tracking_uri=store)
        if note is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ownlatent")
            known = self._client.get_experiment_by_name(name)
            place = known.experiment_id if known else self._client.create_experiment(name)
            run = self._client.create_run(place, run_name=folder.resolve().name)
            note = {"run": run.info.run_id}
            if store.startswith(("sqlite:", "file:")):  # others may hold a password
                note["store"] = store
        self.note: dict[str, str] | None = note
        self._id = note["run"]
        there = self._client.get_metric_history(self._id, "loss")
        self.last = max((metric.step for metric in there), default=0)

    def settings(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.update_run(self._id, status="RUNNING")
        known = self._client.get_run(self._id).data.params
        params = [
            Param(name, str(value)[:_LONGEST])
            for name, value in flat(values).items()
            if name not in known  # they cannot be changed
        ]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(self._id, params=params[start : start + _BATCH])

    def scalars(self, step: int, values: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_named(k), float(v), now, step) for k, v in values.items()]
        self._client.log_batch(self._id, metrics=metrics)
        self.last = step

    def facts(self, values: Facts) -> None:
        numbers = {k: v for k, v in values.items() if not isinstance(v, str)}
        if numbers:
            self.scalars(self.last, numbers)
        for name in values.keys() - numbers.keys():
            self._client.set_tag(self._id, _named(name), values[name])

    def close(self, state: str | None) -> None:
        if state is not None:
            self._client.set_terminated(self._id, _STATES[state])


def _named(name: str) -> str:
    """A name of the characters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name)
