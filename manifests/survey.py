"""One pass over a manifest before a job starts: how many rows, and which type each column of its own has."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from typing import Any

import pyarrow as pa

from manifests.columns import ColumnMap
from manifests.errors import ManifestError, SpecError
from manifests.files import ManifestFile
from manifests.read import open_parquet, read_raw

_MAX_EXTRA = 1000  # columns; a manifest that makes up a new key in every row would fill the memory
_INT64 = range(-(2**63), 2**63)
_BY_TYPE = {bool: "bool", int: "int64", float: "float64", str: "string", bytes: "binary", type(None): "null"}
_CANONICAL_INT = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Survey:
    """What a manifest holds.

    `rows` counts records, bad ones included, up to the limit; `extra` gives each column of the manifest's own, in order
    of first appearance, one of "bool", "int64", "float64", "string", "binary", "json".
    """

    rows: int
    extra: dict[str, str]


def survey(files: Sequence[ManifestFile], columns: ColumnMap, limit: int | None = None) -> Survey:
    """Read every record of the first `limit` once; of Parquet only the footers.

    Raises ManifestError where a file cannot be read, or the manifest holds no row or too many columns; SpecError where
    `--column` names a column that no row has.
    """
    rows = 0
    read: dict[str, None] = {}  # as canonical columns, in order
    typed: dict[str, str] = {}  # by what JSON and Parquet say a value is
    cells: dict[str, str] = {}  # by what the text of CSV cells looks like
    order: dict[str, None] = {}
    for file in files:
        left = None if limit is None else limit - rows
        if left is not None and left <= 0:
            break
        kinds = cells if file.format in ("csv", "tsv", "text") else typed
        scan = {"parquet": _scan_parquet, "jsonl": _scan_json}.get(file.format, _scan_cells)
        rows += scan(file, columns.sources, read, left, kinds)
        order |= dict.fromkeys(kinds)
    if not rows:
        raise ManifestError(f"{files[0].location.uri if files else 'manifest'}: holds no row")
    if missing := columns.mapped.keys() - read.keys():
        name = min(missing)
        raise SpecError(
            f"--column {columns.mapped[name]}={name}: no row has a column {name!r}; the manifest's columns are "
            f"{', '.join(map(repr, read | order)) or 'none'}"
        )
    return Survey(rows, {name: _merged(typed.get(name, "null"), cells.get(name, "null")) for name in order})


def _scan_json(
    file: ManifestFile, known: frozenset[str], read: dict[str, None], limit: int | None, kinds: dict[str, str]
) -> int:
    count = 0
    for count, (_, values, _) in enumerate(islice(read_raw(file), limit), 1):  # noqa: B007
        for name, value in (values or {}).items():
            if name in known:
                read[name] = None
                continue
            kind = _BY_TYPE.get(type(value), "json")
            if kind == "int64" and value not in _INT64:
                kind = "json"
            if kind != kinds.get(name):
                _join_into(kinds, name, kind, file)
    return count


def _scan_cells(
    file: ManifestFile, known: frozenset[str], read: dict[str, None], limit: int | None, kinds: dict[str, str]
) -> int:
    count = 0
    for count, (_, values, _) in enumerate(islice(read_raw(file), limit), 1):  # noqa: B007
        for name, text in (values or {}).items():
            if name in known:
                read[name] = None
                continue
            if kinds.get(name) == "string":
                continue
            kind = _cell_kind(text)
            if kind != kinds.get(name):
                _join_into(kinds, name, kind, file)
                if kinds[name] == "json":  # a number here, a word there: a cell is text to begin with
                    kinds[name] = "string"
    return count


def _scan_parquet(
    file: ManifestFile, known: frozenset[str], read: dict[str, None], limit: int | None, kinds: dict[str, str]
) -> int:
    with open_parquet(file) as parquet:
        rows = int(parquet.metadata.num_rows)
        read |= dict.fromkeys(name for name in parquet.schema_arrow.names if name in known)
        for field in parquet.schema_arrow if rows else ():
            if field.name not in known:
                _join_into(kinds, field.name, _arrow_kind(field.type), file)
    return rows if limit is None else min(rows, limit)


def _join_into(kinds: dict[str, str], name: str, kind: str, file: ManifestFile) -> None:
    if name not in kinds and len(kinds) >= _MAX_EXTRA:
        raise ManifestError(
            f"{file.location.uri}: more than {_MAX_EXTRA} columns of its own, {name!r} the last; "
            "put them into one column as an object"
        )
    kinds[name] = _join(kinds.get(name, "null"), kind)


def _join(left: str, right: str) -> str:
    """The narrowest kind that holds both: null is in all, int64 in float64, and everything in json."""
    if left == right or right == "null":
        return left
    if left == "null":
        return right
    return "float64" if {left, right} == {"int64", "float64"} else "json"


def _merged(typed: str, cell: str) -> str:
    if typed == "string" and cell != "null":
        return "string"  # cells that look like numbers are text all the same
    joined = _join(typed, cell)
    return "string" if joined == "null" else joined


def _cell_kind(text: str) -> str:
    """A cell is a number only if writing the number gives the cell back: 007, +5 and 1.10 are names."""
    if _CANONICAL_INT.fullmatch(text):
        return "int64" if int(text) in _INT64 else "string"
    try:
        number = float(text)
    except ValueError:
        return "string"
    return "float64" if math.isfinite(number) and repr(number) == text else "string"


def _arrow_kind(kind: pa.DataType) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        # UUID, JSON text and the like are shown as text whatever they are stored as.
        return "string" if _arrow_kind(kind.storage_type) in ("string", "binary") else "json"
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _arrow_kind(kind.value_type)
    if pa.types.is_null(kind):
        return "null"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "json" if pa.types.is_uint64(kind) else "int64"
    if pa.types.is_floating(kind):
        return "float64"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "binary"
    if pa.types.is_binary_view(kind):
        return "binary"
    return "json" if pa.types.is_nested(kind) else "string"  # text, dates, times, decimals


def cast_extra(value: Any, kind: str) -> Any:
    """The value as the Arrow column of this kind takes it; None stays None.

    Raises ValueError or TypeError where it does not fit, which a surveyed value always does.
    """
    if value is None:
        return None
    if kind == "int64":
        return int(value)
    if kind == "float64":
        return float(value)
    if kind == "string":
        return value if isinstance(value, str) else _plain_scalar(value)
    if kind == "json":
        return json.dumps(_plain(value), ensure_ascii=False)
    return value


def _plain(value: Any) -> Any:
    """The value in JSON's own types, order kept: bytes as base64, not-a-number as null."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else _plain_scalar(value)


def _plain_scalar(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)
