"""Vectors: tables of numbers and categories, views by noise, masks and swaps, an MLP."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from ownlatent.config import Plan, Pretrain
from ownlatent.data.columns import Columns, Encode
from ownlatent.data.opening import check_labels
from ownlatent.data.table import Table, open_table
from ownlatent.errors import UsageError
from ownlatent.kinds.kind import Kind, Looks, describe, require_named
from ownlatent.networks.renorm import replace_batch_norm
from ownlatent.networks.rows import MLPS, ResidualMLP
from ownlatent.views.rows import ROW_RECIPES, RowViews


class Vectors(Kind):
    name = "vectors"
    noun = "rows"
    unit = "inputs"
    backbone: ClassVar = "mlp"

    def open(
        self, data: Any, *, size: int, labelled: bool, label: str | None, like: Any = None
    ) -> Table:
        if not isinstance(data, Table):
            return open_table(data, columns=like, label=label, labelled=labelled)
        if labelled:
            check_labels("the table given", data.labels)
        if like is not None and not _alike(data.columns, like):
            raise UsageError(
                "The table given has other columns than the encoder: give its file or array, so "
                "that it is read with the encoder's columns."
            )
        return data

    def looks(self, config: Pretrain, samples: Table, family: str) -> Looks:
        if config.crops or config.reference or config.size:
            raise UsageError("Rows have no pixels: leave --size, --crops and --reference out.")
        views = config.views or next(iter(ROW_RECIPES))
        return Looks(samples.columns.channels, views, (), ())

    def views(self, config: Pretrain, plan: Plan, samples: Table) -> nn.Module:
        return RowViews(plan.views, samples.columns, samples.values)

    def preprocessing(self, plan: Plan, samples: Table) -> Columns:
        return samples.columns

    def restored(self, stored: dict[str, Any]) -> Columns:
        kept = dict(stored)
        categories = tuple(tuple(str(v) for v in values) for values in kept.pop("categories"))
        columns = Columns(
            names=tuple(str(name) for name in kept.pop("names")),
            categories=categories,
            mean=tuple(float(v) for v in kept.pop("mean")),
            std=tuple(float(v) for v in kept.pop("std")),
            **kept,
        )
        lengths = {len(part) for part in (columns.names, categories, columns.mean, columns.std)}
        if len(lengths) != 1 or not columns.names or columns.channels > 2**20:
            raise TypeError("names, categories, mean and std must be as many")
        return columns

    def preprocess(self, preprocessing: Columns) -> nn.Module:
        return _ToRows(preprocessing)

    def network(
        self, name: str, preprocessing: Columns, size: int, **options: Any
    ) -> tuple[nn.Module, str]:
        norm = options.get("norm", "batch")
        require_named(name, MLPS, self.noun, options)
        net = ResidualMLP(preprocessing.channels, **MLPS[name])
        replace_batch_norm(net, norm)
        return net, describe(name, net, f"{preprocessing.channels} inputs")

    def raw(self, preprocessing: Columns) -> tuple[str, nn.Module]:
        return "raw features", _ToRows(preprocessing)


class _ToRows(nn.Module):
    """Rows ``[B, C]`` to float32 ``[B, D]``, standardised and one-hot."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.columns = columns
        self.encode = Encode(columns)

    def forward(self, rows: Tensor, sizes: None = None) -> Tensor:
        if rows.ndim != 2 or rows.shape[1] != len(self.columns.names):
            raise UsageError(
                f"This encoder takes rows [B, {len(self.columns.names)}]; got {list(rows.shape)}."
            )
        rows = rows.to(self.encode.mean)
        self.columns.require_codes(rows)
        encoded: Tensor = self.encode(rows)
        return encoded

    def tensors(self, rows: Any) -> list[Tensor]:
        """A table, an array or a list of rows as one tensor ``[B, C]``."""
        if isinstance(rows, Sequence) and not isinstance(rows, str):
            try:
                rows = np.asarray(rows)
            except ValueError as error:
                raise UsageError("Rows differ in length: give as many values in each.") from error
        table = KIND.open(rows, size=0, labelled=False, label=None, like=self.columns)
        return [table.values]


def _alike(a: Columns, b: Columns) -> bool:
    return (a.names, a.categories) == (b.names, b.categories)


KIND = Vectors()
