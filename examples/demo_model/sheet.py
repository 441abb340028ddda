"""Pictures with their captions on one sheet."""

from __future__ import annotations

import textwrap

import numpy as np
from PIL import Image, ImageDraw

_ROW, _CELL, _TEXT = 10, 172, 58


def contact_sheet(pictures: list[np.ndarray], captions: list[str], right: list[bool]) -> Image.Image:
    """Ten in a row; the captions of pictures that are not `right` are red."""
    height = 132 + _TEXT
    rows = -(-len(pictures) // _ROW)
    sheet = Image.new("RGB", (_ROW * _CELL, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for k, (picture, caption, good) in enumerate(zip(pictures, captions, right, strict=True)):
        x, y = k % _ROW * _CELL + 4, k // _ROW * height + 4
        sheet.paste(Image.fromarray(picture).resize((128, 128)), (x, y))
        text = "\n".join(textwrap.wrap(caption, 29)[:4])
        pen.multiline_text((x, y + 130), text, fill="black" if good else "red", font_size=10, spacing=2)
    return sheet
