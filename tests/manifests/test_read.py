"""Reading records: every format, every way a file or a line can be broken."""

from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import read
from manifests.errors import ManifestError
from manifests.files import find_files
from manifests.read import Record, read_records


def _read(path: Path, data: bytes) -> list[Record]:
    path.write_bytes(data)
    return list(read_records(find_files([str(path)])))


def _rows(path: Path, data: bytes) -> list[tuple[int, dict[str, Any] | None]]:
    return [(record.line, record.values) for record in _read(path, data)]


def test_jsonl_skips_blank_lines_bom_and_carriage_returns(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n  \n{"prompt": "\xc3\xbc\xe2\x80\xa8"}\n{"prompt": "c", "n": null}'
    assert _rows(tmp_path / "a.jsonl", data) == [
        (1, {"prompt": "a"}),
        (4, {"prompt": "ü\u2028"}),
        (5, {"prompt": "c", "n": None}),
    ]


def test_ordinals_run_over_all_files_and_each_knows_its_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "a.txt").write_text("one\nbad\xff\n", encoding="latin-1")
    (tmp_path / "x" / "b.jsonl").write_text('{"prompt": "two"}\n')
    files = find_files([str(tmp_path / "a.txt"), str(tmp_path / "x" / "b.jsonl")])
    records = list(read_records(files))
    assert [record.ordinal for record in records] == [0, 1, 2]
    assert [record.base.path for record in records] == [str(tmp_path), str(tmp_path), str(tmp_path / "x")]
    assert records[2].file == str(tmp_path / "x" / "b.jsonl")
    assert [(record.ordinal, record.line) for record in read_records(files, start=2)] == [(2, 1)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON: EOF"),
        (b'{"a": 1,}', "not JSON: trailing comma at column 9"),
        (b'{"a": 1} x', "not JSON: trailing characters"),
        (b'{"a": NaN}', "NaN and Infinity are not JSON"),
        (b'{"a": -Infinity}', "NaN and Infinity are not JSON"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff at column 8"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b"[" * 5000, "not JSON: recursion limit"),
        (b'"text"', "must be a JSON object, not a string"),
        (b"3", "must be a JSON object, not a number"),
        (b"true", "must be a JSON object, not true or false"),
        (b"null", "must be a JSON object, not null"),
        (b"[1]", "must be a JSON object, not an array"),
    ],
)
def test_a_broken_json_line_is_a_problem_and_reading_goes_on(tmp_path: Path, line: bytes, reason: str) -> None:
    records = _read(tmp_path / "a.jsonl", b'{"prompt": "a"}\n' + line + b'\n{"prompt": "c"}\n')
    assert [record.line for record in records] == [1, 2, 3]
    assert records[1].values is None and reason in (records[1].problem or "")
    assert records[2].values == {"prompt": "c"} and records[2].problem is None


def test_a_json_array_under_any_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="JSON array"):
        _read(tmp_path / "a.jsonl", b'[\n{"prompt": "a"}\n]\n')


def test_csv_quotes_newlines_and_lines(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfid, prompt,width\r\na,"one\r\ntwo, ""three""",\r\n\r\nb,x,5\n'
    assert _rows(tmp_path / "a.csv", data) == [
        (2, {"id": "a", "prompt": 'one\r\ntwo, "three"'}),
        (5, {"id": "b", "prompt": "x", "width": "5"}),
    ]


def test_tsv_and_large_cells(tmp_path: Path) -> None:
    large = "x" * 300_000
    assert _rows(tmp_path / "a.tsv", f"prompt\tk\na, b\t{large}\n".encode()) == [(2, {"prompt": "a, b", "k": large})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a", "1 cells, the header names 2"),
        (b"a,b,c", "3 cells, the header names 2"),
        (b'"a"b,c', "not CSV"),
        (b"a,\xff", "not UTF-8: byte 0xff"),
        (b"a\rb,c", "not CSV"),
    ],
)
def test_a_broken_csv_row_is_a_problem_and_reading_goes_on(tmp_path: Path, line: bytes, reason: str) -> None:
    records = _read(tmp_path / "a.csv", b"id,prompt\n" + line + b"\nz,last\n")
    assert [record.line for record in records] == [2, 3]
    assert records[0].values is None and reason in (records[0].problem or "")
    assert records[1].values == {"id": "z", "prompt": "last"}


def test_a_quote_left_open_is_a_problem_of_its_first_line(tmp_path: Path) -> None:
    records = _read(tmp_path / "a.csv", b'id,prompt\na,b\nc,"open\nd,e\n')
    assert [(record.line, record.values is None) for record in records] == [(2, False), (3, True)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"id,id\n", "'id' twice"),
        (b"id,,x\n", "column 2 has no name"),
        (b"id,\xff\n", "not UTF-8"),
        (b'"id\n', "header"),
    ],
)
def test_a_header_that_names_no_columns_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        _read(tmp_path / "a.csv", data)


def test_text_is_one_prompt_a_line(tmp_path: Path) -> None:
    records = _read(tmp_path / "a.txt", b"\xef\xbb\xbfa cat\r\n\n bad \xff\n  a dog ")
    assert [(record.line, record.values) for record in records] == [
        (1, {"prompt": "a cat"}),
        (3, None),
        (4, {"prompt": "  a dog "}),
    ]
    assert records[1].problem == "not UTF-8: byte 0xff at column 6; save the file as UTF-8"


