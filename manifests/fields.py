"""The canonical columns as a pydantic model: what each may hold, and the reason where it may not."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainValidator, ValidationInfo
from pydantic_core import ErrorDetails, from_json

from manifests.columns import CANONICAL
from manifests.row import ImageRef, image_refs, positional_id
from manifests.storage import Location

if TYPE_CHECKING:
    from manifests.validate import RowRules

_MIN_SIDE, _MAX_SIDE = 16, 16384
_MAX_STEPS, _MAX_IMAGES, _MAX_ID_BYTES = 10_000, 1024, 512
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_POSITIONAL = re.compile(r"row-[0-9]{9,}")

# Arguments of a pipeline's call that renderay sets itself, and what to use in their place.
RESERVED_PARAMS: dict[str, str] = {
    "num_inference_steps": "use the column steps",
    "num_images_per_prompt": "use the column num_images",
    "generator": "use the column seed",
    "latents": "use the column seed",
    **dict.fromkeys(
        (
            "output_type", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs",
            "prompt_embeds", "pooled_prompt_embeds", "prompt_embeds_mask",
            "negative_prompt_embeds", "negative_pooled_prompt_embeds", "negative_prompt_embeds_mask",
        ),
        "renderay sets it itself",
    ),
}  # fmt: skip


class FieldContext(NamedTuple):
    """What a field's check needs to know beyond its value."""

    rules: RowRules
    ordinal: int
    base: Location


def _context(info: ValidationInfo) -> FieldContext:
    return cast(FieldContext, info.context)


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{_shown(value)}: must be a number")
    return value


def _id(value: Any, info: ValidationInfo) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"{_shown(value)}: must be text or a whole number")
    text = str(value)
    if not text.strip():
        raise ValueError("is blank; leave it out and it is made from the row's position")
    if len(text.encode()) > _MAX_ID_BYTES:
        raise ValueError(f"{_shown(text)}: is {len(text.encode())} bytes long, at most {_MAX_ID_BYTES} may be")
    if _CONTROL.search(text):
        raise ValueError(f"{text!r}: holds a control character")
    if _POSITIONAL.fullmatch(text) and text != positional_id(_context(info).ordinal):
        raise ValueError(f"{text}: such names are kept for rows without an id; leave it out or choose another")
    return text


