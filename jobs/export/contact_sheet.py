"""Contact sheets: pages of pictures with captions, to look through a job at a glance."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from jobs.export.fonts import FontChooser
from jobs.export.names import file_safe
from jobs.export.target import Target
from jobs.results.pictures import Picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    Cell = tuple[Image, str, tuple[str, str]]  # thumbnail, prompt, facts

FOLDER = "contact-sheet"
_COLUMNS, _ROWS = 5, 6
_CELL = 360  # pixels, the longer side of a picture
_GAP, _MARGIN, _HEADER = 36, 72, 120
_PROMPT_SIZE, _FACTS_SIZE, _TITLE_SIZE, _LINE = 20, 17, 34, 27
_PROMPT_LINES = 3
_CAPTION = 14 + (_PROMPT_LINES + 2) * _LINE
_PAPER, _INK, _GREY, _FRAME = "#ffffff", "#1c1e21", "#6b7178", "#e3e5e8"
_JPEG = {"quality": 90, "subsampling": 0}


class ContactSheet:
    """Writes pages of 30 pictures, `contact-sheet/0001.jpg` and on; with groups, a folder of pages each.

    `counts` is how many pictures every group has (the group "" where there are none); a page is drawn as soon as it is
    full, so that a page a group is all that is in memory.
    """

    def __init__(self, target: Target, title: str, counts: Mapping[str, int], fonts: FontChooser) -> None:
        self.pages = 0
        self._target = target
        self._title = title
        self._counts = counts
        self._fonts = fonts
        self._cells: defaultdict[str, list[Cell]] = defaultdict(list)
        self._drawn: Counter[str] = Counter()
        target.clear(FOLDER)

    def add(self, picture: Picture, group: str = "") -> None:
        """Put a picture on the group's page; a full page is written."""
        record = picture.record
        cells = self._cells[group]
        cells.append((thumbnail(picture.data), record["prompt"] or "", facts_of(record)))
        if len(cells) == _COLUMNS * _ROWS:
            self._write_page(group)

    def close(self) -> None:
        """Write the pages that are not full."""
        for group, cells in self._cells.items():
            if cells:
                self._write_page(group)

    def _write_page(self, group: str) -> None:
        cells, self._cells[group] = self._cells[group], []
        self._drawn[group] += 1
        self.pages += 1
        of = -(-self._counts[group] // (_COLUMNS * _ROWS))
        place = f"{self._counts[group]} pictures" + (f", page {self._drawn[group]} of {of}" if of > 1 else "")
        page = self._page(f"{group}  ·  {self._title}" if group else self._title, place, cells)
        buffer = io.BytesIO()
        page.save(buffer, "JPEG", **_JPEG)
        folder = f"{FOLDER}/{file_safe(group)}" if group else FOLDER
        self._target.write(f"{folder}/{self._drawn[group]:04d}.jpg", buffer.getvalue())

    def _page(self, title: str, place: str, cells: Sequence[Cell]) -> Image:
        from PIL import Image, ImageDraw

        rows = [cells[start : start + _COLUMNS] for start in range(0, len(cells), _COLUMNS)]
        heights = [max(image.height for image, _, _ in row) for row in rows]
        width = 2 * _MARGIN + _COLUMNS * _CELL + (_COLUMNS - 1) * _GAP
        height = _MARGIN + _HEADER + sum(heights) + len(rows) * _CAPTION + (len(rows) - 1) * _GAP + _MARGIN
        page = Image.new("RGB", (width, height), _PAPER)
        draw = ImageDraw.Draw(page)
        self._header(draw, title, place, width)
        top = _MARGIN + _HEADER
        for row, row_height in zip(rows, heights, strict=True):
            for column, cell in enumerate(row):
                self._cell(page, draw, cell, _MARGIN + column * (_CELL + _GAP), top, row_height)
            top += row_height + _CAPTION + _GAP
        return page

    def _header(self, draw: ImageDraw, title: str, place: str, width: int) -> None:
        font, small = self._fonts.font(title, _TITLE_SIZE), self._fonts.font(place, _PROMPT_SIZE)
        room = width - 2 * _MARGIN - _GAP - draw.textlength(place, small)
        line = wrap(title, lambda text: draw.textlength(text, font) <= room, 1)[0]
        baseline = _MARGIN + _TITLE_SIZE
        draw.text((_MARGIN, baseline), line, _INK, font, anchor="ls")
        draw.text((width - _MARGIN, baseline), place, _GREY, small, anchor="rs")
        rule = _MARGIN + _HEADER - 2 * _GAP
        draw.line((_MARGIN, rule, width - _MARGIN, rule), _FRAME, 2)

    def _cell(self, page: Image, draw: ImageDraw, cell: Cell, left: int, top: int, row_height: int) -> None:
        """One picture, standing on the row's line so that captions begin at one height."""
        image, prompt, facts = cell
        y = top + row_height - image.height
        draw.rectangle((left - 1, y - 1, left + image.width, y + image.height), outline=_FRAME)
        page.paste(image, (left, y))
        font = self._fonts.font(prompt, _PROMPT_SIZE)
        y = top + row_height + 14 + _PROMPT_SIZE
        for line in wrap(prompt, lambda text: draw.textlength(text, font) <= _CELL, _PROMPT_LINES):
            draw.text((left, y), line, _INK, font, anchor="ls")
            y += _LINE
        for fact in facts:
            small = self._fonts.font(fact, _FACTS_SIZE)
            line = wrap(fact, lambda text, font=small: draw.textlength(text, font) <= _CELL, 1)[0]
            draw.text((left, y), line, _GREY, small, anchor="ls")
            y += _LINE


def thumbnail(data: bytes) -> Image:
    """An encoded picture as RGB whose longer side is a cell's, so that all sizes are seen alike."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        rgb = image.convert("RGB")
    scale = _CELL / max(rgb.size)
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    if scale > 1:  # a whole factor beyond the cell first: a small picture's pixels stay squares, none wider than others
        rgb = rgb.resize((rgb.width * ceil(scale), rgb.height * ceil(scale)), Image.Resampling.NEAREST)
    return rgb.resize(size, Image.Resampling.LANCZOS)


def facts_of(record: Mapping[str, Any]) -> tuple[str, str]:
    """What identifies a picture, in two lines: id and index; its share of the seconds in denoising, and the seed."""
    seconds = record["denoise_ms"] / 1e3 / record["batch_size"]
    return f"{record['id']}-{record['image_index']}", f"{seconds:.3g} s · seed {record['seed']}"


def wrap(text: str, fits: Any, lines: int) -> list[str]:
    """Text in at most so many lines that fit, broken between words; what is left out is an ellipsis at the end.

    A word that fits no line (or a script without spaces) is broken anywhere.
    """
    words = _words(" ".join(text.split()), fits)
    found = [""]
    for n, (space, word) in enumerate(words):
        joined = f"{found[-1]}{space}{word}" if found[-1] else word
        if fits(joined):
            found[-1] = joined
        elif len(found) < lines:
            found.append(word)
        else:
            return [*found[:-1], _ellipsised(found[-1], fits)] if n else [_ellipsised(word, fits)]
    return found


def _words(text: str, fits: Any) -> list[tuple[str, str]]:
    """The words with the space before each; one too long for a line, character by character."""
    found: list[tuple[str, str]] = []
    for word in text.split(" "):
        if fits(word):
            found.append((" ", word))
        else:
            found += [(" " if k == 0 else "", character) for k, character in enumerate(word)]
    return found


def _ellipsised(line: str, fits: Any) -> str:
    while (cut := line.rstrip(" ,;:.")) and not fits(f"{cut}…"):
        line = cut.rpartition(" ")[0] if " " in cut else cut[:-1]
    return f"{cut}…"
