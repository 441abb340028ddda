"""A manifest's records, streamed: whatever the format, one dict of raw values each, in constant memory."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from manifests.columns import CANONICAL
from manifests.errors import ManifestError, one_line
from manifests.files import ManifestFile, array_error
from manifests.storage import Location

_CHUNK_BYTES = 1 << 20
_MAX_LINE_BYTES = 64 << 20  # a binary file without line breaks must not fill the memory
_BATCH_BYTES = 16 << 20  # of Parquet, decoded at a time
_BATCH_ROWS = 4096
_BOM = b"\xef\xbb\xbf"

Raw = tuple[int, dict[str, Any] | None, str | None]  # line, values, problem: one of the two is None


@dataclass(slots=True)
class Record:
    """One record as it stands in the file: its `values`, or the `problem` where it could not be taken apart."""

    ordinal: int  # position over the whole manifest from 0
    file: str  # URI or absolute path, as shown to users
    line: int  # from 1: the physical line where the record starts; in Parquet the row
    values: dict[str, Any] | None
    problem: str | None
    base: Location  # the file's folder: relative image paths start here


def read_records(files: Sequence[ManifestFile], start: int = 0) -> Iterator[Record]:
    """Every record of the files from the ordinal `start` on. Raises ManifestError where a file cannot be read."""
    ordinal = 0
    for file in files:
        name, base = file.location.uri, file.location.parent
        for line, values, problem in read_raw(file):
            if ordinal >= start:
                yield Record(ordinal, name, line, values, problem, base)
            ordinal += 1


def read_raw(file: ManifestFile) -> Iterator[Raw]:
    """The records of one file as bare tuples. Raises ManifestError where it cannot be read."""
    if file.format == "parquet":
        return _read_parquet(file)
    if file.format == "jsonl":
        return _read_jsonl(file)
    if file.format == "text":
        return _read_text(file)
    return _read_table(file)


def open_parquet(file: ManifestFile) -> pq.ParquetFile:
    """The file with its footer read. Raises ManifestError where it is damaged or names a column twice."""
    try:
        # Without pre-buffering: it would hold a row group, hundreds of megabytes where pictures are inside.
        source = file.location.fs.open_input_file(file.location.path)
        parquet = pq.ParquetFile(source, pre_buffer=False, buffer_size=_CHUNK_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error
    _refuse_repeated(file, parquet.schema_arrow.names)
    return parquet


def _read_parquet(file: ManifestFile) -> Iterator[Raw]:
    parquet = open_parquet(file)
    names, rows = parquet.schema_arrow.names, parquet.metadata.num_rows
    groups = (parquet.metadata.row_group(n) for n in range(parquet.metadata.num_row_groups))
    row_bytes = sum(group.total_byte_size for group in groups) // max(rows, 1) + 1
    batches = parquet.iter_batches(batch_size=min(_BATCH_ROWS, _BATCH_BYTES // row_bytes + 1))
    line = 0
    try:
        for batch in batches:
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True) if columns else [()] * batch.num_rows:
                line += 1
                yield line, {name: cell for name, cell in zip(names, cells, strict=True) if cell is not None}, None
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error
    finally:
        parquet.close(force=True)


def _read_jsonl(file: ManifestFile) -> Iterator[Raw]:
    first = True
    for number, line in _lines(file):
        text = line.strip()
        if not text:
            continue
        if first and text.startswith(b"["):
            raise array_error(file.location.uri)
        first = False
        try:
            values = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            yield number, None, _json_problem(line, error)
            continue
        if type(values) is dict:
            yield number, values, None
        else:
            yield number, None, f"must be a JSON object, not {_JSON_NAMES[type(values)]}"


_JSON_NAMES = {
    list: "an array", str: "a string", int: "a number", float: "a number", bool: "true or false", type(None): "null",
}  # fmt: skip


def _json_problem(line: bytes, error: ValueError) -> str:
    problem = _utf8_problem(line)
    if problem:
        return problem
    hint = "; NaN and Infinity are not JSON, use null" if b"NaN" in line or b"Infinity" in line else ""
    return f"not JSON: {one_line(error).replace('at line 1 column', 'at column')}{hint}"


def _utf8_problem(line: bytes) -> str | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}; save the file as UTF-8"
    return None


def _read_text(file: ManifestFile) -> Iterator[Raw]:
    for number, line in _lines(file):
        if not line.strip():
            continue
        problem = _utf8_problem(line)
        yield number, None if problem else {"prompt": line.decode().removesuffix("\r")}, problem


def _read_table(file: ManifestFile) -> Iterator[Raw]:
    # csv takes text: bytes that are not UTF-8 pass through as surrogates and are found again in their row.
    lines: Iterator[str] = (line.decode("utf-8", "surrogateescape") + "\n" for _, line in _lines(file))
    csv.field_size_limit(_MAX_LINE_BYTES)  # for the whole process; the default of 128 KiB is a short data: URI
    if file.format == "tsv":
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
    else:
        delimiter, lines = _delimiter(lines)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
            if file.format == "tsv":
                cells = [_unquoted(cell) for cell in cells]
            problem = None
        except StopIteration:
            break
        except csv.Error as error:
            cells, problem = [], f"not {file.format.upper()}: {one_line(error)}"
        if header is None and (cells or problem):
            header = _header(file, cells, problem)
        elif problem or cells:
            problem = problem or _cells_problem(cells, header or [])
            yield line, None if problem else _given(header or [], cells), problem
    if header is None:
        raise ManifestError(f"{file.location.uri}: has no header line; the first line must name the columns")


def _delimiter(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """What separates the cells of a CSV file, and its lines.

    What Excel's first line `sep=;` says; or else what sets a name apart that renderay knows, since a comma may be part
    of a name where spreadsheets write semicolons; or else what stands in the header, the comma first.
    """
    ahead: list[str] = []
    for line in lines:
        ahead.append(line)
        if line.strip():
            break
    header = ahead[-1] if ahead else ""
    said = re.fullmatch(r"sep=(.)\r?\n", header)
    if said:
        return said.group(1), chain([*ahead[:-1], "\n"], lines)
    cut = {mark: next(csv.reader([header], delimiter=mark), []) for mark in ",;\t|"}
    several = {mark: names for mark, names in cut.items() if len(names) > 1}
    known = [mark for mark, names in several.items() if any(name.strip().casefold() in CANONICAL for name in names)]
    return next(iter([*known, *several]), ","), chain(ahead, lines)


def _unquoted(cell: str) -> str:
    """TSV has no quoting, and prompts do begin with quotation marks; yet spreadsheets quote whole cells."""
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"':
        return cell
    inner = cell[1:-1].replace('""', "\0")
    return cell if '"' in inner else inner.replace("\0", '"')


def _given(header: list[str], cells: list[str]) -> dict[str, Any]:
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def _cells_problem(cells: list[str], header: list[str]) -> str | None:
    if len(cells) != len(header):
        return f"{len(cells)} cells, the header names {len(header)}; quote cells that hold the delimiter (in CSV)"
    text = "".join(cells)
    if not text.isascii():
        return _utf8_problem(text.encode("utf-8", "surrogateescape"))
    return None


def _header(file: ManifestFile, cells: list[str], problem: str | None) -> list[str]:
    names = [cell.strip() for cell in cells]
    problem = problem or _cells_problem(names, names)
    if problem:
        raise ManifestError(f"{file.location.uri}: header: {problem}")
    if "" in names:
        raise ManifestError(f"{file.location.uri}: header: column {names.index('') + 1} has no name; give it one")
    _refuse_repeated(file, names)
    return names


def _refuse_repeated(file: ManifestFile, names: Sequence[str]) -> None:
    repeated = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if repeated is not None:
        raise ManifestError(f"{file.location.uri}: names the column {repeated!r} twice; rename one")


def _lines(file: ManifestFile) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each physical line, without its line feed and the file's byte order mark."""
    location, number, rest = file.location, 0, b""
    try:
        with location.fs.open_input_stream(location.path, compression=file.compression) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                if len(rest) > _MAX_LINE_BYTES:
                    limit = f"{_MAX_LINE_BYTES >> 20} MiB"
                    raise ManifestError(f"{location.uri}: line {number + len(lines) + 1} is longer than {limit}")
                for line in lines:
                    number += 1
                    yield number, line if number > 1 else line.removeprefix(_BOM)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error
    if rest:
        yield number + 1, rest if number else rest.removeprefix(_BOM)


def _unreadable(file: ManifestFile, error: BaseException) -> ManifestError:
    return ManifestError(f"{file.location.uri}: cannot be read: {one_line(error)}")
