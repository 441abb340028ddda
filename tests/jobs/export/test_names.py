"""File names: no value leaves the folder, hides a file or takes another's name."""

from __future__ import annotations

import pytest

from jobs.export.names import NameTemplate, file_safe
from manifests.errors import SpecError

COLUMNS = ["id", "image_index", "format", "ordinal", "Category", "a.b"]


def name(template: str, **values: object) -> str:
    record = {"id": "x", "image_index": 0, "format": "png", "ordinal": 7, "Category": None, "a.b": 1.5} | values
    return NameTemplate(template, COLUMNS, str(record["format"])).path(record)


def test_columns_literals_formats_and_folders() -> None:
    assert name("{id}-{image_index}.{format}") == "x-0.png"
    assert name("{Category}/{ordinal:06d}_{a.b}.png", Category="Animals") == "Animals/000007_1.5.png"
    assert name("{{{id}}}.jpg", format="jpeg") == "{x}.jpg"
    assert name("{Category}/{id}.png") == name("{Category}/{id}.png", Category="") == "none/x.png"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("__cache", "%5F_cache"),
        ("a\\b:c*d?\n", "a%5Cb%3Ac%2Ad%3F%0A"),
        ("a%2Fb", "a%252Fb"),
        ("日本 語", "日本 語"),
    ],
)
def test_a_value_stays_one_part_of_the_path(value: str, written: str) -> None:
    assert name("{Category}/{id}.png", Category=value) == f"{written}/x.png"
    assert file_safe(value) == written


def test_long_values_are_cut_to_what_file_systems_take_and_stay_different() -> None:
    first, second = (name("{id}.png", id="語" * 200 + end) for end in "ab")
    assert first != second and first.endswith(".png")
    assert {len(first.encode()) <= 255, len(second.encode()) <= 255} == {True}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{idd}.png", "did you mean {id}?"),
        ("{id.__class__}.png", "is no column"),
        ("{}.png", "is no column"),
        ("{id!r}.png", "no conversion"),
        ("{id.png", "brace"),
        ("/tmp/{id}.png", "inside the folder"),
        ("../{id}.png", "inside the folder"),
        ("a//{id}.png", "inside the folder"),
        ("{id}", "let it end with .{format} or .png"),
        ("{id}.jpg", "the pictures are png"),
    ],
)
def test_a_template_that_cannot_be_is_one_line(template: str, reason: str) -> None:
    with pytest.raises(SpecError, match=r"^--name ") as caught:
        NameTemplate(template, COLUMNS, "png")
    assert reason in str(caught.value)


def test_a_format_that_does_not_fit_the_value_is_one_line() -> None:
    with pytest.raises(SpecError, match=r"\{id:06d\}: 'x' cannot be written so"):
        name("{id:06d}.png")
