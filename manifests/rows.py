"""From files to rows: read, validate, find duplicates, stop at the limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from manifests.columns import ColumnMap
from manifests.duplicates import DuplicateIndex
from manifests.files import ManifestFile
from manifests.read import read_records
from manifests.row import BadRow, Row, positional_id
from manifests.validate import RowRules, Validator


def parse_rows(
    files: Sequence[ManifestFile], columns: ColumnMap, rules: RowRules, limit: int | None = None
) -> Iterator[Row | BadRow]:
    """The manifest's first `limit` rows in order, bad ones included. Raises ManifestError where a file is unreadable.

    An id belongs to the first row that carries it, even if that row is bad for another reason: one id never
    stands for two rows in the tables.
    """
    validator = Validator(columns, rules)
    with DuplicateIndex() as seen:
        for record in islice(read_records(files), limit):
            row = validator.parse(record)
            if row.id is None or row.id == positional_id(row.ordinal):
                yield row
                continue
            first = seen.add(row.id, row.source_file, row.source_line)
            if first is None or isinstance(row, BadRow):
                yield row
            else:
                reason = f"{row.id!r}: already the id of {first}"
                yield BadRow(row.ordinal, row.id, row.source_file, row.source_line, "id", reason)
