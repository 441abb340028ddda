"""What a model makes of a job's settings and rows, and what of that can be told before Ray starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from attention import AUTO, BACKENDS, require_usable
from jobs.cluster import local_device, require_gpu
from jobs.spec import JobSpec
from manifests.errors import SpecError
from manifests.row import BadRow, Row
from manifests.validate import RowRules
from workers.quantize import parse_quantize, require_torchao
from workers.reference import parse_model
from workers.traits import ModelTraits, foreseen_traits


def model_rules(model: ModelTraits, given: Mapping[str, Any]) -> RowRules:
    """What a row may say to this model, in a job that sets the options `given`.

    SpecError where one of them is nothing that the model takes.
    """
    if useless := sorted(given.keys() - model.columns):
        flag = useless[0].replace("_", "-")
        raise SpecError(f"--{flag} {given[useless[0]]}: {model.pipeline} takes no such argument; leave it out")
    defaults = {name: value for name, value in asdict(model.defaults).items() if value is not None}
    return RowRules(
        **(defaults | dict(given)),
        size_multiple=model.size_multiple,
        sizes=model.sizes,
        columns=model.columns,
        parameters=model.parameters,
        min_images=model.min_images,
        max_images=model.max_images,
    )


def watch_negatives(
    rows: Iterable[Row | BadRow], model: ModelTraits, given: Mapping[str, Any], warn: Callable[[str], None]
) -> Iterator[Row | BadRow]:
    """The rows as they come; `warn` gets one line at the first whose negative prompt changes nothing."""
    # only of families with a file of their own it is known what they do without a true_cfg_scale
    watching = model.family is not None and "true_cfg_scale" in model.columns
    for row in rows:
        if watching and isinstance(row, Row) and row.negative_prompt and row.negative_prompt.strip():
            scale = 1.0 if row.true_cfg_scale is None else row.true_cfg_scale
            if scale <= 1:
                watching = False
                own = row.negative_prompt != given.get("negative_prompt")
                where = f"{row.source_file}:{row.source_line}: negative_prompt" if own else "--negative-prompt"
                warn(
                    f"{where} changes nothing at true_cfg_scale {scale:g}; give a true_cfg_scale above 1, like 4 (two "
                    "forwards a step); said of the first such row only"
                )
        yield row


def require_possible(spec: JobSpec) -> None:
    """Refuse, in the words of a worker, what no worker could render; on a cluster only a worker knows the machine.

    Raises SpecError, ModelError or AttentionError. What passes may still be refused by the worker that loads the model.
    """
    if traits := foreseen_traits(parse_model(spec.model)):
        model_rules(traits, spec.row_defaults)
    if spec.address:
        return
    device = local_device(spec)
    if device == "cpu":
        require_gpu(spec, 0)
    require_torchao(parse_quantize(spec.quantize))
    if spec.attention != AUTO:  # of a device that is not known yet only the backend's package can be told
        require_usable(spec.attention, device or BACKENDS[spec.attention].devices[0])