def test_lines_are_found_across_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_CHUNK_BYTES", 3)
    assert _rows(tmp_path / "a.txt", b"a long line\n\nb\nno end") == [
        (1, {"prompt": "a long line"}),
        (3, {"prompt": "b"}),
        (4, {"prompt": "no end"}),
    ]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_CHUNK_BYTES", 100)
    monkeypatch.setattr(read, "_MAX_LINE_BYTES", 1000)
    with pytest.raises(ManifestError, match="line 2 is longer"):
        _read(tmp_path / "a.txt", b"a\n" + b"x" * 5000)


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2"])
def test_compressed_files_read_the_same(tmp_path: Path, suffix: str) -> None:
    data = b'{"prompt": "a"}\n{"prompt": "b"}'
    packed = {
        "gz": gzip.compress(data[:16]) + gzip.compress(data[16:]),  # parts joined, as `cat` does
        "zst": pa.compress(data, "zstd", asbytes=True),
        "bz2": bz2.compress(data),
    }
    assert [values for _, values in _rows(tmp_path / f"a.jsonl.{suffix}", packed[suffix])] == [
        {"prompt": "a"},
        {"prompt": "b"},
    ]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(5000))
    damaged = {"a.txt.gz": b"plain", "b.txt.gz": whole[:-500], "c.parquet": b"PAR1 no", "d.csv.bz2": b"x"}
    for name, data in damaged.items():
        with pytest.raises(ManifestError, match=name.replace(".", r"\.")):
            _read(tmp_path / name, data)


def test_a_parquet_file_damaged_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": [os.urandom(20).hex() for _ in range(2000)]}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[4:4000] = bytes(3996)
    with pytest.raises(ManifestError, match=r"a\.parquet"):
        _read(path, bytes(data))


def test_parquet_nulls_structs_and_row_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    image = pa.array(
        [{"bytes": b"png", "path": None}, None, {"bytes": None, "path": "x.png"}],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"prompt": ["a", None, "c"], "width": pa.array([None, 64, None], pa.int32()), "image": image})
    pq.write_table(table, path, row_group_size=2)
    assert _rows(path, path.read_bytes()) == [
        (1, {"prompt": "a", "image": {"bytes": b"png", "path": None}}),
        (2, {"width": 64}),
        (3, {"prompt": "c", "image": {"bytes": None, "path": "x.png"}}),
    ]


def test_parquet_with_pictures_is_read_in_small_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pictures = [os.urandom(1 << 20) for _ in range(96)]
    table = pa.table({"prompt": ["a"] * 96, "image": pictures})
    # Small pages: the reader holds one whole, and pyarrow's own default puts 1024 pictures in it.
    pq.write_table(table, path, use_dictionary=False, compression="none", write_batch_size=4)
    files = find_files([str(path)])
    before = pa.total_allocated_bytes()
    peak, count = 0, 0
    for record in read_records(files):
        assert record.values is not None and record.values["image"] == pictures[count]
        count += 1
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert count == 96 and peak < 48 << 20


def test_parquet_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([["a"], ["b"]], names=["prompt", "prompt"]), path)
    with pytest.raises(ManifestError, match="'prompt' twice"):
        _read(path, path.read_bytes())


def test_empty_files_give_no_record(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.txt"):
        assert _read(tmp_path / name, b"") == []
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert list(read_records(find_files([str(tmp_path / "a.parquet")]))) == []


def test_tsv_keeps_quotation_marks_and_undoes_whole_cell_quoting(tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    path.write_text('prompt\tnote\n"G I G G L E" painted on a wall\tx\n"say ""hi"""\t"plain"\n"open\ty\n')
    found = [record.values for record in read_records(find_files([str(path)]))]
    assert found == [
        {"prompt": '"G I G G L E" painted on a wall', "note": "x"},
        {"prompt": 'say "hi"', "note": "plain"},
        {"prompt": '"open', "note": "y"},
    ]


@pytest.mark.parametrize(
    "data",
    [
        'id;prompt;guidance_scale\na;"one; ""two"", three";3,5\n',
        'sep=;\r\nid;prompt;guidance_scale\r\na;"one; ""two"", three";3,5\r\n',
        '\n"id";"prompt";"guidance_scale"\n"a";"one; ""two"", three";"3,5"\n',
        'id\tprompt\tguidance_scale\na\t"one; ""two"", three"\t3,5\n',
        'id|prompt|guidance_scale\na|"one; ""two"", three"|3,5\n',
        'id,prompt,guidance_scale\na,"one; ""two"", three","3,5"\n',
    ],
)
def test_csv_as_spreadsheets_of_other_countries_write_it(tmp_path: Path, data: str) -> None:
    found = [record.values for record in _read(tmp_path / "a.csv", data.encode())]
    assert found == [{"id": "a", "prompt": 'one; "two", three', "guidance_scale": "3,5"}]


def test_a_comma_inside_a_name_is_no_delimiter(tmp_path: Path) -> None:
    assert _rows(tmp_path / "a.csv", b"Prompt;style, mood\na fox, red;x\n") == [
        (2, {"Prompt": "a fox, red", "style, mood": "x"})
    ]
    quoted = b'"style, mood";"prompt";"seed"\n"x";"a fox, red";3\n'
    assert _rows(tmp_path / "b.csv", quoted) == [(2, {"style, mood": "x", "prompt": "a fox, red", "seed": "3"})]


def test_a_comma_in_the_header_settles_it_and_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert _rows(tmp_path / "a.csv", b"prompt,a;b\nx;y,z\n") == [(2, {"prompt": "x;y", "a;b": "z"})]
    assert _rows(tmp_path / "b.csv", b'"prompt; long"\na; b\n') == [(2, {"prompt; long": "a; b"})]
    assert _rows(tmp_path / "d.csv", b"prompt,seed;x,y\na,b,c\n") == [(2, {"prompt": "a", "seed;x": "b", "y": "c"})]
    assert _rows(tmp_path / "c.csv", b"sep=;\nprompt;n\na;1\n") == [(3, {"prompt": "a", "n": "1"})]
