"""Fonts for captions: one on this machine that has the letters of a text.

Pillow's own font comes first; it has Latin letters. A text that it cannot write gets the installed font that has most
of its characters.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from manifests.errors import SpecError

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_FOLDERS = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (r"C:\\Windows\\Fonts",),
}
_FAMILIES = ("notosanscjk", "notosans", "dejavusans", "arialunicode", "liberationsans", "wqy", "unifont")
_STYLES = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black", "emoji", "math")
_MAX_FONTS = 400  # looked at
_NO_CHARACTER = "\U0010fffe"  # never assigned: drawn as the font's box


class FontChooser:
    """Chooses a font for each text. `path` names a font file to use for all of them.

    SpecError where that file is no font.
    """

    def __init__(self, path: str | None = None) -> None:
        self._given = path
        if path is not None:
            try:
                _load(path, 16)
            except OSError as error:
                raise SpecError(f"--font {path}: cannot be used: {error}; give a TrueType or OpenType file") from error

    def font(self, text: str, size: int) -> FreeTypeFont:
        """A font of this size, in pixels, that draws the text as completely as any here."""
        return _load(self._path(frozenset(text)), size)

    def _path(self, characters: frozenset[str]) -> str | None:
        if self._given is not None:
            return self._given
        wanted = frozenset(character for character in characters if not character.isspace() and character.isprintable())
        if _missing(None, wanted) == 0:
            return None
        best: str | None = None
        fewest = _missing(None, wanted)
        for path in self._installed:
            missing = _missing(path, wanted)
            if missing < fewest:
                best, fewest = path, missing
                if not missing:
                    break
        return best

    @cached_property
    def _installed(self) -> list[str]:
        """Font files of this machine, upright sans-serif ones of wide coverage first."""

        def rank(path: Path) -> tuple[int, int, int, str]:
            name = "".join(filter(str.isalnum, path.stem.lower()))
            family = next((k for k, family in enumerate(_FAMILIES) if name.startswith(family)), len(_FAMILIES))
            return sum(style in name for style in _STYLES), family, len(name), str(path)

        return [str(path) for path in sorted(_font_files(), key=rank)[:_MAX_FONTS]]


def _font_files() -> Iterator[Path]:
    for folder in _FOLDERS.get(sys.platform, ()):
        for path in Path(os.path.expanduser(folder)).rglob("*"):
            if path.suffix.lower() in (".ttf", ".otf", ".ttc"):
                yield path


@cache
def _load(path: str | None, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)  # type: ignore[return-value]


def _missing(path: str | None, characters: frozenset[str]) -> int:
    return sum(not _has(path, character) for character in characters)


@cache
def _has(path: str | None, character: str) -> bool:
    """Whether a font has a character: it draws it, and not as the box that stands for those it lacks."""
    try:
        font = _load(path, 16)
        return _drawn(font, character) != _drawn(font, _NO_CHARACTER)
    except (OSError, ValueError):
        return False


def _drawn(font: FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)
