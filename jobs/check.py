"""Find every bad row of a manifest without rendering any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.rules import model_rules
from manifests.columns import ColumnMap
from manifests.errors import ManifestError
from manifests.files import find_files
from manifests.row import BadRow
from manifests.rows import parse_rows
from manifests.survey import survey
from manifests.validate import RowRules


def check_manifest(
    paths: Sequence[str],
    columns: ColumnMap,
    model: str | None,
    limit: int | None,
    given: Mapping[str, Any] | None = None,
) -> Iterator[tuple[int, str | None]]:
    """For every row how many were read so far, and `file:line: field: reason` if it is bad.

    With a model, sizes and arguments are checked against it; its weights are not loaded. `given` are a job's own
    settings for rows that name none, like `width`.
    Raises ManifestError where a file cannot be read or holds no row, ModelError where the model cannot be described,
    SpecError where a column is to be read from one that no row has, or one of `given` is nothing that the model takes.
    """
    files = find_files(paths)
    rules = inspected_rules(model, given or {})
    if columns.options:
        survey(files, columns, limit)
    count = 0
    for row in parse_rows(files, columns, rules, limit):
        count += 1
        yield count, row.line() if isinstance(row, BadRow) else None
    if not count:
        raise ManifestError(f"{', '.join(paths)}: no row in it; a manifest needs at least one")


def inspected_rules(model: str | None, given: Mapping[str, Any]) -> RowRules:
    """The rules of a model that is looked at and not loaded; without one, what holds for any."""
    if model is None:
        return RowRules(**given)
    from workers.model import inspect_model  # loads diffusers

    return model_rules(inspect_model(model), given)
