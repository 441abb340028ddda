"""From record to row: defaults, conversions, and every way a row can be bad."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from manifests.columns import CANONICAL, ColumnMap
from manifests.errors import SpecError
from manifests.fields import RESERVED_PARAMS
from manifests.read import Record
from manifests.row import BadRow, ImageRef, Row
from manifests.storage import locate
from manifests.validate import RowRules, Validator

_BASE = locate("/data/set")
_NO_IMAGE = "each image must be a path, a URI, bytes or {bytes, path}, and not empty"


def _parse(values: dict[str, Any] | None, rules: RowRules | None = None, **more: Any) -> Row | BadRow:
    given: dict[str, Any] = {
        "ordinal": 7,
        "file": "m.jsonl",
        "line": 9,
        "problem": None,
        "base": _BASE,
        "columns": (),
    } | more
    columns = ColumnMap(given.pop("columns"))
    return Validator(columns, rules or RowRules()).parse(Record(values=values, **given))


def _row(rules: RowRules | None = None, /, **values: Any) -> Row:
    row = _parse({"prompt": "a cat", **values}, rules)
    assert isinstance(row, Row), row
    return row


def _bad(rules: RowRules | None = None, /, **values: Any) -> BadRow:
    row = _parse({"prompt": "a cat", **values}, rules)
    assert isinstance(row, BadRow), row
    assert "\n" not in row.line()
    return row


def test_a_full_row() -> None:
    row = _row(
        id="a", negative_prompt="", width=640, height=480, steps=20, guidance_scale=3.5, true_cfg_scale=0, seed=5,
        num_images=4, params={"max_sequence_length": 256}, images=["x.png"], tag="t", n=None,
    )  # fmt: skip
    assert row == Row(
        id="a", ordinal=7, source_file="m.jsonl", source_line=9, prompt="a cat", negative_prompt="",
        images=(ImageRef("/data/set/x.png", None),), width=640, height=480, steps=20, guidance_scale=3.5,
        true_cfg_scale=0.0, seed=5, num_images=4, params={"max_sequence_length": 256}, extra={"tag": "t"},
    )  # fmt: skip


def test_a_bare_row_takes_position_and_defaults() -> None:
    row = _row()
    assert (row.id, row.num_images, row.seed, row.params, row.images) == ("row-000000007", 1, None, {}, ())
    assert (row.width, row.height, row.steps, row.guidance_scale, row.true_cfg_scale, row.negative_prompt) == (
        None,
    ) * 6
    rules = RowRules(512, 256, 9, 2.5, 4.0, "ugly")
    row = _row(rules)
    assert (row.width, row.height, row.steps, row.guidance_scale, row.true_cfg_scale) == (512, 256, 9, 2.5, 4.0)
    assert row.negative_prompt == "ugly"
    row = _row(rules, width=64, height=32, steps=1, guidance_scale=0, true_cfg_scale=1, negative_prompt="")
    assert (row.width, row.height, row.steps, row.guidance_scale, row.true_cfg_scale) == (64, 32, 1, 0.0, 1.0)
    assert row.negative_prompt == ""


def test_csv_text_becomes_numbers_and_objects() -> None:
    row = _row(
        width="512", height="256", steps="4", guidance_scale="3.5", seed="1", num_images="2", params='{"a": [1]}'
    )
    assert (row.width, row.height, row.steps, row.guidance_scale, row.seed, row.num_images) == (512, 256, 4, 3.5, 1, 2)
    assert row.params == {"a": [1]}


def test_parquet_floats_maps_and_struct_nulls_are_understood() -> None:
    assert _row(width=512.0).width == 512
    assert _row(params={"a": 1, "b": None}).params == {"a": 1}
    assert _row(params=[("a", 1)]).params == {"a": 1}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", "", "is blank; every row needs one"),
        ("prompt", " \n", "is blank; every row needs one"),
        ("prompt", 5, "5: must be text"),
        ("prompt", ["a"], "a list: must be text"),
        ("negative_prompt", 5, "5: must be text"),
        ("width", 8, "8: must be at least 16"),
        ("width", 16385, "16385: must be at most 16384"),
        ("height", "tall", "tall: must be a whole number"),
        ("height", 512.5, "512.5: must be a whole number"),
        ("height", True, "true: must be a number"),
        ("height", {"a": 1}, "an object: must be a whole number"),
        ("steps", 0, "0: must be at least 1"),
        ("steps", "0", "0: must be at least 1"),
        ("steps", 10001, "10001: must be at most 10000"),
        ("steps", False, "false: must be a number"),
        ("guidance_scale", -0.5, "-0.5: must be a finite number of at least 0"),
        ("guidance_scale", float("nan"), "nan: must be a finite number of at least 0"),
        ("guidance_scale", "inf", "inf: must be a finite number of at least 0"),
        ("guidance_scale", True, "true: must be a number"),
        ("true_cfg_scale", "x", "x: must be a number"),
        ("true_cfg_scale", [1.0], "a list: must be a number"),
        ("num_images", 0, "0: must be at least 1"),
        ("num_images", 1025, "1025: must be at most 1024"),
        ("seed", -1, "-1: must be at least 0; leave it out and it is drawn from the job's seed and the id"),
        ("seed", 2**63 - 1, f"{2**63 - 1}: must be at most {2**63 - 2}, so that seed + num_images fits 64 bits"),
        ("seed", 1.5, "1.5: must be a whole number"),
        ("params", [1], "a list: must be an object, or JSON text of one"),
        ("params", [], "a list: must be an object, or JSON text of one"),
        ("params", [({"a": 1}, 1)], "a list: must be an object, or JSON text of one"),
        ("params", "[1]", "a list: must be an object, or JSON text of one"),
        ("params", "{a", "{a: must be an object, or JSON text of one"),
        ("params", '{"a": NaN}', '{"a": NaN}: must be an object, or JSON text of one'),
        ("images", "", _NO_IMAGE),
        ("image", 5, _NO_IMAGE),
        ("image", b"", _NO_IMAGE),
        ("image", {"bytes": None, "path": None}, _NO_IMAGE),
        ("image", {"url": "x"}, _NO_IMAGE),
        ("images", ["a.png", None], _NO_IMAGE),
        ("image", "data:image/png,abc", "a data: URI must be base64, as data:image/png;base64,..."),
        ("image", "data:image/png;base64,???", "the base64 text of this data: URI is damaged"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_limit(field: str, value: Any, message: str) -> None:
    row = _bad(**{field: value})
    assert (row.field, row.message) == (field, message)
    assert (row.ordinal, row.id, row.source_file, row.source_line) == (7, "row-000000007", "m.jsonl", 9)
    assert row.line() == f"m.jsonl:9: {field}: {message}"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is blank"),
        ("  ", "is blank"),
        (1.5, "must be text or a whole number"),
        (True, "must be text or a whole number"),
        (["a"], "must be text or a whole number"),
        ("ü" * 257, "is 514 bytes long, at most 512 may be"),
        ("a\tb", "control character"),
        ("a\x85", "control character"),
        ("row-000000008", "kept for rows without an id"),
        ("row-1234567890", "kept for rows without an id"),
    ],
)
def test_a_wrong_id_is_refused_and_not_repeated(value: Any, reason: str) -> None:
    row = _bad(id=value)
    assert row.field == "id" and reason in row.message and row.id is None


@pytest.mark.parametrize(
    ("value", "id"),
    [("a/b c", "a/b c"), (5, "5"), ("007", "007"), ("ü" * 256, "ü" * 256), ("row-000000007",) * 2, ("row-5",) * 2],
)
def test_legal_ids(value: Any, id: str) -> None:
    assert _row(id=value).id == id


def test_limits_themselves_are_legal() -> None:
    row = _row(width=16, height=16384, steps=10000, num_images=1024, seed=2**63 - 1 - 1024)
    assert (row.width, row.height, row.steps, row.num_images, row.seed) == (16, 16384, 10000, 1024, 2**63 - 1025)
    assert _bad(seed=2**63 - 1024, num_images=1024).field == "seed"


@pytest.mark.parametrize(
    ("value", "nearest"), [(1000, "992 and 1008"), (17, "16 and 32"), (16383, "16368 and 16384")]
)  # fmt: skip
def test_a_size_off_the_grid_names_the_nearest_legal_ones(value: int, nearest: str) -> None:
    row = _bad(RowRules(size_multiple=16), height=value)
    assert row.message == f"{value}: must be a multiple of 16; nearest: {nearest}"
    assert _row(RowRules(size_multiple=16), height=1008).height == 1008
    assert _bad(RowRules(size_multiple=64), height=20).message.endswith("nearest: 64")


def test_unknown_arguments_are_refused_only_with_a_model() -> None:
    rules = RowRules(parameters=frozenset({"max_sequence_length", "sigmas", "prompt", "output_type"}))
    assert _row(params={"max_sequence_lenght": 1}).params == {"max_sequence_lenght": 1}
    assert _row(rules, params={"sigmas": [1.0]}).params == {"sigmas": [1.0]}
    row = _bad(rules, params={"max_sequence_lenght": 1, "sigmas": []})
    assert row.field == "params"
    assert row.message == (
        "max_sequence_lenght: the pipeline takes no such argument; did you mean max_sequence_length?"
    )  # fmt: skip
    assert _bad(rules, params={"zz": 1}).message.endswith("it takes max_sequence_length, sigmas")
    assert _bad(RowRules(parameters=frozenset()), params={"zz": 1}).message.endswith("it takes none")


@pytest.mark.parametrize("name", [*CANONICAL, *RESERVED_PARAMS])
def test_params_cannot_set_what_a_column_or_renderay_sets(name: str) -> None:
    row = _bad(RowRules(parameters=frozenset({name})), params={name: 1})
    assert row.field == "params" and row.message.startswith(f"{name}: ")


def test_images_in_every_form() -> None:
    encoded = base64.b64encode(b"png").decode()
    forms: list[tuple[Any, ImageRef]] = [
        ("a b.png", ImageRef("/data/set/a b.png", None)),
        ("../x/a.png", ImageRef("/data/x/a.png", None)),
        ("/abs/a.png", ImageRef("/abs/a.png", None)),
        ("s3://bucket/a.png", ImageRef("s3://bucket/a.png", None)),
        (b"png", ImageRef(None, b"png")),
        ({"bytes": b"png", "path": "a.png"}, ImageRef(None, b"png")),
        ({"bytes": None, "path": "a.png"}, ImageRef("/data/set/a.png", None)),
        ({"path": "a.png"}, ImageRef("/data/set/a.png", None)),
        (f"data:image/png;base64,{encoded}", ImageRef(None, b"png")),
    ]
    for value, expected in forms:
        assert _row(image=value).images == (expected,)
    assert _row(images=[value for value, _ in forms]).images == tuple(ref for _, ref in forms)
    assert _row(images=[]).images == ()


def test_relative_images_of_a_remote_manifest_stay_remote() -> None:
    base = locate("memory://bucket/set")
    row = _parse({"prompt": "p", "images": ["a.png", "../b.png", "/local.png"]}, base=base)
    assert isinstance(row, Row)
    assert [ref.uri for ref in row.images] == ["memory://bucket/set/a.png", "memory://bucket/b.png", "/local.png"]
    row = _parse({"prompt": "p", "images": ["../../../b.png"]}, base=base)
    assert isinstance(row, BadRow) and "above the root" in row.message


@pytest.mark.parametrize(
    ("least", "most", "count", "reason"),
    [
        (0, None, 9, None),
        (0, 0, 0, None),
        (0, 0, 1, "1 given; the model takes none"),
        (1, 3, 0, "0 given; the model needs at least 1"),
        (1, 3, 3, None),
        (1, 3, 4, "4 given; the model takes at most 3"),
    ],
)
def test_the_model_bounds_the_number_of_images(least: int, most: int | None, count: int, reason: str | None) -> None:
    row = _parse({"prompt": "p", "images": ["a.png"] * count}, RowRules(min_images=least, max_images=most))
    assert (row.message if isinstance(row, BadRow) else None) == reason


def test_one_image_column_counts_like_many() -> None:
    assert len(_row(RowRules(min_images=1), image="a.png").images) == 1
    assert _bad(RowRules(max_images=0), image="a.png").message == "1 given; the model takes none"
    assert _bad(image="a.png", images=["b.png"]).message == "given beside image; keep one of the two columns"
    assert _row(image="a.png", images=None).images == (ImageRef("/data/set/a.png", None),)


def test_all_faults_of_a_row_are_told_at_once() -> None:
    row = _bad(id="mine", steps=0, width=8, params={"generator": 1})
    assert row.id == "mine"
    assert row.line() == (
        "m.jsonl:9: width: 8: must be at least 16; steps: 0: must be at least 1; params: generator: use the column seed"
    )


def test_a_long_value_is_shortened() -> None:
    assert len(_bad(steps="x" * 5000).message) < 100


def test_a_missing_prompt_names_the_option_that_finds_it() -> None:
    row = _parse({"Prompt": "a cat", "prompt": None})
    assert isinstance(row, BadRow)
    assert row.line() == "m.jsonl:9: prompt: missing; if it is in 'Prompt', add --column prompt=Prompt"
    row = _parse({"Prompt": "a cat"}, columns=["prompt=Prompt"])
    assert isinstance(row, Row) and row.prompt == "a cat" and row.extra == {}


def test_a_record_that_could_not_be_read_is_a_bad_row() -> None:
    assert _parse(None, problem="not JSON") == BadRow(7, None, "m.jsonl", 9, "row", "not JSON")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"width": 1000, "size_multiple": 16}, "width: 1000: must be a multiple of 16; nearest: 992 and 1008"),
        (
            {"steps": 0, "guidance_scale": -1.0},
            "steps: 0: must be at least 1; guidance_scale: -1: must be a finite number of at least 0",
        ),
        (
            {"width": 256, "height": 128, "sizes": ((128, 128),)},
            "width: 256: the model draws 128x128 only; leave width and height out",
        ),
        ({"size_multiple": 0}, "size_multiple 0: must be at least 1"),
        ({"min_images": 2, "max_images": 1}, "max_images 1 is less than min_images 2"),
    ],
)
def test_rules_refuse_defaults_that_no_row_may_have(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        RowRules(**options)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"width": 64, "height": 64}, "width", "64: the model draws 128x128 or 192x64 only; "),
        ({"height": 130}, "height", "130: the model draws "),
        ({"width": 192}, "height", "128: the model draws "),
        ({"width": 64, "steps": 0}, "steps", "0: must be at least 1"),
    ],
)
def test_a_model_with_sizes_of_its_own_draws_no_other(values: dict[str, Any], field: str, reason: str) -> None:
    rules = RowRules(width=128, height=128, size_multiple=16, sizes=((128, 128), (192, 64)))
    found = _bad(rules, **values)
    assert found.field == field and found.message.startswith(reason)
    assert _row(rules).width == 128
    assert _row(rules, width=192, height=64).height == 64


def test_rules_that_need_images_stand_by_themselves() -> None:
    assert RowRules(min_images=1, max_images=3, width=64).min_images == 1
