"""Contact sheets: captions that fit, pictures of any size, fonts that have the letters."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from jobs.export.contact_sheet import thumbnail, wrap
from jobs.export.fonts import FontChooser
from manifests.errors import SpecError


def fits(text: str) -> bool:
    return len(text) <= 10


def test_captions_break_between_words_and_end_in_an_ellipsis() -> None:
    assert wrap("a red fox in the snow", fits, 3) == ["a red fox", "in the", "snow"]
    assert wrap("a red fox in the snow", fits, 2) == ["a red fox", "in the…"]
    assert wrap("a red fox, in snow", fits, 1) == ["a red fox…"]
    assert wrap("", fits, 2) == [""]
    assert wrap("abcdefghijklmno pq", fits, 3) == ["abcdefghij", "klmno pq"]
    assert wrap("一只戴眼镜的猫头鹰在读报纸", fits, 1) == ["一只戴眼镜的猫头鹰…"]


@pytest.mark.parametrize(
    ("size", "shown"),
    [((64, 64), (320, 320)), ((1024, 512), (360, 180)), ((128, 8), (256, 16)), ((300, 10), (300, 10))],
)
def test_thumbnails_fit_and_small_pictures_grow_by_whole_factors(size: tuple[int, int], shown: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "WEBP")
    assert thumbnail(buffer.getvalue()).size == shown


def test_a_text_gets_a_font_that_has_its_letters() -> None:
    fonts = FontChooser()
    latin = fonts.font("a lighthouse", 20)
    assert fonts.font("a lighthouse", 20) is latin
    greek = fonts.font("ένας φάρος", 20)
    if greek.getname() == latin.getname():
        pytest.skip("no font with Greek letters is installed")
    alpha, beta = (bytes(greek.getmask(letter)) for letter in "αβ")
    assert alpha != beta  # not the box twice


def test_a_font_file_is_used_for_everything(tmp_path: Path) -> None:
    (tmp_path / "no.ttf").write_text(json.dumps({}))
    with pytest.raises(SpecError, match=r"--font .*no.ttf: cannot be used"):
        FontChooser(str(tmp_path / "no.ttf"))