def _prompt(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank; every row needs one")
    return text


def _side(value: int, info: ValidationInfo) -> int:
    rules = _context(info).rules
    multiple = 1 if rules.sizes else rules.size_multiple  # which sizes are legal is then told for both sides at once
    if value % multiple:
        below = value // multiple * multiple
        legal = [f"{side}" for side in (below, below + multiple) if _MIN_SIDE <= side <= _MAX_SIDE]
        raise ValueError(f"{value}: must be a multiple of {multiple}; nearest: {' and '.join(legal)}")
    return value


def _scale(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{value:g}: must be a finite number of at least 0")
    return value


def _seed(value: int, info: ValidationInfo) -> int:
    if value < 0:
        raise ValueError(f"{value}: must be at least 0; leave it out and it is drawn from the job's seed and the id")
    limit = 2**63 - 1 - int(info.data.get("num_images", 1))
    if value > limit:
        raise ValueError(f"{value}: must be at most {limit}, so that seed + num_images fits 64 bits")
    return value


def _params(value: Any, info: ValidationInfo) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = from_json(value, allow_inf_nan=False)
        except ValueError:
            raise ValueError(f"{_shown(value)}: must be an object, or JSON text of one") from None
    if (
        isinstance(value, list)
        and value
        and all(isinstance(item, tuple) and isinstance(item[0], str) for item in value)
    ):
        value = dict(value)  # an Arrow map comes as pairs
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{_shown(value)}: must be an object, or JSON text of one")
    # Every row of a Parquet struct has every name: null means "not given" here too.
    params = {name: item for name, item in value.items() if item is not None}
    reasons = [reason for name in params if (reason := _param_fault(name, _context(info).rules.parameters))]
    if reasons:
        raise ValueError("; ".join(reasons))
    return params


def _param_fault(name: str, allowed: frozenset[str] | None) -> str | None:
    if name in CANONICAL:
        return f"{name}: use the column {name}"
    if name in RESERVED_PARAMS:
        return f"{name}: {RESERVED_PARAMS[name]}"
    if allowed is None or name in allowed:
        return None
    open_to_rows = sorted(allowed.difference(CANONICAL, RESERVED_PARAMS))
    close = get_close_matches(name, open_to_rows, n=1)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(open_to_rows) or 'none'}"
    return f"{_shown(name)}: the pipeline takes no such argument; {hint}"


def _image(value: Any, info: ValidationInfo) -> tuple[ImageRef, ...]:
    images = image_refs(value, _context(info).base) if value != () else ()
    _refuse_too_many(len(images), _context(info).rules)
    return images


def _refuse_too_many(count: int, rules: RowRules) -> None:
    if rules.max_images is not None and count > rules.max_images:
        limit = f"at most {rules.max_images}" if rules.max_images else "none"
        raise ValueError(f"{count} given; the model takes {limit}")


def _images(value: Any, info: ValidationInfo) -> tuple[ImageRef, ...]:
    images, rules = _image(value, info), _context(info).rules
    if "image" not in info.data:
        return images  # `image` is at fault and says so itself
    if value != () and info.data["image"]:
        raise ValueError("given beside image; keep one of the two columns")
    count = len(images) + len(info.data["image"])
    if count < rules.min_images:
        raise ValueError(f"{count} given; the model needs at least {rules.min_images}")
    return images


_Whole = Annotated[int, BeforeValidator(_no_bool)]
_Side = Annotated[_Whole, Field(ge=_MIN_SIDE, le=_MAX_SIDE), AfterValidator(_side)]
_Scale = Annotated[float, BeforeValidator(_no_bool), AfterValidator(_scale)]


class Fields(BaseModel):
    """The canonical columns. Checks that look at another field stand below it."""

    id: Annotated[str | None, PlainValidator(_id)] = None
    prompt: Annotated[str, AfterValidator(_prompt)]
    negative_prompt: str | None = None
    image: Annotated[tuple[ImageRef, ...], PlainValidator(_image)] = ()
    images: Annotated[tuple[ImageRef, ...], PlainValidator(_images)] = Field((), validate_default=True)
    width: _Side | None = None
    height: _Side | None = None
    steps: Annotated[_Whole, Field(ge=1, le=_MAX_STEPS)] | None = None
    guidance_scale: _Scale | None = None
    true_cfg_scale: _Scale | None = None
    num_images: Annotated[_Whole, Field(ge=1, le=_MAX_IMAGES)] = 1
    seed: Annotated[_Whole, AfterValidator(_seed)] | None = None
    params: Annotated[dict[str, Any], PlainValidator(_params)] = Field(default_factory=dict)


def reason_of(fault: ErrorDetails) -> str:
    """pydantic's finding in our words: the value, then the limit."""
    kind, bounds = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(bounds["error"])
    shown = _shown(fault["input"])
    if kind == "greater_than_equal":
        return f"{shown}: must be at least {bounds['ge']:g}"
    if kind == "less_than_equal":
        return f"{shown}: must be at most {bounds['le']:g}"
    wanted = {"int": "a whole number", "float": "a number", "string": "text"}.get(kind.partition("_")[0])
    return f"{shown}: must be {wanted}" if wanted else f"{shown}: {fault['msg']}"


def _shown(value: Any) -> str:
    """The value on one line, short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list, tuple, bytes)):
        return {dict: "an object", bytes: "bytes"}.get(type(value), "a list")
    text = " ".join(str(value).split()) or "blank text"
    return text if len(text) <= 60 else f"{text[:57]}..."
