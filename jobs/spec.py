"""What a person asks for: one frozen, validated value that the CLI, the YAML config and the Python API all fill.

Every field is an option of `renderay render` and a key of its config file under the same name (`batch_size` is
`--batch-size`); the description is its help text.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from attention import require_known
from manifests.columns import ColumnMap
from manifests.errors import SpecError
from manifests.validate import OPTIONAL, RowRules
from workers.lora import parse_lora
from workers.quantize import parse_quantize

# fields that may differ when a job is resumed: none of them changes a picture
FREE_ON_RESUME = frozenset(
    {"manifest", "out", "limit", "gpus", "workers", "gpus_per_worker", "gpu_memory", "offload", "address"}
    | {"lease_seconds", "stall_timeout", "encode_threads", "allow_pickle", "trust_remote_code"}
)


class JobSpec(BaseModel):
    """A job as it was asked for, before anything was looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=False)

    manifest: Annotated[tuple[str, ...], Field(min_length=1, description="files, folders or globs, local or remote")]
    model: Annotated[str, Field(min_length=1, description="hub id[@revision], folder, demo, tiny: or random:FAMILY")]
    out: Annotated[str, Field(min_length=1, description="output folder or URI; an interrupted job in it is resumed")]
    attention: Annotated[
        str,
        Field(description="attention backend, see `renderay attention`; auto measures and takes the fastest exact one"),
    ] = "auto"
    gpus: Annotated[int | None, Field(ge=0, description="GPUs to use; all by default, 0 renders on CPUs")] = None
    workers: Annotated[
        int | None, Field(ge=1, description="workers; one a GPU, or one a core without GPUs, by default")
    ] = None
    gpus_per_worker: Annotated[
        int, Field(ge=1, le=2, description="GPUs of one worker; with 2, text encoders live on the second")
    ] = 1
    gpu_memory: Annotated[
        float | None, Field(gt=0, description="GiB of each GPU that a worker may use; all by default")
    ] = None
    offload: Annotated[
        Literal["auto", "never", "swap"],
        Field(
            description="keep weights in host memory and swap them in by parts; auto where they don't fit on the GPU"
        ),
    ] = "auto"
    batch_size: Annotated[int | Literal["auto"], Field(description="pictures in one pipeline call")] = "auto"
    compile: Annotated[bool | None, Field(description="compile the model's repeated blocks; on GPUs by default")] = None
    dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"],
        Field(description="type of the weights; auto is bfloat16 on GPUs and float32 on CPUs"),
    ] = "auto"
    lora: Annotated[tuple[str, ...], Field(description="LoRA weights to merge into the model; repeatable")] = ()
    quantize: Annotated[
        tuple[str, ...],
        Field(
            description="int8 or float8: denoiser in a byte a weight, not exact; COMPONENT=METHOD for more; repeatable"
        ),
    ] = ()
    allow_pickle: Annotated[
        bool, Field(description="load weights that are not safetensors, which can run any code")
    ] = False
    trust_remote_code: Annotated[bool, Field(description="run code that comes with the model")] = False
    steps: Annotated[int | None, Field(description="denoising steps of rows that name none")] = None
    width: Annotated[int | None, Field(description="width in pixels of rows that name none")] = None
    height: Annotated[int | None, Field(description="height in pixels of rows that name none")] = None
    guidance_scale: Annotated[float | None, Field(description="guidance of rows that name none")] = None
    true_cfg_scale: Annotated[float | None, Field(description="true CFG scale of rows that name none")] = None
    negative_prompt: Annotated[str | None, Field(description="negative prompt of rows that name none")] = None
    seed: Annotated[int, Field(ge=0, lt=2**63, description="the job's seed; rows without one draw theirs from it")] = 0
    format: Annotated[Literal["png", "webp", "jpeg"], Field(description="file format of the pictures")] = "png"
    column: Annotated[tuple[str, ...], Field(description="read a canonical column from another; repeatable")] = ()
    limit: Annotated[int | None, Field(ge=1, description="take the first N rows, bad ones included")] = None
    address: Annotated[
        str | None, Field(description="a running Ray cluster, as HOST:PORT or auto; by default one is started here")
    ] = None
    lease_seconds: Annotated[
        float, Field(ge=0, le=3600, description="seconds of work handed to a worker at a time")
    ] = 60.0
    stall_timeout: Annotated[
        float, Field(ge=5, description="seconds without a step after which a worker is replaced")
    ] = 900.0
    encode_threads: Annotated[
        int | None, Field(ge=1, le=64, description="threads a worker compresses pictures with; by its cores by default")
    ] = None

    @field_validator("batch_size")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 64:
            raise ValueError("must be auto, or from 1 to 64")
        return value

    @model_validator(mode="after")
    def _workers_fit_gpus(self) -> JobSpec:
        if self.gpus and self.workers and self.workers > self.gpus:
            raise ValueError(f"workers {self.workers} is more than gpus {self.gpus}; every worker takes one GPU")
        if self.gpus and self.gpus < (self.workers or 1) * self.gpus_per_worker:
            raise ValueError(f"gpus {self.gpus} is less than gpus_per_worker {self.gpus_per_worker} for each worker")
        return self

    @property
    def columns(self) -> ColumnMap:
        """The column map. SpecError where an entry is malformed."""
        return ColumnMap(self.column)

    @property
    def row_defaults(self) -> dict[str, Any]:
        """What rows get that name nothing else, as far as the job says."""
        return {name: value for name in sorted(OPTIONAL) if (value := getattr(self, name)) is not None}


def make_spec(**values: Any) -> JobSpec:
    """A JobSpec from options; SpecError or AttentionError, one line, where a value is wrong."""
    try:
        spec = JobSpec(**values)
    except ValidationError as error:
        faults = {fault["loc"][:1]: fault for fault in reversed(error.errors(include_url=False))}  # the first a field
        raise SpecError("; ".join(_reason(fault) for fault in reversed(faults.values()))) from None
    # their errors belong to the spec
    _ = spec.columns, RowRules(**spec.row_defaults), parse_quantize(spec.quantize)
    _ = [parse_lora(text) for text in spec.lora]
    require_known(spec.attention)
    return spec


# pydantic's words, as the rest of renderay says it
_LIMITS = {
    "Input should be a valid integer, unable to parse string as an integer": "must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "must be a number",
    "Input should be greater than or equal to": "must be at least",
    "Input should be less than or equal to": "must be at most",
    "Input should be greater than": "must be more than",
    "Input should be less than": "must be less than",
    "Input should be": "must be",
}


def _reason(fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    for theirs, ours in _LIMITS.items():
        message = message.replace(theirs, ours)
    if not fault["loc"]:
        return message
    name = str(fault["loc"][0])
    if fault["type"] == "missing":
        remedy = "name a file, folder or glob" if name == "manifest" else f"use --{name.replace('_', '-')}"
        return f"{name}: not given; {remedy}"
    if fault["type"] == "extra_forbidden":
        return f"{name}: no such option; known: {', '.join(JobSpec.model_fields)}"
    return f"{name}: {fault['input']!r}: {message[:1].lower()}{message[1:]}"
