"""Column names: ours, the manifest's own, and the map between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from manifests.errors import SpecError

CANONICAL = (
    "id", "prompt", "negative_prompt", "image", "images", "width", "height", "steps",
    "guidance_scale", "true_cfg_scale", "seed", "num_images", "params",
)  # fmt: skip

# Where prompts are kept in published datasets; only ever suggested, since a `text` may be anything.
_PROMPT_LIKE = ("prompt", "prompts", "caption", "text", "instruction", "description")


class ColumnMap:
    """Which manifest column each canonical name is read from: its namesake, or what `CANONICAL=NAME` says.

    A canonical name that is mapped elsewhere gives up its namesake, which becomes a column of the manifest's own.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        """Take `--column` options. Raises SpecError where one is malformed or unknown, or a name is used twice."""
        self.options = tuple(options)
        self._source: dict[str, str] = {}  # canonical -> manifest column, the mapped ones
        for option in options:
            self._add(option)
        taken = set(self._source.values())
        self._target = {name: name for name in CANONICAL if name not in self._source and name not in taken}
        self._target |= {name: canonical for canonical, name in self._source.items()}

    def _add(self, option: str) -> None:
        canonical, separator, name = option.partition("=")
        if not separator or not canonical or not name:
            raise SpecError(f"--column {option}: must be CANONICAL=NAME, as prompt=Prompt")
        if canonical not in CANONICAL:
            close = get_close_matches(canonical, CANONICAL, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(CANONICAL)}"
            raise SpecError(f"--column {option}: {canonical} is no column of renderay; {hint}")
        if canonical in self._source:
            raise SpecError(f"--column {option}: {canonical} is already read from {self._source[canonical]}")
        if name in self._source.values():
            raise SpecError(f"--column {option}: the column {name} is already used; a column can be read as one only")
        self._source[canonical] = name

    @property
    def mapped(self) -> dict[str, str]:
        """The canonical name of every manifest column that an option names."""
        return {name: canonical for canonical, name in self._source.items()}

    @property
    def sources(self) -> frozenset[str]:
        """The manifest columns that are read as canonical ones; every other is the manifest's own."""
        return frozenset(self._target)

    def split(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Values under canonical names, and the manifest's own columns; a null means "not given" and is in neither."""
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        target = self._target
        for name, value in values.items():
            if value is None:
                continue
            canonical = target.get(name)
            if canonical is None:
                extra[name] = value
            else:
                known[canonical] = value
        return known, extra

    def prompt_hint(self, values: Mapping[str, Any]) -> str:
        """What to say where a record gives no prompt: the option that would find it, if there is a likely one."""
        if "prompt" in self._source:
            return f"--column prompt={self._source['prompt']} finds no such column in this row"
        likely = [name for wanted in _PROMPT_LIKE for name in values if name.strip().casefold() == wanted]
        likely = [name for name in likely if name != "prompt" and isinstance(values[name], str)]
        if likely:
            return f"if it is in {likely[0]!r}, add --column {_quoted('prompt=' + likely[0])}"
        return "every row needs one"


def output_name(name: str, taken: set[str]) -> str:
    """The name of a manifest's own column in the images table: `manifest_NAME` where NAME is taken."""
    while name in taken:
        name = f"manifest_{name}"
    return name


def _quoted(option: str) -> str:
    return f'"{option}"' if any(character.isspace() for character in option) else option
