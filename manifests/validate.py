"""From a raw record to a `Row`, or to a `BadRow` whose reasons give value, limit and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from manifests.columns import ColumnMap
from manifests.errors import SpecError
from manifests.fields import FieldContext, Fields, reason_of
from manifests.read import Record
from manifests.row import BadRow, Row, positional_id
from manifests.storage import locate

# canonical columns that some pipelines have no argument for
OPTIONAL = frozenset({"width", "height", "steps", "guidance_scale", "true_cfg_scale", "negative_prompt"})


@dataclass(frozen=True)
class RowRules:
    """What the job and its model make of a row. `RowRules()`, no model known, accepts every well-formed row.

    The first six are used where a row gives none; None leaves the choice to the pipeline.
    Raises SpecError where a default breaks the rules that rows keep.
    """

    width: int | None = None  # pixels
    height: int | None = None  # pixels
    steps: int | None = None  # denoising steps
    guidance_scale: float | None = None
    true_cfg_scale: float | None = None
    negative_prompt: str | None = None
    size_multiple: int = 1  # pixels; width and height must be multiples of it
    sizes: tuple[tuple[int, int], ...] = ()  # (width, height) in pixels, the only ones; empty: any multiple
    columns: frozenset[str] | None = None  # OPTIONAL columns that the pipeline takes; None: all
    parameters: frozenset[str] | None = None  # names that `params` may use; None: not checked
    min_images: int = 0  # reference images a row must give
    max_images: int | None = None  # reference images a row may give; None: any number

    def __post_init__(self) -> None:
        if self.size_multiple < 1:
            raise SpecError(f"size_multiple {self.size_multiple}: must be at least 1")
        if self.max_images is not None and self.max_images < self.min_images:
            raise SpecError(f"max_images {self.max_images} is less than min_images {self.min_images}")
        names = ("width", "height", "steps", "guidance_scale", "true_cfg_scale")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        try:
            Fields.model_validate({"prompt": "-", **given}, context=FieldContext(self, 0, locate(".")))
        except ValidationError as error:
            faults = [f"{fault['loc'][0]}: {reason_of(fault)}" for fault in error.errors() if fault["loc"][0] in names]
            if faults:
                raise SpecError("; ".join(faults)) from None
        if fault := self.size_fault(self.width, self.height):
            raise SpecError(": ".join(fault))

    def size_fault(self, width: int | None, height: int | None) -> tuple[str, str] | None:
        """The side at fault and the reason, where the model draws other sizes only; None where it may draw this one."""
        if not self.sizes or width is None or height is None or (width, height) in self.sizes:
            return None
        field, value = ("height", height) if any(width == legal for legal, _ in self.sizes) else ("width", width)
        legal = " or ".join(f"{width}x{height}" for width, height in self.sizes)
        return field, f"{value}: the model draws {legal} only; leave width and height out"


class Validator:
    """Turns records into rows under one set of rules."""

    def __init__(self, columns: ColumnMap, rules: RowRules) -> None:
        self._columns = columns
        self._rules = rules

    def parse(self, record: Record) -> Row | BadRow:
        """The row, or every reason why it is none. Raises nothing: a row's fault costs that row only."""
        if record.values is None:
            return BadRow(record.ordinal, None, record.file, record.line, "row", record.problem or "unreadable")
        known, extra = self._columns.split(record.values)
        rules, position = self._rules, positional_id(record.ordinal)
        try:
            fields = Fields.model_validate(known, context=FieldContext(rules, record.ordinal, record.base))
        except ValidationError as error:
            return self._bad(record, known, error.errors(include_url=False))
        if rules.columns is not None and (useless := [name for name in known if name in OPTIONAL - rules.columns]):
            reason = f"{known[useless[0]]}: the pipeline takes no such argument; leave it out"
            return BadRow(record.ordinal, fields.id or position, record.file, record.line, useless[0], reason)
        width = rules.width if fields.width is None else fields.width
        height = rules.height if fields.height is None else fields.height
        if fault := rules.size_fault(width, height):
            return BadRow(record.ordinal, fields.id or position, record.file, record.line, *fault)
        return Row(
            id=position if fields.id is None else fields.id,
            ordinal=record.ordinal,
            source_file=record.file,
            source_line=record.line,
            prompt=fields.prompt,
            negative_prompt=rules.negative_prompt if fields.negative_prompt is None else fields.negative_prompt,
            images=fields.image + fields.images,
            width=width,
            height=height,
            steps=rules.steps if fields.steps is None else fields.steps,
            guidance_scale=rules.guidance_scale if fields.guidance_scale is None else fields.guidance_scale,
            true_cfg_scale=rules.true_cfg_scale if fields.true_cfg_scale is None else fields.true_cfg_scale,
            seed=fields.seed,
            num_images=fields.num_images,
            params=fields.params,
            extra=extra,
        )

    def _bad(self, record: Record, known: dict[str, Any], faults: list[ErrorDetails]) -> BadRow:
        reasons = {str(fault["loc"][0]): reason_of(fault) for fault in faults}
        if "prompt" not in known:
            reasons["prompt"] = f"missing; {self._columns.prompt_hint(record.values or {})}"
        first = next(iter(reasons))
        others = [f"{field}: {reason}" for field, reason in reasons.items() if field != first]
        message = "; ".join([reasons[first], *others])
        id = None if "id" in reasons else str(known.get("id", positional_id(record.ordinal)))
        return BadRow(record.ordinal, id, record.file, record.line, first, message)
