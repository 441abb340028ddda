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
    [
        ((64, 64), (360, 360)),
        ((128, 128), (360, 360)),
        ((192, 192), (360, 360)),
        ((360, 360), (360, 360)),
        ((1024, 512), (360, 180)),
        ((96, 192), (180, 360)),
        ((128, 8), (360, 22)),
        ((3000, 2), (360, 1)),
    ],
)
def test_every_picture_fills_its_cell_and_keeps_its_proportions(size: tuple[int, int], shown: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "WEBP", lossless=True)
    assert thumbnail(buffer.getvalue()).size == shown


def test_the_pixels_of_a_small_picture_stay_squares() -> None:
    buffer = io.BytesIO()
    chess = Image.new("L", (64, 64))
    chess.putdata([255 * ((x + y) % 2) for y in range(64) for x in range(64)])
    chess.save(buffer, "PNG")
    cell = thumbnail(buffer.getvalue()).convert("L")
    side = 360 / 64
    middles = [cell.getpixel((int((x + 0.5) * side), int((y + 0.5) * side))) for y in range(64) for x in range(64)]
    meant = [255 * ((x + y) % 2) for y in range(64) for x in range(64)]
    assert max(abs(a - b) for a, b in zip(middles, meant, strict=True)) < 16  # smoothed, they would be grey


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
