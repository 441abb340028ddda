"""Find every bad row of a manifest without rendering any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jobs.rules import model_rules, watch_negatives
from manifests.columns import ColumnMap
from manifests.errors import ManifestError
from manifests.files import find_files
from manifests.row import BadRow
from manifests.rows import parse_rows
from manifests.survey import survey
from manifests.validate import RowRules
from workers.model import inspect_model


def check_manifest(
    paths: Sequence[str],
    columns: ColumnMap,
    model: str | None,
    limit: int | None,
    given: Mapping[str, Any],
    warn: Callable[[str], None],
) -> Iterator[tuple[int, str | None]]:
    """For every row how many were read so far, and `file:line: field: reason` if it is bad.

    With a model, sizes and arguments are checked against it; its weights are not loaded. `given` are a job's own
    settings for rows that name none, like `width`; `warn` is told what is not wrong, and yet hardly meant.
    Raises ManifestError where a file cannot be read or holds no row, ModelError where the model cannot be described,
    SpecError where a column is to be read from one that no row has, or one of `given` is nothing that the model takes.
    """
    files = find_files(paths)
    seen = inspect_model(model) if model else None
    rules = model_rules(seen, given) if seen else RowRules(**given)
    if columns.options:
        survey(files, columns, limit)
    count = 0
    rows = parse_rows(files, columns, rules, limit)
    for row in watch_negatives(rows, seen, given, warn) if seen else rows:
        count += 1
        yield count, row.line() if isinstance(row, BadRow) else None
    if not count:
        raise ManifestError(f"{', '.join(paths)}: no row in it; a manifest needs at least one")
